"""Values as Go prints them, for messages in upstream's words.

shown(value)     the verb %v:  map[a:1 b:[x y]]
detailed(value)  the verb %#v: map[string]interface {}{"a":1}
kind(value)      the verb %T:  map[string]interface {}
quoted(text)     the verb %q:  "a\\tb"
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    '"': '\\"',
    "\\": "\\\\",
}


def quoted(text: str) -> str:
    """Text as the verb %q prints it."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shown(value: Any) -> str:
    """`value` by %v. Maps are sorted by key."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{shown(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(shown, value)) + "]"
    if isinstance(value, str):
        return value
    return "<nil>" if value is None else _number(value)


def detailed(value: Any) -> str:
    """`value` by %#v."""
    if isinstance(value, dict):
        fields = ", ".join(f"{json.dumps(key, ensure_ascii=False)}:{detailed(value[key])}" for key in sorted(value))
        return f"map[string]interface {{}}{{{fields}}}"
    if isinstance(value, list | tuple):
        return f"[]interface {{}}{{{', '.join(map(detailed, value))}}}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return "interface {}(nil)" if value is None else _number(value)


def kind(value: Any) -> str:
    """The type of `value` by %T; whole numbers are int64."""
    if isinstance(value, bool):
        return "bool"
    names = {dict: "map[string]interface {}", list: "[]interface {}", str: "string", int: "int64", float: "float64"}
    return names.get(type(value), "<nil>")


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return repr(value) if isinstance(value, float) else str(value)


def json_sort(value: Any) -> str:
    """What encoding/json calls the sort of a JSON value: ``object``, ``array``, ``string``, ``number``, ``bool``."""
    if isinstance(value, bool):
        return "bool"
    return {dict: "object", list: "array", str: "string", int: "number", float: "number"}.get(type(value), "null")


def general(value: float) -> str:
    """A float by %v: the shortest text, with an exponent when that is below -4 or above 5."""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    if not isinstance(exponent, int) or value == 0:
        return "0" if value == 0 else repr(value)
    power = len(digits) - 1 + exponent
    text = "".join(map(str, digits))
    if not -4 <= power < 6:
        text = f"{text[0]}.{text[1:]}".removesuffix(".") + f"e{power:+03d}"
    elif exponent >= 0:
        text += "0" * exponent
    elif power >= 0:
        text = f"{text[: power + 1]}.{text[power + 1 :]}"
    else:
        text = "0." + "0" * (-power - 1) + text
    return f"-{text}" if sign else text
