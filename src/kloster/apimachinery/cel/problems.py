"""What can be wrong with an expression, when it is compiled and when it is evaluated, printed as cel-go prints it."""

from __future__ import annotations

from dataclasses import dataclass

#: More findings than this are counted, not told.
_TOLD = 100
#: A longer line is not shown below the finding.
_LONGEST_SNIPPET = 16384


@dataclass(frozen=True, slots=True)
class Issue:
    """A finding at an offset of the source; -1 where no place is known."""

    offset: int
    message: str


class CompileError(Exception):
    """The expression does not parse or does not check. `text` is what upstream prints."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class EvaluationError(Exception):
    """Evaluation ended in an error, which `||`, `&&`, `all` and `exists` may absorb."""


class CostExceeded(Exception):
    """Evaluation cost more than its limit allows. Nothing absorbs this."""

    def __init__(self) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")


def render(source: str, issues: list[Issue]) -> str:
    """All findings in the order of their places, each with its line and a pointer."""
    if not source:
        return "\n".join(f"ERROR: <input>:1:0: {issue.message}" for issue in issues)
    lines = source.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    told = []
    for issue in issues[:_TOLD]:
        told.append((*_place(starts, issue.offset), issue.message))
    told.sort(key=lambda each: (each[0], each[1]))
    rendered = [_one(lines, line, column, message) for line, column, message in told]
    if len(issues) > _TOLD:
        rendered.append(f"{len(issues) - _TOLD} more errors were truncated")
    return "\n".join(rendered)


def _place(starts: list[int], offset: int) -> tuple[int, int]:
    if offset < 0:
        return -1, -1
    line = 0
    while line + 2 < len(starts) and starts[line + 1] <= offset:
        line += 1
    return line + 1, offset - starts[line]


def _one(lines: list[str], line: int, column: int, message: str) -> str:
    head = f"ERROR: <input>:{line}:{column + 1}: {message}"
    if line < 1 or line > len(lines):
        return head
    snippet = lines[line - 1]
    if len(snippet.encode("utf-8", "surrogatepass")) > _LONGEST_SNIPPET:
        return head
    snippet = snippet.replace("\t", " ")
    pointer = "".join("\uff0e" if ord(letter) > 127 else "." for letter in snippet[:column])
    wide = column < len(snippet) and ord(snippet[column]) > 127
    return f"{head}\n | {snippet}\n | {pointer}{chr(0xFF3E) if wide else '^'}"
