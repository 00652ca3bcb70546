"""Strings: the standard functions, cel-go's extension, regular expressions (RE2 only), and JSON Patch's escaping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kloster.apimachinery.cel.problems import EvaluationError
from kloster.apimachinery.structural import patterns

from . import costs, formatting

if TYPE_CHECKING:
    from kloster.apimachinery.cel.declarations import Collection

_LOWER = {code: code + 32 for code in range(65, 91)}
_UPPER = {code: code - 32 for code in range(97, 123)}
_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
#: A text longer than this is not made: upstream has no bound but its memory.
_LONGEST = 10_000_000


def _compiled(pattern: str, prefix: str) -> Any:
    try:
        return patterns.compile(pattern)
    except patterns.PatternError as error:
        raise EvaluationError(f"{prefix}{error}") from None


def matches(text: str, pattern: str) -> bool:
    return _compiled(pattern, "").search(text) is not None


def _find(text: str, pattern: str) -> str:
    found = _compiled(pattern, "Illegal regex: ").search(text)
    return found.group() if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    compiled = _compiled(pattern, "Illegal regex: ")
    found: list[str] = []
    last_end = -1
    if limit == 0:
        return found
    for match in compiled.finditer(text):
        # Go does not report an empty match right behind another one.
        if match.start() == match.end() == last_end:
            continue
        last_end = match.end()
        found.append(match.group())
        if len(found) == limit:
            break
    return found


def _char_at(text: str, at: int) -> str:
    if not 0 <= at <= len(text):
        raise EvaluationError(f"index out of range: {at}")
    return text[at : at + 1]


def _index_of(text: str, sought: str, offset: int = 0) -> int:
    if not sought:
        return offset
    if offset < 0:
        raise EvaluationError(f"index out of range: {offset}")
    return text.find(sought, offset)


def _last_index_of(text: str, sought: str, offset: int | None = None) -> int:
    if not sought:
        return len(text) if offset is None else offset
    if offset is None:
        return text.rfind(sought)
    if offset < 0:
        raise EvaluationError(f"index out of range: {offset}")
    return -1 if offset >= len(text) else text.rfind(sought, 0, offset + len(sought))


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    occurrences = text.count(old) if old else len(text) + 1
    occurrences = occurrences if count < 0 else min(count, occurrences)
    if len(text) + occurrences * (len(new) - len(old)) > _LONGEST:
        raise EvaluationError("result is too long")
    return text.replace(old, new, count if count >= 0 else -1)


def _split(text: str, separator: str, count: int = -1) -> list[str]:
    if count == 0:
        return []
    if separator:
        return text.split(separator, count - 1 if count > 0 else -1)
    if count < 0 or count >= len(text):
        return list(text)
    return [*text[: count - 1], text[count - 1 :]]


def _substring(text: str, start: int, end: int | None = None) -> str:
    if end is not None and start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    if not 0 <= start <= len(text):
        raise EvaluationError(f"index out of range: {start}")
    if end is not None and not 0 <= end <= len(text):
        raise EvaluationError(f"index out of range: {end}")
    return text[start:end]


def _join(elements: list[Any], separator: str = "") -> str:
    for each in elements:
        if not isinstance(each, str):
            raise EvaluationError(f"join: invalid input: {each}")
    if sum(map(len, elements)) + len(separator) * len(elements) > _LONGEST:
        raise EvaluationError("result is too long")
    return separator.join(elements)


_QUOTED = str.maketrans(
    {
        "\a": "\\a",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\v": "\\v",
        "\\": "\\\\",
        '"': '\\"',
    }
)


def declare(into: Collection) -> None:
    """The standard functions and what every version has of the extensions."""
    into.add("contains_string", "string::contains(string) -> bool", lambda text, part: part in text, costs.product)
    into.add("ends_with_string", "string::endsWith(string) -> bool", str.endswith, costs.first)
    into.add("starts_with_string", "string::startsWith(string) -> bool", str.startswith, costs.first)
    into.add("matches", "matches(string, string) -> bool", matches)
    into.add("matches_string", "string::matches(string) -> bool", matches, costs.regex)
    into.add("string_find_string", "string::find(string) -> string", _find, costs.regex)
    into.add("string_find_all_string", "string::findAll(string) -> list(string)", _find_all, costs.regex)
    into.add("string_find_all_string_int", "string::findAll(string, int) -> list(string)", _find_all, costs.regex)
    into.add("string_char_at_int", "string::charAt(int) -> string", _char_at)
    position = costs.first_traversal
    into.add("string_index_of_string", "string::indexOf(string) -> int", _index_of, position)
    into.add("string_index_of_string_int", "string::indexOf(string, int) -> int", _index_of, position)
    into.add("string_last_index_of_string", "string::lastIndexOf(string) -> int", _last_index_of, position)
    into.add("string_last_index_of_string_int", "string::lastIndexOf(string, int) -> int", _last_index_of, position)
    into.add("string_lower_ascii", "string::lowerAscii() -> string", lambda text: text.translate(_LOWER), costs.first)
    into.add("string_upper_ascii", "string::upperAscii() -> string", lambda text: text.translate(_UPPER), costs.first)
    twice = costs.first_twice
    into.add("string_replace_string_string", "string::replace(string, string) -> string", _replace, twice)
    into.add("string_replace_string_string_int", "string::replace(string, string, int) -> string", _replace, twice)
    into.add("string_split_string", "string::split(string) -> list(string)", _split, twice)
    into.add("string_split_string_int", "string::split(string, int) -> list(string)", _split, twice)
    into.add("string_substring_int", "string::substring(int) -> string", _substring, costs.first)
    into.add("string_substring_int_int", "string::substring(int, int) -> string", _substring, costs.first)
    into.add("string_trim", "string::trim() -> string", lambda text: text.strip(_SPACES), costs.first)
    into.add("list_join", "list(string)::join() -> string", _join, costs.result_twice)
    into.add("list_join_string", "list(string)::join(string) -> string", _join, costs.result_twice)


def declare_formatting(into: Collection) -> None:
    """`format` and `strings.quote`, which came later."""
    into.add("string_format", "string::format(list(dyn)) -> string", formatting.formatted, costs.first)
    into.add(
        "strings_quote", "strings.quote(string) -> string", lambda text: f'"{text.translate(_QUOTED)}"', costs.first
    )


def declare_json_patch(into: Collection) -> None:
    """`jsonpatch.escapeKey`, which only mutating policies have."""
    escape = "jsonpatch.escapeKey(string) -> string"
    into.add(
        "string_jsonpatch_escapeKey_string",
        escape,
        lambda text: text.replace("~", "~0").replace("/", "~1"),
        costs.first,
    )
