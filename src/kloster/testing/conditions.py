"""What ``kubectl wait --for`` understands, as pure decisions on one object, and words for what was there instead.

    deployment/web condition=Available          condition=NAME[=STATUS], NAME and STATUS in any case
    pod/x jsonpath={.status.phase}=Running      with a value, or without one: anything there is
    pod/x create        pod/x delete            pod/x (the same as create)

Source: https://kubernetes.io/docs/reference/kubectl/generated/kubectl_wait/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from kloster.apimachinery import jsonpath
from kloster.testing.errors import TestingError

_FORM = re.compile(r"^\s*([^\s/]+)/(\S+)(?:\s+(?:(?:--)?for=)?(.+?))?\s*$", re.DOTALL)

USAGE = (
    'expected something like "deployment/web condition=Available", "pod/x jsonpath={.status.phase}=Running", '
    '"pod/x create" or "pod/x delete"'
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What must become true of one object.

    resource, name   of the object
    test             create, delete, condition or jsonpath
    subject, value   the condition's type and status, or the path and the value ("": any)
    """

    resource: str
    name: str
    test: str
    subject: str = ""
    value: str = ""

    def holds(self, found: dict[str, Any] | None) -> bool:
        """Whether it is true of the object (None: there is none)."""
        if self.test == "delete":
            return found is None
        if found is None:
            return False
        if self.test == "condition":
            return any(
                str(one.get("type", "")).lower() == self.subject.lower()
                and str(one.get("status", "")).lower() == self.value.lower()
                and _is_current(one, found)
                for one in _conditions(found)
            )
        if self.test == "jsonpath":
            values = [jsonpath.shown(value) for value in jsonpath.parse(self.subject).find(found)]
            return bool(values) if not self.value else values == [self.value]
        return True

    def instead(self, found: dict[str, Any] | None) -> str:
        """What there is, in words."""
        if found is None:
            return "there is no such object"
        if self.test == "condition":
            told = [_told(one) for one in _conditions(found)]
            return f"its conditions: {', '.join(told)}" if told else f"it has no conditions; {_status(found)}"
        if self.test == "jsonpath":
            values = [jsonpath.shown(value) for value in jsonpath.parse(self.subject).find(found)]
            return f"it was {', '.join(map(repr, values))}" if values else f"nothing was there; {_status(found)}"
        finalizers = found["metadata"].get("finalizers") or []
        if found["metadata"].get("deletionTimestamp"):
            return f"it is being deleted and has finalizers: {', '.join(finalizers) or 'none'}"
        return "it is there and nobody has deleted it"


def parse(text: str) -> Wanted:
    """Raises TestingError, which shows the forms that there are."""
    match = _FORM.match(text)
    if match is None:
        raise TestingError(f"{text!r} is no condition: {USAGE}")
    resource, name, test = match[1], match[2], match[3] or "create"
    if test in ("create", "delete"):
        return Wanted(resource, name, test)
    if test.startswith("condition="):
        subject, _, value = test.removeprefix("condition=").partition("=")
        return Wanted(resource, name, "condition", subject, value or "True")
    path = _split_path(test)
    if path is not None:
        try:
            jsonpath.parse(path[0])
        except jsonpath.JSONPathError as error:
            raise TestingError(f"{test!r}: {error}") from error
        return Wanted(resource, name, "jsonpath", *path)
    raise TestingError(f"{test!r} is nothing that can be waited for: {USAGE}")


def _split_path(test: str) -> tuple[str, str] | None:
    """``jsonpath={PATH}=VALUE``: the braces end the path, because a filter in it may have an equals sign."""
    if not test.startswith("jsonpath="):
        return None
    rest = test.removeprefix("jsonpath=").replace("'{", "{").replace("}'", "}")
    if rest.startswith("{") and "}" in rest:
        path, _, value = rest[1:].rpartition("}")
        return path, _bare(value.removeprefix("="))
    path, _, value = rest.partition("=")
    return path, _bare(value)


def _bare(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _conditions(found: dict[str, Any]) -> list[dict[str, Any]]:
    status = found.get("status")
    conditions = status.get("conditions") if isinstance(status, dict) else None
    return [one for one in conditions or () if isinstance(one, dict)]


def _is_current(condition: dict[str, Any], found: dict[str, Any]) -> bool:
    """As kubectl wait: a condition about an older generation does not count."""
    generation = found["metadata"].get("generation")
    observed = condition.get("observedGeneration") or (found.get("status") or {}).get("observedGeneration")
    return not (isinstance(generation, int) and isinstance(observed, int) and observed < generation)


def _told(condition: dict[str, Any]) -> str:
    text = f"{condition.get('type')}={condition.get('status')}"
    why = ": ".join(str(condition[key]) for key in ("reason", "message") if condition.get(key))
    return f"{text} ({why})" if why else text


def _status(found: dict[str, Any]) -> str:
    return f"its status: {jsonpath.shown(found.get('status') or {})[:500]}"
