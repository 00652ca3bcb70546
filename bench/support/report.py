"""Figures on paper: one line a turn, then the medians and the ratio to the peer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median


def table(title: str, turns: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    """`turns`: contender → its turns, each figure name → value. Prints medians, spread and ratios."""
    print(f"\n{title}")
    names = list(turns)
    width = max(map(len, names)) + 2
    figures = list(turns[names[0]][0])
    print(" " * width + "".join(f"{figure:>26}" for figure in figures))
    for name in names:
        cells = []
        for figure in figures:
            values = [turn[figure] for turn in turns[name]]
            cells.append(f"{_number(median(values))} ({_number(min(values))}..{_number(max(values))})")
        print(f"{name:<{width}}" + "".join(f"{cell:>26}" for cell in cells))
    if len(names) > 1:
        first, peer = names[0], names[1]
        ratios = []
        for figure in figures:
            pairs = [(ours[figure], theirs[figure]) for ours, theirs in zip(turns[first], turns[peer], strict=True)]
            found = [ours / theirs for ours, theirs in pairs if theirs]
            ratios.append(f"{median(found):.2f}" if found else "-")
        print(f"{'ratio':<{width}}" + "".join(f"{ratio:>26}" for ratio in ratios), flush=True)


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
