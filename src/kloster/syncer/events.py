"""Events about host objects come up as events about the tenant's objects, without the host's names."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from itertools import islice

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change, Resource
from kloster.client.resources import EVENTS, PERSISTENT_VOLUME_CLAIMS, PODS, SERVICES
from kloster.kinds.core.events import TTL, last_written
from kloster.runtime.api import Context, Controller, Key, Result
from kloster.syncer import texts
from kloster.syncer.engine import Syncer
from kloster.syncer.names import Tenancy, virtual_key

ALL = Key("", "events")
AT_ONCE = 8
LONGEST_START = 200
KINDS: dict[str, Resource] = {"Pod": PODS, "Service": SERVICES, "PersistentVolumeClaim": PERSISTENT_VOLUME_CLAIMS}
COPIED = ("reason", "type", "count", "firstTimestamp", "lastTimestamp", "eventTime", "action", "series")


def event_controller(syncer: Syncer) -> Controller:
    """Brings the host namespace's events up, a few at a time: half of all writes about a pod are events, and
    nobody waits for them, so they must not stand in a row with the pods. There is one key for all."""
    waiting: dict[str, None] = {}  # names of host events, in order

    def follow_host(_: Context, enqueue: Callable[[Key], None]) -> Callable[[], None]:
        def changed(change: Change) -> None:
            if change.new is not None:
                waiting[change.new["metadata"]["name"]] = None
                enqueue(ALL)

        return syncer.hub.listen(EVENTS, syncer.tenancy, changed, anything=True)

    async def reconcile(context: Context, _: Key) -> Result | None:
        names = list(islice(waiting, AT_ONCE))
        events = [syncer.hub.source.get(EVENTS, syncer.tenancy.namespace, name) for name in names]
        for name in names:
            del waiting[name]
        work = (_bring_up(syncer, context, event) for event in events if event is not None)
        failed = [error for error in await asyncio.gather(*work, return_exceptions=True) if error is not None]
        if failed:
            waiting.update(dict.fromkeys(names))  # those that are there already cost nothing
            raise failed[0]
        return Result(0) if waiting else None

    return Controller("syncer-events", (), reconcile, start=follow_host)


async def _bring_up(syncer: Syncer, context: Context, event: Object) -> None:
    about = event.get("involvedObject") or {}
    resource = KINDS.get(about.get("kind", ""))
    if resource is None or last_written(event) + TTL <= context.clock.now():
        return  # one that the tenant's cluster has forgotten already must not come back
    host = syncer.hub.source.get(resource, syncer.tenancy.namespace, about.get("name", ""))
    if host is None or not syncer.tenancy.owns(host):
        return
    found = virtual_key(host)
    virtual = context.source.get(resource, *found) if found is not None else None
    if virtual is None:
        return
    body = translate(syncer.tenancy, event, virtual, host)
    namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
    present = context.source.get(EVENTS, namespace, name)
    try:
        if present is None:
            await context.client.create(EVENTS, body)
        elif any(present.get(field) != body.get(field) for field in ("count", "lastTimestamp", "message")):
            patch = {field: body[field] for field in ("count", "lastTimestamp", "message", "series") if field in body}
            await context.client.patch(EVENTS, namespace, name, patch)
    except StatusError as error:
        if error.code == 429 or error.code >= 500:
            raise
        # Best effort, as everything about events: a namespace that is going takes no more of them.


def translate(tenancy: Tenancy, event: Object, virtual: Object, host: Object) -> Object:
    """The virtual event for a host event about `host`, the host object of `virtual`."""
    metadata = virtual["metadata"]
    message = texts.clean(str(event.get("message", "")), texts.names(tenancy, virtual, host))
    digest = hashlib.sha256(event["metadata"]["uid"].encode()).hexdigest()[:16]
    about: Object = {
        "kind": virtual["kind"],
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata["uid"],
        "apiVersion": virtual["apiVersion"],
        "resourceVersion": metadata.get("resourceVersion", ""),
    }
    if (event.get("involvedObject") or {}).get("fieldPath"):
        about["fieldPath"] = event["involvedObject"]["fieldPath"]
    body: Object = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][:LONGEST_START]}.{digest}",
            "namespace": metadata.get("namespace", "") or "default",
        },
        "involvedObject": about,
        "message": message,
        "source": {key: value for key, value in (event.get("source") or {}).items() if key == "component"},
    }
    body.update({field: event[field] for field in COPIED if event.get(field) is not None})
    if event.get("reportingComponent"):
        body["reportingComponent"] = event["reportingComponent"]
    return body
