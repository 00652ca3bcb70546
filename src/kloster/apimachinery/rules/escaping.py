"""Names of properties as names in expressions: what is no identifier is spelt out, words of the language are marked."""

from __future__ import annotations

import re

_WORDS = {
    *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"),
    *("let", "loop", "package", "namespace", "return", "var", "void", "while"),
}
_SPELT = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_ESCAPED = re.compile(r"__|[-./]")
_POSSIBLE = re.compile(r"[A-Za-z_./-][A-Za-z0-9_./-]*", re.ASCII)


def escape(name: str) -> str | None:
    """The name that expressions use; None if they cannot name it."""
    if name in _WORDS:
        return f"__{name}__"
    if _POSSIBLE.fullmatch(name) is None:
        return None
    return _ESCAPED.sub(lambda match: _SPELT[match.group()], name)
