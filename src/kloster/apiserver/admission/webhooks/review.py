"""AdmissionReview: the question to a webhook, and what its answer must look like. Texts are upstream's."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from kloster.apimachinery import Object
from kloster.apimachinery.cloning import clone
from kloster.apimachinery.errors import StatusError
from kloster.apiserver import storage
from kloster.apiserver.admission.api import Attempt
from kloster.apiserver.admission.webhooks import matching
from kloster.apiserver.admission.webhooks.hooks import Hook
from kloster.apiserver.resources import Served
from kloster.client.transport import User

VERSIONS = ("v1", "v1beta1")
MOST_WARNINGS, LONGEST_WARNING = 100, 4096


class BadAnswer(Exception):
    """The answer of a webhook cannot be used. The text says why, as upstream does."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A verified answer. `patch` are operations of a JSON patch; `refusal` the error of a webhook that says no."""

    patch: Sequence[Any] = ()
    warnings: tuple[str, ...] = ()
    refusal: StatusError | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What all webhooks that are asked about one write are told alike.

    user        who asks
    options     the request's CreateOptions, UpdateOptions or DeleteOptions
    """

    attempt: Attempt
    options: Object

    def body(self, hook: Hook, seen: Served, item: Object | None, uid: str) -> bytes:
        """The AdmissionReview for `hook`, which sees `item` (in the storage version) as `seen`. Raises BadAnswer."""
        version = next((one for one in hook.versions if one in VERSIONS), None)
        if version is None:
            text = "webhook does not accept known AdmissionReview versions (v1, v1beta1)"
            raise BadAnswer(f"could not create admission objects: {text}")
        attempt = self.attempt
        served = attempt.served
        request: dict[str, Any] = {
            "uid": uid,
            "kind": _kind(seen),
            "resource": _resource(seen),
            **({"subResource": attempt.subresource} if attempt.subresource else {}),
            "requestKind": _kind(served),
            "requestResource": _resource(served),
            **({"requestSubResource": attempt.subresource} if attempt.subresource else {}),
            **({"name": attempt.name} if attempt.name else {}),
            **({"namespace": place} if (place := matching.namespace(attempt)) else {}),
            "operation": attempt.operation,
            "userInfo": _user(attempt.user),
            "object": _document(seen, item),
            "oldObject": _document(seen, attempt.old),
            "dryRun": attempt.dry_run,
            "options": self.options,
        }
        return orjson.dumps(
            {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "request": request}
        )


def _kind(served: Served) -> Object:
    return {"group": served.group, "version": served.version, "kind": served.kind.kind}


def _resource(served: Served) -> Object:
    return {"group": served.group, "version": served.version, "resource": served.plural}


def _user(user: User) -> Object:
    told: Object = {"username": user.name}
    if user.uid:
        told["uid"] = user.uid
    if user.groups:
        told["groups"] = list(user.groups)
    if user.extra:
        told["extra"] = {name: list(values) for name, values in user.extra.items()}
    return told


def _document(seen: Served, item: Object | None) -> orjson.Fragment | None:
    return None if item is None else orjson.Fragment(storage.document(seen, clone(item)))


def read(hook: Hook, uid: str, body: bytes, mutating: bool) -> Answer:
    """The verified answer. Raises BadAnswer."""
    try:
        review = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadAnswer(f"failed to call webhook: couldn't get version/kind; json parse error: {error}") from None
    if not isinstance(review, dict):
        raise BadAnswer("failed to call webhook: couldn't get version/kind; json parse error: no object")
    response = review.get("response")
    if not isinstance(response, dict):
        raise _invalid("webhook response was absent")
    strict = next(one for one in hook.versions if one in VERSIONS) == "v1"
    if strict:
        _verify(review, response, uid, mutating)
    return Answer(
        patch=_patch(response) if mutating and response.get("allowed") is True else (),
        warnings=_warnings(response),
        refusal=None if response.get("allowed") is True else refusal(hook.name, response.get("status")),
    )


def _verify(review: Object, response: Object, uid: str, mutating: bool) -> None:
    if response.get("uid") != uid:
        raise _invalid(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    group, _, version = str(review.get("apiVersion") or "").rpartition("/")
    if (group, version, review.get("kind")) != ("admission.k8s.io", "v1", "AdmissionReview"):
        got = f"{group}/{version}, Kind={review.get('kind') or ''}"
        raise _invalid(f"expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {got}")
    patch, kind = response.get("patch"), response.get("patchType")
    if not mutating:
        if patch:
            raise _invalid("validating webhook may not return response.patch")
        if kind is not None:
            raise _invalid("validating webhook may not return response.patchType")
        return
    if patch and kind is None:
        raise _invalid("webhook returned response.patch but not response.patchType")
    if not patch and kind is not None:
        raise _invalid("webhook returned response.patchType but not response.patch")
    if kind is not None and kind != "JSONPatch":
        raise BadAnswer(f'unsupported patch type "{kind}"')


def _invalid(text: str) -> BadAnswer:
    return BadAnswer(f"received invalid webhook response: {text}")


def _patch(response: Object) -> Sequence[Any]:
    text = response.get("patch")
    if not text:
        return ()
    try:
        found = orjson.loads(base64.b64decode(text, validate=True))
    except (TypeError, ValueError, binascii.Error) as error:
        raise BadAnswer(f"received undecodable patch in webhook response: {error}") from None
    if not isinstance(found, list):
        raise BadAnswer("received undecodable patch in webhook response: not a list of operations")
    return found


def _warnings(response: Object) -> tuple[str, ...]:
    given = response.get("warnings")
    if not isinstance(given, list):
        return ()
    return tuple(one[:LONGEST_WARNING] for one in given[:MOST_WARNINGS] if isinstance(one, str))


def refusal(name: str, status: Any) -> StatusError:
    """The error that answers the write. At least 400, whatever the webhook says."""
    given: Object = status if isinstance(status, dict) else {}
    message, reason, code = given.get("message"), given.get("reason"), given.get("code")
    denied = f'admission webhook "{name}" denied the request'
    why = message or reason
    text = f"{denied}: {why}" if why else f"{denied} without explanation"
    details = given.get("details")
    return StatusError(
        code if isinstance(code, int) and 400 <= code < 600 else 400,
        str(reason or ""),
        text,
        details=details if isinstance(details, dict) else None,
    )
