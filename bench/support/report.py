"""Figures on paper: one line a turn, then the medians and the ratio to the peer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median


def table(title: str, turns: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    """`turns`: contender → its turns, each figure name → value. Prints medians, spread and ratios."""
    names = list(turns)
    width = _medians(title, turns)
    if len(names) > 1:
        _ratio("ratio", width, turns[names[0]], turns[names[1]])


def against(title: str, turns: Mapping[str, Sequence[Mapping[str, float]]], peers: Sequence[str]) -> None:
    """As `table`, of many contenders; each peer's figures are divided by those of everybody else."""
    width = _medians(title, turns)
    for peer in peers:
        print(f"{peer} divided by")
        for name in turns:
            if name != peer:
                _ratio(f"  {name}", width, turns[peer], turns[name])


def _medians(title: str, turns: Mapping[str, Sequence[Mapping[str, float]]]) -> int:
    print(f"\n{title}")
    names = list(turns)
    width = max(map(len, names)) + 4
    figures = list(turns[names[0]][0])
    print(" " * width + "".join(f"{figure:>26}" for figure in figures))
    for name in names:
        cells = []
        for figure in figures:
            values = [turn[figure] for turn in turns[name]]
            cells.append(f"{_number(median(values))} ({_number(min(values))}..{_number(max(values))})")
        print(f"{name:<{width}}" + "".join(f"{cell:>26}" for cell in cells), flush=True)
    return width


def _ratio(label: str, width: int, ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]]) -> None:
    ratios = []
    for figure in ours[0]:
        pairs = [(one[figure], other[figure]) for one, other in zip(ours, theirs, strict=True)]
        found = [one / other for one, other in pairs if other]
        ratios.append(f"{median(found):.2f}" if found else "-")
    print(f"{label:<{width}}" + "".join(f"{ratio:>26}" for ratio in ratios), flush=True)


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
