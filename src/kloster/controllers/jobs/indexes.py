"""Completion indexes of Indexed Jobs: sets of numbers, and their text form ``1,3-5,7``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kloster.apimachinery import Object

ANNOTATION = "batch.kubernetes.io/job-completion-index"


def parse(text: str | None, completions: int) -> set[int]:
    """Numbers below `completions`; what is malformed is left out."""
    found: set[int] = set()
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (not last or last.isdigit()):
            found.update(range(int(first), min(int(last or first), completions - 1) + 1))
    return found


def text(numbers: Iterable[int]) -> str:
    """Runs of three or more are written with a dash, as upstream does."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(
        str(first) if first == last else f"{first}{',' if last == first + 1 else '-'}{last}" for first, last in runs
    )


def of(pod: Object) -> int | None:
    """The pod's completion index; None without a usable annotation."""
    annotations: Mapping[str, str] = pod["metadata"].get("annotations") or {}
    value = annotations.get(ANNOTATION, "")
    return int(value) if value.isascii() and value.isdigit() else None


def duplicates(pods: Iterable[Object], completions: int) -> tuple[list[Object], list[Object]]:
    """(pods to remove, pods to keep): one pod each index below `completions`. Later ones of `pods` are kept."""
    by_index: dict[int, Object] = {}
    remove: list[Object] = []
    for pod in pods:
        index = of(pod)
        if index is None or index >= completions:
            remove.append(pod)
            continue
        if index in by_index:
            remove.append(by_index[index])
        by_index[index] = pod
    return remove, list(by_index.values())


def first_pending(count: int, completions: int, taken: set[int]) -> list[int]:
    """The lowest `count` indexes that are not taken."""
    found: list[int] = []
    for index in range(completions):
        if len(found) >= count:
            break
        if index not in taken:
            found.append(index)
    return found
