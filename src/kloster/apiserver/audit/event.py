"""The shape of an audit event: what was noted about a request, as upstream's API server writes it.

Fields and their order are those of k8s.io/apiserver/pkg/apis/audit/v1; a line is JSON as Go writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from kloster.aio.clock import rfc3339_micro
from kloster.apimachinery import Object
from kloster.client.transport import User

METADATA, REQUEST, REQUEST_RESPONSE = "Metadata", "Request", "RequestResponse"
RECEIVED, STARTED, COMPLETE = "RequestReceived", "ResponseStarted", "ResponseComplete"
STAGES = (RECEIVED, STARTED, COMPLETE, "Panic")
DECISION, REASON = "authorization.k8s.io/decision", "authorization.k8s.io/reason"
DEPRECATED = "k8s.io/deprecated"
LONGEST_AGENT = 1024


@dataclass(frozen=True, slots=True)
class About:
    """The object that a request is about. `given` is what the body says of its name, uid and resourceVersion."""

    group: str
    version: str
    resource: str
    subresource: str
    namespace: str
    name: str
    given: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Noted:
    """One request, as far as it is known.

    user         who has authenticated; None if nobody could
    acting       whom they act as, if that is somebody else
    about        None for what is no resource
    status       of a Status that was the answer, its message and the like
    decision     the authorizer's: allow or forbid; empty if it was not asked
    deprecated   the resource is
    received     like `started` and `completed` seconds since 1970; the latter are 0 as long as they have not come
    annotations  of admission webhooks
    then         called when it is completed, if it was not when it was told
    sent         the object, patch or options in the request, as JSON; like `answered` empty if unknown
    """

    id: str
    uri: str
    verb: str
    agent: str
    sources: tuple[str, ...]
    received: float
    user: User | None = None
    acting: User | None = None
    about: About | None = None
    code: int = 0
    status: Object = field(default_factory=dict)
    decision: str = ""
    reason: str = ""
    deprecated: bool = False
    started: float = 0.0
    completed: float = 0.0
    sent: bytes = b""
    answered: bytes = b""
    annotations: Mapping[str, str] = field(default_factory=dict)
    then: Callable[[Noted], None] | None = None


def event(noted: Noted, stage: str, level: str = METADATA) -> dict[str, Any]:
    """The event of one stage. Bodies are told by the levels Request and RequestResponse alone."""
    told = stage != RECEIVED
    found: dict[str, Any] = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": level,
        "auditID": noted.id,
        "stage": stage,
        "requestURI": noted.uri,
        "verb": noted.verb,
        "user": {} if noted.user is None else noted.user.info(),
    }
    if noted.acting is not None and told:
        found["impersonatedUser"] = noted.acting.info()
    if noted.sources:
        found["sourceIPs"] = list(noted.sources)
    if noted.agent:
        found["userAgent"] = noted.agent[:LONGEST_AGENT]
    if noted.about is not None:
        found["objectRef"] = _reference(noted.about, told)
    if told:
        found["responseStatus"] = {"metadata": {}, **noted.status, "code": noted.code}
    if told and level in (REQUEST, REQUEST_RESPONSE) and noted.sent:
        found["requestObject"] = orjson.Fragment(noted.sent)
    if told and level == REQUEST_RESPONSE and noted.answered:
        found["responseObject"] = orjson.Fragment(noted.answered)
    moment = {RECEIVED: noted.received, STARTED: noted.started}.get(stage, noted.completed)
    found["requestReceivedTimestamp"] = rfc3339_micro(noted.received)
    found["stageTimestamp"] = rfc3339_micro(moment)
    if noted.decision and told:
        found["annotations"] = {DECISION: noted.decision, REASON: noted.reason}
        if noted.deprecated:
            found["annotations"][DEPRECATED] = "true"
        found["annotations"].update(noted.annotations)
    return found


def _reference(about: About, told: bool) -> dict[str, str]:
    """The objectRef. Of what stands in the body nothing is known when the request comes."""
    found = {
        "resource": about.resource,
        "namespace": about.namespace,
        "name": about.name or (about.given.get("name", "") if told else ""),
        "uid": about.given.get("uid", "") if told else "",
        "apiGroup": about.group,
        "apiVersion": about.version,
        "resourceVersion": about.given.get("resourceVersion", "") if told else "",
        "subresource": about.subresource,
    }
    return {key: value for key, value in found.items() if value}


def line(found: dict[str, Any]) -> bytes:
    """The event as a line of a log: JSON as Go's encoder writes it, which is careful with HTML."""
    text = orjson.dumps(found)
    for character in (b"&", b"<", b">"):
        if character in text:
            text = text.replace(character, b"\\u00%02x" % ord(character))
    return text + b"\n"
