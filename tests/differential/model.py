"""Sequences, their steps, and the normal form of answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from tests.differential import normal

HERE = Path(__file__).parent
SEQUENCES = HERE / "sequences"
GOLDEN = HERE / "golden"
AGENT = "differential/1.0"
HEADERS = ("content-type", "retry-after", "warning", "cache-control")


@dataclass(frozen=True)
class Step:
    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    save: Mapping[str, str] = field(default_factory=dict)
    differs: str = ""
    wait: float = 0.0

    @property
    def is_watch(self) -> bool:
        return "watch=" in self.path or "/watch/" in self.path


@dataclass(frozen=True)
class Answer:
    """`headers` with lower-case names; repeated ones joined by a comma."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def names() -> list[str]:
    return sorted(path.stem for path in SEQUENCES.glob("*.yaml"))


def load(name: str) -> list[Step]:
    return [_step(entry) for entry in yaml.safe_load((SEQUENCES / f"{name}.yaml").read_text())]


def _step(entry: Any) -> Step:
    if isinstance(entry, str):
        entry = {"request": entry}
    method, _, path = entry["request"].partition(" ")
    return Step(
        method,
        path.strip(),
        entry.get("body"),
        entry.get("headers") or {},
        entry.get("save") or {},
        entry.get("differs", ""),
        entry.get("wait", 0.0),
    )


_TYPES = {"PATCH": "application/merge-patch+json"}


class Session:
    """Fills in variables and makes answers comparable, in the course of one sequence."""

    def __init__(self, namespace: str) -> None:
        self.variables = {"ns": namespace}
        self.namespace = namespace
        self._known: dict[tuple[str, str], str] = {}

    def fill(self, text: str) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda match: self.variables[match[1]], text)

    def body(self, step: Step) -> bytes:
        if step.body is None:
            return b""
        text = step.body if isinstance(step.body, str) else json.dumps(step.body)
        return self.fill(text).encode()

    def headers(self, step: Step) -> dict[str, str]:
        found = {"user-agent": AGENT, **step.headers}
        if step.body is not None:
            found.setdefault("content-type", _TYPES.get(step.method, "application/json"))
        return found

    def keep(self, step: Step, answer: Answer) -> None:
        for name, path in step.save.items():
            value: Any = json.loads(answer.body)
            for part in path.split("."):
                value = value[int(part)] if part.isdigit() and isinstance(value, list) else value[part]
            self.variables[name] = str(value)

    # --- normal form ----------------------------------------------------------------------------------------------

    def normal(self, step: Step, answer: Answer) -> dict[str, Any]:
        headers = {name: self._text(answer.headers[name]) for name in HEADERS if name in answer.headers}
        return {
            "request": f"{step.method} {step.path}",
            "status": answer.status,
            "headers": headers,
            "body": self._body(step, answer),
        }

    def _body(self, step: Step, answer: Answer) -> Any:
        kind = answer.headers.get("content-type", "")
        if step.is_watch and answer.status == 200:
            return [self._value(json.loads(line), "") for line in answer.body.splitlines() if line]
        if kind.startswith("application/json"):
            return self._value(json.loads(answer.body), "")
        text = answer.body.decode("utf-8", "replace")
        if kind == "application/yaml":
            return self._value(yaml.safe_load(text), "")
        return self._text(text)

    def _value(self, value: Any, key: str) -> Any:
        if isinstance(value, dict):
            value = _without_moving_version(value)
            found = {name: self._value(inner, name) for name, inner in value.items()}
            return self._object(value, found)
        if isinstance(value, list):
            return [self._value(inner, key) for inner in value]
        if isinstance(value, str):
            return self._leaf(value, key)
        if isinstance(value, int) and not isinstance(value, bool) and key in ("nodePort", "healthCheckNodePort"):
            return f"<{key}>"
        return value

    def _object(self, value: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
        if value.get("generateName") and str(value.get("name", "")).startswith(value["generateName"]):
            found["name"] = f"{value['generateName']}<suffix>"
        if "managedFields" in found:
            normal.managers(found["managedFields"])
        if "columnDefinitions" in value:
            for column in found["columnDefinitions"] or ():
                column.pop("description", None)
        return found

    def _leaf(self, value: str, key: str) -> str:
        if key == "uid" and re.fullmatch(r"[0-9a-f]{8}-[0-9a-f-]{27}", value):
            return self._numbered("uid", value)
        if key == "resourceVersion" and value.isdigit():
            return self._numbered("version", value)
        if key == "serverAddress":
            return "<address of the server>"
        if key == "continue":
            return "<token>"
        if key == "token" and value.count(".") == 2:
            return "<jwt>"
        return self._text(value)

    def _numbered(self, what: str, value: str) -> str:
        known = self._known
        if (what, value) not in known:
            known[what, value] = f"<{what} {sum(1 for kind, _ in known if kind == what) + 1}>"
        return known[what, value]

    def _text(self, text: str) -> str:
        return normal.text(normal.uids(text.replace(self.namespace, "<ns>"), self._uid))

    def _uid(self, match: re.Match[str]) -> str:
        return self._numbered("uid", match[0])


def _without_moving_version(value: dict[str, Any]) -> dict[str, Any]:
    """Without the versions of lists and bookmarks: they move with everybody's writes."""
    if value.get("type") == "BOOKMARK":
        return {**value, "object": _with_version(value["object"], "<progress>")}
    if "items" in value or value.get("kind") in ("Table", "Status"):
        return _with_version(value, "<version of the list>")
    return value


def _with_version(value: dict[str, Any], version: str) -> dict[str, Any]:
    about = value.get("metadata")
    if not isinstance(about, dict) or "resourceVersion" not in about:
        return value
    return {**value, "metadata": {**about, "resourceVersion": version}}


def shown(value: Any) -> str:
    """The normal form as text: the order of keys counts."""
    return json.dumps(value, indent=1, ensure_ascii=False)


def golden(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((GOLDEN / f"{name}.json").read_text())
    return found


def first_difference(wanted: str, found: str) -> Iterator[str]:
    """The lines around the first difference."""
    left, right = wanted.splitlines(), found.splitlines()
    for number, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            yield from left[max(0, number - 4) : number]
            yield f"- {one.strip()}"
            yield f"+ {other.strip()}"
            yield from (f"  (then) {line.strip()}" for line in left[number + 1 : number + 4])
            return
    yield from (f"- {line.strip()}" for line in left[len(right) :][:6])
    yield from (f"+ {line.strip()}" for line in right[len(left) :][:6])
