"""Sequences of requests about custom resources, and what a real server answered.

As in tests.differential: a step is a request, its answer is brought into a normal form and compared. Beyond that form:

- upstream finds errors in the order of Go's maps, so the findings of a 422 are compared in sorted order;
- upstream settles a definition's status shortly after the write: what a write answers is compared without `status`,
  what a read answers with it; its resourceVersion and generation of answers are not compared.

A step with ``use: NAME`` is repeated for every body in ``bodies``, a mapping of names; what they are patched onto
stands in the file's ``bases``. With ``at: PATH`` the body replaces what is at that place. ``owners: false`` at the top
of a file leaves managedFields out: upstream forgets them when an object is written in another version than before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from tests.differential.model import Answer, Session, Step

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in (HERE / "sequences").glob("*.yaml"))


def merged(target: Any, patch: Any) -> Any:
    """A JSON merge patch that keeps null where it says ``!null``."""
    if not isinstance(patch, dict):
        return None if patch == "!null" else patch
    found = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


def placed(base: Any, path: list[str], value: Any) -> Any:
    """`base` with `value` in place of what is at `path`."""
    if not path:
        return value
    if isinstance(base, list):
        index = int(path[0])
        return [*base[:index], placed(base[index], path[1:], value), *base[index + 1 :]]
    return {**base, path[0]: placed(base.get(path[0], {}), path[1:], value)}


@lru_cache
def _document(name: str) -> Any:
    return yaml.safe_load((HERE / "sequences" / f"{name}.yaml").read_text())


def load(name: str) -> list[tuple[str, Step]]:
    """(what a step is about, the step)."""
    document = _document(name)
    return [each for entry in document["steps"] for each in _steps(entry, document.get("bases") or {})]


def _steps(entry: Any, bases: dict[str, Any]) -> Iterator[tuple[str, Step]]:
    if isinstance(entry, str):
        entry = {"request": entry}
    method, _, path = entry["request"].partition(" ")
    base = bases.get(entry.get("use", ""))
    bodies = entry["bodies"] if "bodies" in entry else {entry["request"]: entry.get("body")}
    for label, body in bodies.items():
        if base is not None:
            body = placed(base, entry["at"].split("."), body) if "at" in entry else merged(base, body)
        headers = dict(entry.get("headers") or {})
        yield label, Step(method, path, body, headers, {}, entry.get("differs", ""), entry.get("wait", 0.0))


def normal(session: Session, step: Step, answer: Answer, owners: bool = True) -> dict[str, Any]:
    """The normal form of an answer, without managedFields unless `owners`."""
    found = session.normal(step, _without_version(answer))
    headers = found["headers"]
    if "warning" in headers:
        listed = headers["warning"].removeprefix("299 - ").split(", 299 - ")
        headers["warning"] = ", ".join(f"299 - {text}" for text in sorted(listed))
    body = found["body"] if owners else _disowned(found["body"])
    return {**found, "body": _object(body, written=step.method != "GET")}


def has_owners(name: str) -> bool:
    return bool(_document(name).get("owners", True))


def _disowned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _disowned(inner) for key, inner in value.items() if key != "managedFields"}
    return [_disowned(each) for each in value] if isinstance(value, list) else value


def _without_version(answer: Answer) -> Answer:
    """A definition without its resourceVersion: others are numbered in order of appearance."""
    if not answer.headers.get("content-type", "").startswith("application/json"):
        return answer
    body = json.loads(answer.body)
    if body.get("kind") != "CustomResourceDefinition":
        return answer
    body["metadata"].pop("resourceVersion", None)
    return Answer(answer.status, answer.headers, json.dumps(body).encode())


def _object(body: Any, written: bool) -> Any:
    if isinstance(body, list):
        return [_object(each, written) for each in body]
    if not isinstance(body, dict):
        return body
    if body.get("kind") == "Status" and body.get("reason") == "Invalid":
        return _sorted_findings(body)
    if body.get("kind") == "CustomResourceDefinition" and written:
        meta = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
        return {key: value for key, value in {**body, "metadata": meta}.items() if key != "status"}
    return body


def _sorted_findings(body: dict[str, Any]) -> dict[str, Any]:
    causes = sorted(body["details"]["causes"], key=lambda cause: (cause["field"], cause["message"]))
    texts = list(dict.fromkeys(f"{cause['field']}: {cause['message']}" for cause in causes))
    head = body["message"].partition(" is invalid")[0] + " is invalid: "
    return {**body, "message": head + ", ".join(texts), "details": {**body["details"], "causes": causes}}
