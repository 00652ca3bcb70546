"""Events about host objects come up as events about the tenant's objects, without the host's names."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack
from itertools import islice

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change, Resource
from kloster.client.resources import EVENTS, PERSISTENT_VOLUME_CLAIMS, PODS, SERVICES
from kloster.kinds.core.events import TTL, last_written
from kloster.runtime.api import Context, Controller, Key, Result
from kloster.syncer import texts
from kloster.syncer.engine import Syncer
from kloster.syncer.names import UID, Tenancy, virtual_key

ALL = Key("", "events")
AT_ONCE = 8
LONGEST_START = 200
LATE = 3.0
"""Seconds after a pod has gone in which events about it are still expected."""
KINDS: dict[str, Resource] = {"Pod": PODS, "Service": SERVICES, "PersistentVolumeClaim": PERSISTENT_VOLUME_CLAIMS}
COPIED = ("reason", "type", "count", "firstTimestamp", "lastTimestamp", "eventTime", "action", "series")


class Departed:
    """Virtual pods that have just gone. Events are written a moment after what they are about: those about a pod that
    went at once (a force deletion, a Job's that ended) still have to say which pod they were about.

    At most `most` pods, for LATE seconds.
    """

    def __init__(self, most: int = 32) -> None:
        self._most = most
        self._pods: OrderedDict[str, tuple[float, Object]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._pods)

    def remember(self, host_name: str, virtual: Object, now: float) -> None:
        self._pods[host_name] = (now + LATE, virtual)
        self._pods.move_to_end(host_name)
        if len(self._pods) > self._most:
            self._pods.popitem(last=False)

    def find(self, host_name: str) -> Object | None:
        found = self._pods.get(host_name)
        return found[1] if found is not None else None

    def forget(self, now: float) -> None:
        for name in [name for name, (until, _) in self._pods.items() if until <= now]:
            del self._pods[name]


def event_controller(syncer: Syncer) -> Controller:
    """Brings the host namespace's events up, a few at a time: half of all writes about a pod are events, and
    nobody waits for them, so they must not stand in a row with the pods. There is one key for all."""
    waiting: dict[str, None] = {}  # names of host events, in order
    departed = Departed()

    def follow(context: Context, enqueue: Callable[[Key], None]) -> Callable[[], None]:
        def changed(change: Change) -> None:
            if change.new is not None:
                waiting[change.new["metadata"]["name"]] = None
                enqueue(ALL)

        def pod_changed(change: Change) -> None:
            if change.new is None and change.old is not None:
                metadata = change.old["metadata"]
                host_name = syncer.tenancy.name(metadata["name"], metadata["namespace"])
                departed.remember(host_name, change.old, context.clock.monotonic())
                enqueue(ALL)

        def host_pod_changed(change: Change) -> None:
            """The host's pod goes first: until the tenant's has followed, nothing else tells which one it was."""
            if change.new is None and change.old is not None:
                host = change.old["metadata"]
                found = virtual_key(change.old)
                virtual = context.source.get(PODS, *found) if found is not None else None
                if virtual is not None and host.get("annotations", {}).get(UID) == virtual["metadata"]["uid"]:
                    departed.remember(host["name"], virtual, context.clock.monotonic())
                    enqueue(ALL)

        ends = ExitStack()
        ends.callback(syncer.hub.listen(PODS, syncer.tenancy, host_pod_changed))
        ends.callback(syncer.hub.listen(EVENTS, syncer.tenancy, changed, anything=True))
        ends.callback(context.source.subscribe(PODS, pod_changed))
        return ends.close

    async def reconcile(context: Context, _: Key) -> Result | None:
        departed.forget(context.clock.monotonic())
        names = list(islice(waiting, AT_ONCE))
        events = [syncer.hub.source.get(EVENTS, syncer.tenancy.namespace, name) for name in names]
        for name in names:
            del waiting[name]
        work = (_bring_up(syncer, context, departed, event) for event in events if event is not None)
        failed = [error for error in await asyncio.gather(*work, return_exceptions=True) if error is not None]
        if failed:
            waiting.update(dict.fromkeys(names))  # those that are there already cost nothing
            raise failed[0]
        if waiting:
            return Result(0)
        return Result(LATE) if departed else None

    return Controller("syncer-events", (), reconcile, start=follow)


async def _bring_up(syncer: Syncer, context: Context, departed: Departed, event: Object) -> None:
    about = event.get("involvedObject") or {}
    resource = KINDS.get(about.get("kind", ""))
    if resource is None or last_written(event) + TTL <= context.clock.now():
        return  # one that the tenant's cluster has forgotten already must not come back
    virtual, host = _about(syncer, context, resource, about)
    if virtual is None and resource == PODS:
        virtual = departed.find(about.get("name", ""))
    if virtual is None:
        return
    if host is None and about.get("uid"):
        host = {"metadata": {"uid": about["uid"]}, "spec": {}}  # what texts may say of it
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


def _about(syncer: Syncer, context: Context, resource: Resource, about: Object) -> tuple[Object | None, Object | None]:
    """The virtual and the host object that an event is about, if they are there: a successor of the same name (the
    next pod of a stateful set) is not meant."""
    host = syncer.hub.source.get(resource, syncer.tenancy.namespace, about.get("name", ""))
    if host is None or not syncer.tenancy.owns(host) or about.get("uid", "") not in ("", host["metadata"]["uid"]):
        return None, None
    found = virtual_key(host)
    return (context.source.get(resource, *found) if found is not None else None), host


def translate(tenancy: Tenancy, event: Object, virtual: Object, host: Object | None) -> Object:
    """The virtual event for a host event about `host`, the host object of `virtual`; None if it has gone."""
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
