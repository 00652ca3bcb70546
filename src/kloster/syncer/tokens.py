"""Service-account tokens of pods: minted by the virtual cluster, bound to the pod, kept in a host Secret.

A tenant's pod talks to the tenant's API, so its token must be the virtual cluster's. The host's kubelet can only mount
a Secret, so for each pod with projected tokens there is one Secret with all of them. Tokens live as long as upstream's
(an hour, valid longer with a warn-after, because clients that never reread must not break) and are renewed at
80 % of what was asked. The Secret goes when the pod has ended.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from kloster.aio.clock import parse_rfc3339, rfc3339
from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change
from kloster.client.resources import PODS, SECRETS, SERVICE_ACCOUNTS
from kloster.runtime.api import Context, Controller, Key, Result, Watch
from kloster.syncer.engine import OVERTAKEN, Syncer
from kloster.syncer.hub import owned
from kloster.syncer.names import NAME, NAMESPACE, TOKENS_OF, UID
from kloster.syncer.podspec.volumes import projected_tokens, token_secret_name
from kloster.workloads.pods import is_terminal

RENEW_AT = "kloster.dev/renew-at"
DEFAULT_SECONDS = 3607
RENEW_SHARE = 0.8
MISSING_ACCOUNT = 30.0


def token_controller(syncer: Syncer) -> Controller:
    """Keeps the token Secrets of one cluster's pods."""

    known: dict[Key, set[str]] = {}  # the token Secrets on the host, by pod

    def follow_host(context: Context, enqueue: Callable[[Key], None]) -> Callable[[], None]:
        def changed(change: Change) -> None:
            pod = (change.object["metadata"].get("annotations") or {}).get(TOKENS_OF)
            if not pod:
                return
            namespace, _, name = pod.partition("/")
            key, secret = Key(namespace, name), change.object["metadata"]["name"]
            if change.new is not None:
                known.setdefault(key, set()).add(secret)
            elif key in known:
                known[key].discard(secret)
                if not known[key]:
                    del known[key]
            enqueue(key)

        def everything() -> None:
            for pod in context.source.list(PODS):
                enqueue(Key(pod["metadata"]["namespace"], pod["metadata"]["name"]))

        ends = ExitStack()
        ends.callback(syncer.hub.listen(SECRETS, syncer.tenancy, changed))
        ends.callback(syncer.hub.listen_namespace(syncer.tenancy, everything))
        return ends.close

    def matters(change: Change) -> bool:
        """A pod came, went, ended, or another took its name."""
        if change.old is None or change.new is None:
            return True
        same = change.old["metadata"]["uid"] == change.new["metadata"]["uid"]
        return not same or is_terminal(change.old) != is_terminal(change.new)

    async def reconcile(context: Context, key: Key) -> Result | None:
        pod = context.source.get(PODS, key.namespace, key.name)
        wanted = projected_tokens(pod) if pod is not None and not is_terminal(pod) else []
        await _remove_others(syncer, known.get(key, ()), pod["metadata"]["uid"] if pod is not None and wanted else None)
        if pod is None or not wanted:
            return None
        try:
            return Result(await _keep(syncer, context, pod, wanted))
        except StatusError as error:
            if error.code not in OVERTAKEN:
                raise
            if context.source.get(SERVICE_ACCOUNTS, key.namespace, _account(pod)) is None:
                text = f'failed to fetch token: serviceaccounts "{_account(pod)}" not found'
                context.recorder.event(pod, "Warning", "FailedMount", f"MountVolume.SetUp failed for volume : {text}")
                return Result(MISSING_ACCOUNT)
            return Result(1.0)

    return Controller("syncer-tokens", (Watch(PODS, relevant=matters),), reconcile, start=follow_host)


async def _remove_others(syncer: Syncer, present: Iterable[str], uid: str | None) -> None:
    """Delete the token Secrets of this pod name that belong to no living pod."""
    for name in tuple(present):
        secret = owned(syncer.hub, syncer.tenancy, SECRETS, name)
        if secret is None or secret["metadata"]["annotations"][UID] == uid:
            continue
        metadata = secret["metadata"]
        try:
            await syncer.hub.client.delete(SECRETS, metadata["namespace"], metadata["name"], uid=metadata["uid"])
        except StatusError as error:
            if error.code not in OVERTAKEN:
                raise


async def _keep(syncer: Syncer, context: Context, pod: Object, wanted: list[tuple[str, Object]]) -> float:
    """Make or renew the pod's Secret. Returns the seconds until the next renewal."""
    name = token_secret_name(syncer.world(context), pod)
    present = owned(syncer.hub, syncer.tenancy, SECRETS, name)
    now = context.clock.now()
    if present is not None:
        due = (present["metadata"].get("annotations") or {}).get(RENEW_AT)
        if due and parse_rfc3339(due) > now and set(present.get("data") or {}) == {key for key, _ in wanted}:
            return parse_rfc3339(due) - now
    lifetime = min(source.get("expirationSeconds") or DEFAULT_SECONDS for _, source in wanted)
    data = {key: await _mint(context, pod, source) for key, source in wanted}
    renew = lifetime * RENEW_SHARE
    body = _secret(syncer, pod, name, data, now + renew)
    client, namespace = syncer.hub.client, syncer.tenancy.namespace
    if present is None:
        await client.create(SECRETS, body, namespace=namespace)
    else:
        uid = present["metadata"]["uid"]
        patch = {"metadata": {"uid": uid, "annotations": body["metadata"]["annotations"]}, "data": data}
        await client.patch(SECRETS, namespace, name, patch)
    return float(renew)


def _account(pod: Object) -> str:
    return str(pod["spec"].get("serviceAccountName") or "default")


async def _mint(context: Context, pod: Object, source: Object) -> str:
    """One bound token of the pod's account, base64 as Secrets hold it."""
    metadata = pod["metadata"]
    account = _account(pod)
    reference = {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]}
    spec: Object = {
        "expirationSeconds": source.get("expirationSeconds") or DEFAULT_SECONDS,
        "boundObjectRef": reference,
        "audiences": [source["audience"]] if source.get("audience") else [],
    }
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    answer = await context.client.create_subresource(SERVICE_ACCOUNTS, metadata["namespace"], account, "token", request)
    return base64.b64encode(answer["status"]["token"].encode()).decode()


def _secret(syncer: Syncer, pod: Object, name: str, data: dict[str, str], renew_at: float) -> Object:
    identity = syncer.tenancy.identity("Token", pod)
    metadata = pod["metadata"]
    annotations = identity["annotations"]
    # Not a Secret of the tenant's: it must not be taken for the host object of a virtual Secret.
    del annotations[NAME], annotations[NAMESPACE]
    annotations[TOKENS_OF] = f"{metadata['namespace']}/{metadata['name']}"
    annotations[RENEW_AT] = rfc3339(renew_at)
    labels = {key: value for key, value in identity["labels"].items() if key.startswith("kloster.dev/")}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": identity["namespace"], "labels": labels, "annotations": annotations},
        "type": "Opaque",
        "data": data,
    }
