"""AdmissionReview: the question to a webhook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from kloster.apimachinery import Object
from kloster.apimachinery.cloning import clone
from kloster.apimachinery.schema import encode
from kloster.apiserver import storage
from kloster.apiserver.admission.api import Attempt, Shape
from kloster.apiserver.admission.webhooks import answering, matching
from kloster.apiserver.admission.webhooks.answering import BadAnswer
from kloster.apiserver.admission.webhooks.hooks import Hook
from kloster.apiserver.resources import Served
from kloster.kinds.catalog import Kind


@dataclass(frozen=True, slots=True)
class Question:
    """What all webhooks that are asked about one write are told alike.

    user        who asks
    options     the request's CreateOptions, UpdateOptions or DeleteOptions; CONNECT has none
    """

    attempt: Attempt
    options: Object | None

    def body(self, hook: Hook, seen: Served, item: Object | None, uid: str) -> bytes:
        """The AdmissionReview for `hook`, which sees `item` (in the storage version) as `seen`. Raises BadAnswer."""
        version = answering.version_of(hook)
        if version is None:
            text = "webhook does not accept known AdmissionReview versions (v1, v1beta1)"
            raise BadAnswer(f"could not create admission objects: {text}")
        attempt = self.attempt
        served = attempt.served
        request: dict[str, Any] = {
            "uid": uid,
            "kind": _kind(attempt.shape or seen.kind),
            "resource": _resource(seen),
            **({"subResource": attempt.subresource} if attempt.subresource else {}),
            "requestKind": _kind(attempt.shape or served.kind),
            "requestResource": _resource(served),
            **({"requestSubResource": attempt.subresource} if attempt.subresource else {}),
            **({"name": attempt.name} if attempt.name and attempt.single else {}),
            **({"namespace": place} if (place := matching.namespace(attempt)) else {}),
            "operation": attempt.operation,
            "userInfo": attempt.user.info(),
            "object": _fragment(document(attempt, seen, item)),
            "oldObject": _fragment(document(attempt, seen, attempt.old)),
            "dryRun": attempt.dry_run,
            "options": self.options,
        }
        return orjson.dumps(
            {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "request": request}
        )


def _kind(kind: Kind | Shape) -> Object:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _resource(served: Served) -> Object:
    return {"group": served.group, "version": served.version, "resource": served.plural}


def document(attempt: Attempt, seen: Served, item: Object | None) -> bytes | None:
    """`item` (in the storage version) as who sees it as `seen` is shown it."""
    if item is None:
        return None
    shape = attempt.shape
    if shape is None:
        return storage.document(seen, clone(item))
    shown = {**shape.show(clone(item)), "kind": shape.kind, "apiVersion": shape.api_version}
    return encode.dumps(shape.type, shown)


def _fragment(text: bytes | None) -> orjson.Fragment | None:
    return None if text is None else orjson.Fragment(text)
