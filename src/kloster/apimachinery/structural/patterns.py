"""Regular expressions of tenants: RE2 only, whose time is linear in the text (Python's would freeze everybody).

Upstream's are Go's, which has RE2's syntax; what RE2 refuses, Go refuses. The complaints are worded as Go words them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2

_GO_CODES = {
    "missing ]": "missing closing ]",
    "missing )": "missing closing )",
    "trailing \\": "trailing backslash at end of expression",
    "no argument for repetition operator": "missing argument to repetition operator",
    "invalid repetition size": "invalid repeat count",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
}
_WITHOUT_ARGUMENT = ("trailing \\",)
_MEMORY = 8 << 20


class PatternError(ValueError):
    """The pattern cannot be compiled; the text is Go's."""


@lru_cache(maxsize=2048)
def compile(pattern: str) -> Any:
    """The compiled pattern: its `search` finds a match anywhere. Raises PatternError."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise PatternError(_go_text(error)) from None


def _go_text(error: Exception) -> str:
    given = error.args[0] if error.args else ""
    text = given.decode("utf-8", "replace") if isinstance(given, bytes) else str(given)
    code, _, argument = text.partition(": ")
    known = _GO_CODES.get(code, code)
    if code in _WITHOUT_ARGUMENT:
        return f"error parsing regexp: {known}: ``"
    return f"error parsing regexp: {known}: `{argument}`"


def matches(pattern: str, text: str) -> bool:
    """Whether `pattern` matches anywhere in `text`. Raises PatternError."""
    return compile(pattern).search(text) is not None
