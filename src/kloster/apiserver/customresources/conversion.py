"""Conversion webhooks: what an object is in another version of its definition.

Reading is synchronous, so an answer must be there when it is needed: `convert` takes it from what has been answered
lately, and raises `Missing` if it is not there. Metadata is never the webhook's business but for labels and
annotations, hence two states of an object that differ in nothing else need one answer.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/,
texts of apiextensions-apiserver/pkg/apiserver/conversion.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import orjson

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.apiserver.pending import Outside, Pending, WebhookFailed

TIMEOUT = 30.0
KEPT = 4 << 20
"""Bytes of answers that are remembered for one definition."""

_VERSIONS = ("v1", "v1beta1")
_VISIBLE = ("labels", "annotations")


class Missing(Pending):
    """The answer for one object is missing. Those of several can be asked for together (`ask_for`)."""

    def __init__(self, conversion: Conversion, item: Object, target: str) -> None:
        super().__init__(partial(conversion.ask, [item], target))
        self.conversion = conversion
        self.item = item
        self.target = target


async def ask_for(missing: Sequence[Missing], outside: Outside) -> None:
    """Ask for all of them, which are of one definition and to become one version. Raises StatusError."""
    await missing[0].conversion.ask([one.item for one in missing], missing[0].target, outside)


class Conversion:
    """The webhook of one definition, and what it answered lately."""

    def __init__(self, spec: Object) -> None:
        webhook = spec["conversion"]["webhook"]
        self._client: Object = webhook["clientConfig"]
        self._versions: list[str] = webhook.get("conversionReviewVersions") or []
        self._known: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()
        self._size = 0

    def convert(self, item: Object, source: str, target: str) -> Object:
        """`item`, which is in the api version `source`, as it is in `target`. Raises Missing."""
        if source == target:
            return item
        item = {**item, "apiVersion": source}
        found = self._known.get(_key(item, target))
        if found is None:
            raise Missing(self, item, target)
        converted: Object = orjson.loads(found)
        return _with_metadata(converted, item)

    async def ask(self, items: Sequence[Object], target: str, outside: Outside) -> None:
        """Have the webhook convert `items`. Raises StatusError in upstream's words."""
        name = _shown(items[0])
        try:
            converted = await self._asked(items, target, outside)
        except (WebhookFailed, _BadAnswer) as error:
            raise _failed(f"conversion webhook for {name} failed: {error}") from error
        if len(converted) != len(items):
            raise _failed(f"conversion webhook for {name} returned {len(converted)} objects, expected {len(items)}")
        for item, made in zip(items, converted, strict=True):
            try:
                _check(item, made, target)
            except _BadAnswer as error:
                raise _failed(f"conversion webhook for {name} returned invalid {error}") from error
            self._keep(_key(item, target), orjson.dumps(made))

    async def _asked(self, items: Sequence[Object], target: str, outside: Outside) -> list[Any]:
        version = next((one for one in self._versions if one in _VERSIONS), None)
        if version is None:
            raise _BadAnswer("no supported conversion review versions")
        uid = str(uuid.uuid4())
        api_version = f"apiextensions.k8s.io/{version}"
        request = {"uid": uid, "desiredAPIVersion": target, "objects": items}
        body = orjson.dumps({"kind": "ConversionReview", "apiVersion": api_version, "request": request})
        try:
            review = orjson.loads(await outside(self._client, body, TIMEOUT))
        except orjson.JSONDecodeError as error:
            raise _BadAnswer(f"couldn't get version/kind; json parse error: {error}") from error
        response = review.get("response") if isinstance(review, dict) else None
        if not isinstance(response, dict):
            raise _BadAnswer("no response provided")
        if version == "v1" and response.get("uid") != uid:
            raise _BadAnswer(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
        result = response.get("result")
        given: Object = result if isinstance(result, dict) else {}
        if given.get("status") != "Success":
            status = f"response.result.status was '{given.get('status') or ''}', not 'Success'"
            raise _BadAnswer(str(given.get("message") or status))
        found = response.get("convertedObjects")
        return found if isinstance(found, list) else []

    def _keep(self, key: tuple[str, bytes], text: bytes) -> None:
        self._size += len(text) - len(self._known.pop(key, b""))
        self._known[key] = text
        while self._size > KEPT and len(self._known) > 1:
            _, dropped = self._known.popitem(last=False)
            self._size -= len(dropped)


class _BadAnswer(Exception):
    """An answer that cannot be used. The text is upstream's."""


def rules(
    conversion: Conversion,
    storage: str,
    other: str,
    seal: Callable[[Object], Object],
    default: Callable[[Object], None],
) -> tuple[Callable[[Object], Object], Callable[[Object], Object]]:
    """From the storage version to another (which prunes it), and back (after its defaults). Api versions are whole."""

    def out(item: Object) -> Object:
        return seal(conversion.convert(item, storage, other))

    def back(item: Object) -> Object:
        default(item)
        return conversion.convert(item, other, storage)

    return out, back


def _key(item: Object, target: str) -> tuple[str, bytes]:
    metadata = item.get("metadata") or {}
    seen = {**item, "metadata": {name: metadata[name] for name in _VISIBLE if metadata.get(name)}}
    text = orjson.dumps(seen, option=orjson.OPT_SORT_KEYS)
    return target, hashlib.blake2b(text, digest_size=16).digest()


def _with_metadata(converted: Object, item: Object) -> Object:
    """The converted object with the metadata that it had; labels and annotations are the webhook's."""
    metadata = orjson.loads(orjson.dumps(item.get("metadata") or {}))
    given = converted.get("metadata") or {}
    for name in _VISIBLE:
        if given.get(name) is None:
            metadata.pop(name, None)
        else:
            metadata[name] = given[name]
    return {**converted, "metadata": metadata}


def _check(item: Object, made: Any, target: str) -> None:
    """Raises _BadAnswer for what is not `item` in another version."""
    if not isinstance(made, dict) or made.get("apiVersion") != target:
        received = made.get("apiVersion") or "" if isinstance(made, dict) else ""
        raise _BadAnswer(f"object at index 0: invalid groupVersion (expected {target}, received {received})")
    if made.get("kind") != item.get("kind"):
        text = f"expected {item.get('kind')}, received {made.get('kind') or ''}"
        raise _BadAnswer(f"object at index 0: invalid kind ({text})")
    given, metadata = made.get("metadata"), item.get("metadata") or {}
    if not isinstance(given, dict):
        raise _BadAnswer("metadata: missing metadata in converted object")
    for name, shown in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        if (given.get(name) or "") != (metadata.get(name) or ""):
            text = f"{metadata.get(name) or ''} != {given.get(name) or ''}"
            raise _BadAnswer(f"object: must have the same {shown}: {text}")
    for name in _VISIBLE:
        values = given.get(name)
        if values is None:
            continue
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise _BadAnswer(f"metadata: invalid metadata.{name} in converted object")


def _shown(item: Object) -> str:
    return f"{item['apiVersion']}, Kind={item['kind']}"


def _failed(text: str) -> StatusError:
    return StatusError(500, "", text)
