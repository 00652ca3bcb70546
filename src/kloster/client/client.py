"""The client: every verb of the Kubernetes API as one coroutine, on any transport.

Objects go in and come out as dictionaries. A resource is addressed in the same order everywhere: resource,
namespace, name. An answer of 400 or above is raised as `StatusError` with the server's complete Status.
Source of the verbs and their parameters: https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

import orjson

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import ObjectList, PatchType, Resource, WatchEvent
from kloster.client.transport import Request, Response, Transport

_PATCH_TYPES: Mapping[str, str] = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}

Query = list[tuple[str, str]]


class Client:
    """Speaks to one cluster as one identity.

    user_agent      its part before the first ``/`` becomes the field manager of writes that name none
    """

    def __init__(self, transport: Transport, *, user_agent: str = "kloster") -> None:
        self.transport = transport
        self.user_agent = user_agent

    async def aclose(self) -> None:
        """Release the transport's connections."""
        await self.transport.aclose()

    async def get(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        subresource: str = "",
        resource_version: str = "",
    ) -> Object:
        query = _query(resourceVersion=resource_version)
        return await self._object("GET", resource.path(namespace, name, subresource), query)

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_: str = "",
        resource_version: str = "",
        resource_version_match: str = "",
    ) -> ObjectList:
        """One page (everything, if `limit` is 0). Items get the apiVersion and kind that lists leave out."""
        query = _query(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            limit=limit,
            resourceVersion=resource_version,
            resourceVersionMatch=resource_version_match,
        )
        if continue_:
            query.append(("continue", continue_))
        answer = await self._object("GET", resource.path(namespace), query)
        metadata = answer.get("metadata") or {}
        items: Sequence[Object] = answer.get("items") or []
        for position, item in enumerate(items):
            if "kind" not in item:
                items[position] = {"apiVersion": resource.api_version, "kind": resource.kind, **item}  # type: ignore[index]
        return ObjectList(items, str(metadata.get("resourceVersion") or ""), str(metadata.get("continue") or ""))

    async def list_all(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        page: int = 500,
    ) -> ObjectList:
        """Everything, fetched in pages; the resourceVersion is the one that all pages share."""
        found: list[Object] = []
        token, version = "", ""
        while True:
            part = await self.list(
                resource,
                namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                limit=page,
                continue_=token,
                resource_version="" if token else resource_version,
            )
            found.extend(part.items)
            version, token = part.resource_version, part.continue_
            if not token:
                return ObjectList(found, version)

    async def create(
        self,
        resource: Resource,
        body: Object,
        *,
        namespace: str = "",
        field_manager: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Create `body`, in `namespace` or the one that its metadata names."""
        where = namespace or _namespace(body)
        query = _query(fieldManager=field_manager, dryRun=dry_run)
        return await self._object("POST", resource.path(where), query, body)

    async def create_subresource(
        self, resource: Resource, namespace: str, name: str, subresource: str, body: Object
    ) -> Object:
        """POST to a subresource: binding, eviction, token, ..."""
        return await self._object("POST", resource.path(namespace, name, subresource), [], body)

    async def update(
        self,
        resource: Resource,
        body: Object,
        *,
        subresource: str = "",
        field_manager: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Replace the object. With metadata.resourceVersion in `body` only if it has not changed since (409)."""
        path = resource.path(_namespace(body), body["metadata"]["name"], subresource)
        return await self._object("PUT", path, _query(fieldManager=field_manager, dryRun=dry_run), body)

    async def update_status(self, resource: Resource, body: Object, *, field_manager: str = "") -> Object:
        return await self.update(resource, body, subresource="status", field_manager=field_manager)

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Any,
        *,
        type: PatchType = "merge",
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> Object:
        """Patch with a JSON patch (a list), merge, strategic merge or apply configuration (an object)."""
        query = _query(fieldManager=field_manager, force=force, dryRun=dry_run)
        path = resource.path(namespace, name, subresource)
        return await self._object("PATCH", path, query, patch, _PATCH_TYPES[type])

    async def apply(self, resource: Resource, body: Object, *, field_manager: str, force: bool = False) -> Object:
        """Server-side apply: create it or take over and set exactly these fields."""
        return await self.patch(
            resource,
            _namespace(body),
            body["metadata"]["name"],
            body,
            type="apply",
            field_manager=field_manager,
            force=force,
        )

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        grace_period_seconds: int | None = None,
        propagation_policy: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Delete; `uid` and `resource_version` are preconditions (409 otherwise)."""
        body = _delete_options(uid, resource_version, grace_period_seconds, propagation_policy, dry_run)
        return await self._object("DELETE", resource.path(namespace, name), [], body)

    async def delete_collection(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        grace_period_seconds: int | None = None,
        propagation_policy: str = "",
    ) -> Object:
        query = _query(labelSelector=label_selector, fieldSelector=field_selector)
        body = _delete_options("", "", grace_period_seconds, propagation_policy, False)
        return await self._object("DELETE", resource.path(namespace), query, body)

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        bookmarks: bool = True,
        send_initial_events: bool = False,
        timeout_seconds: int = 0,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Changes after `resource_version`, until the server ends the watch. Close it with `contextlib.aclosing`.

        An ERROR event is raised as StatusError (410 Expired: list again).
        """
        query = _query(
            watch=True,
            resourceVersion=resource_version,
            labelSelector=label_selector,
            fieldSelector=field_selector,
            allowWatchBookmarks=bookmarks,
            timeoutSeconds=timeout_seconds,
        )
        if send_initial_events:
            query += [("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan")]
        response = await self.request("GET", resource.path(namespace), query)
        await raise_for_status(response)
        async for line in _lines(response):
            event = orjson.loads(line)
            kind, thing = event["type"], event["object"]
            if kind == "ERROR":
                raise StatusError.from_status(thing)
            yield WatchEvent(kind, thing)

    async def request(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Any request, its answer as it is: bodies may be streams, errors are not raised."""
        sent = {"accept": "application/json", "user-agent": self.user_agent}
        sent.update(headers or {})
        return await self.transport(Request(method, path, query or [], sent, body))

    async def json(self, method: str, path: str, query: Query | None = None, body: Any = None) -> Any:
        """Any request with JSON both ways; raises StatusError."""
        return await self._object(method, path, query or [], body)

    async def _object(
        self,
        method: str,
        path: str,
        query: Query,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Object:
        headers = {"accept": "application/json", "user-agent": self.user_agent}
        sent = b""
        if body is not None:
            sent = orjson.dumps(body)
            headers["content-type"] = content_type
        response = await self.transport(Request(method, path, query, headers, sent))
        await raise_for_status(response)
        answer: Object = orjson.loads(await read_body(response))
        return answer


async def read_body(response: Response) -> bytes:
    """The whole body, also of an answer that came as a stream."""
    if response.stream is None:
        return response.body
    chunks = [chunk async for chunk in response.stream]
    return b"".join(chunks)


async def raise_for_status(response: Response) -> None:
    """Raise the error that an answer of 400 or above holds, whatever form it has."""
    if response.status < 400:
        return
    body = await read_body(response)
    status: Any = None
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        raise StatusError.from_status(status, response.status)
    text = body.decode("utf-8", "replace").strip()
    reason = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 429: "TooManyRequests"}.get(response.status, "")
    raise StatusError(response.status, reason, text or f"the server answered {response.status}")


async def _lines(response: Response) -> AsyncIterator[bytes]:
    """The lines of a stream, whatever its chunks are; a last line without its end was cut off and is dropped."""
    if response.stream is None:
        for line in response.body.splitlines():
            if line:
                yield line
        return
    pieces: list[bytes] = []
    try:
        async for chunk in response.stream:
            if not chunk.endswith(b"\n") and b"\n" not in chunk:
                pieces.append(chunk)
                continue
            if pieces:
                pieces.append(chunk)
                chunk = b"".join(pieces)
                pieces.clear()
            *whole, rest = chunk.split(b"\n")
            if rest:
                pieces.append(rest)
            for line in whole:
                if line:
                    yield line
    finally:
        close = getattr(response.stream, "aclose", None)
        if close is not None:
            await close()


def _namespace(body: Object) -> str:
    return str(body["metadata"].get("namespace") or "")


def _query(**parameters: str | int | bool) -> Query:
    """Parameters that are set. dryRun is written as the API wants it."""
    query: Query = []
    for name, value in parameters.items():
        if not value:
            continue
        if name == "dryRun":
            query.append((name, "All"))
        else:
            query.append((name, "true" if value is True else str(value)))
    return query


def _delete_options(
    uid: str, resource_version: str, grace: int | None, propagation_policy: str, dry_run: bool
) -> Object:
    options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
    preconditions = {key: value for key, value in (("uid", uid), ("resourceVersion", resource_version)) if value}
    if preconditions:
        options["preconditions"] = preconditions
    if grace is not None:
        options["gracePeriodSeconds"] = grace
    if propagation_policy:
        options["propagationPolicy"] = propagation_policy
    if dry_run:
        options["dryRun"] = ["All"]
    return options
