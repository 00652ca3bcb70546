"""What may differ between two servers that answer alike. Nothing else is excused; the order of keys counts.

UIDs, times, ages           of the moment
resourceVersions            counted per server
generated suffixes          random
service addresses, ports    allocated
build of Kloster            ``v1.34.4+kloster.1`` is ``v1.34.4``
order of managedFields      depends on whether a second has passed
descriptions of columns     are documentation
"""

from __future__ import annotations

import re
from typing import Any

import orjson

_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>")
_TEXTS = (
    _TIME,
    (re.compile(r"kube-api-access-[a-z0-9]{5}"), "kube-api-access-<suffix>"),
    (re.compile(r"\b10\.0\.0\.(?!1\b|0/)\d+\b"), "<address>"),
    (re.compile(r"(Too large resource version: \d+, current: )\d+"), r"\1<version>"),
    (re.compile(r"(too old resource version: \d+ \()\d+"), r"\1<version>"),
    (re.compile(r"(ResourceVersion in record \()\d+"), r"\1<version>"),
    (re.compile(r"(v1\.\d+\.\d+)\+kloster\.\d+"), r"\1"),
    (re.compile(r'(\\*"resourceVersion\\*":\\*")\d+'), r"\1<version>"),
)
_AGE = re.compile(r"^\d+(s|m|m\d+s)$")
_MANAGER = ("operation", "manager", "apiVersion", "subresource")

# Those of whole answers. A case of the corpus names times of its own, which have to come back as they are.
_OWN_TIME = re.compile(r"\b20(?!2[45]-01-0)\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_PORT = re.compile(r'("(?:nodePort|healthCheckNodePort)":)3\d{4}')
_NUMBER = re.compile(r'(\\*"resourceVersion\\*":\\*")\d+')
# Inside a text in JSON, up to its end.
_DIFF = re.compile(r"\\n@@ (?:[^\"\\]|\\.)*")
_ANSWER = (
    (_DIFF, r"\\n<diff>"),
    (re.compile(r',(\\*)"extra\1":\{\1"authentication\.kubernetes\.io/credential-id\1":\[[^]]*\]\}'), ""),
    (_UID, "<uid>"),
    (_OWN_TIME, "<time>"),
    (_PORT, r"\1<port>"),
    (_NUMBER, r"\1<version>"),
    *_TEXTS[1:3],
    *_TEXTS[5:6],
)


def text(value: str) -> str:
    """A single text of an answer; UIDs are the caller's, who tells them apart."""
    for pattern, put in _TEXTS:
        value = pattern.sub(put, value)
    return _AGE.sub("<age>", value)


def uids(value: str, replace: Any) -> str:
    return _UID.sub(replace, value)


def managers(entries: list[Any]) -> None:
    """Sorts managedFields."""
    entries.sort(key=lambda entry: [str(entry.get(name)) for name in _MANAGER])


def answer(body: bytes) -> str:
    """The whole body of an answer in JSON, in one line; text as it is."""
    try:
        value = orjson.loads(body)
    except ValueError:
        shown = body.decode("utf-8", "replace")
    else:
        if isinstance(value, dict):
            meta = value.get("metadata")
            if isinstance(meta, dict) and isinstance(meta.get("managedFields"), list):
                managers(meta["managedFields"])
        shown = orjson.dumps(value).decode()
    for pattern, put in _ANSWER:
        shown = pattern.sub(put, shown)
    return shown
