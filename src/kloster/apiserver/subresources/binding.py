"""pods/binding (and the older ``bindings``): the scheduler's decision. A pod is given a node once, and for good.

Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/binding-v1/
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from kloster.aio.aside import on_loop
from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object, errors
from kloster.apimachinery.apply import track_update
from kloster.apimachinery.errors import StatusError
from kloster.apiserver import admission, answers, aside, asking, bodies, write_options, writes
from kloster.apiserver.admission.api import CREATE, Attempt, Shape
from kloster.apiserver.bodies import Expected
from kloster.apiserver.call import Call
from kloster.apiserver.verbs import create
from kloster.apiserver.write_options import WriteOptions
from kloster.client.transport import Response
from kloster.kinds.core import bindings
from kloster.stores.api import Key, Operation, View

PODS = "/pods"


async def serve(call: Call) -> Response:
    options = write_options.parse(call, "CreateOptions")
    type_ = call.cluster.catalog.type("", "v1", "Binding")
    assert type_ is not None
    expected, long = Expected("", "v1", "Binding", type_), aside.is_long(call)
    binding = await aside.run(call, long, partial(bodies.read, call, expected, options.validation))
    create.place(call, binding)
    name = binding["metadata"].get("name", "")
    if call.target.name and name != call.target.name:
        raise errors.bad_request("name in URL does not match name in Binding object")
    found = list(bindings.STRATEGY.validate(binding))
    if found:
        texts = [str(error) for error in found]
        raise StatusError(500, "", texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
    if not name:
        raise errors.bad_request("Name parameter required.")
    track(call, binding, expected, options)
    shape = Shape("", "v1", "Binding", type_)
    binding = await asking.asked(call, binding, shape, options.told(CREATE), name=name, dry_run=options.dry_run)

    def decide(view: View) -> Sequence[Operation]:
        return _bind(call, view, binding, options.dry_run)

    await aside.transact(call, long, decide)
    return answers.value(call, SUCCESS, 201, call.cluster.catalog.type("", "v1", "Status"))


SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def track(call: Call, item: Object, expected: Expected, options: WriteOptions) -> None:
    """Sets the managedFields of an object that is never stored, as who wrote it is told to webhooks."""
    fields = track_update(
        None,
        item,
        expected.type,
        manager=write_options.manager_of(call, options),
        api_version=f"{expected.group}/{expected.version}".lstrip("/"),
        now=rfc3339(call.cluster.clock.now()),
        subresource=call.target.subresource,
    )
    writes.set_managed(item, fields)


def _bind(call: Call, view: View, binding: Object, dry_run: bool) -> Sequence[Operation]:
    pods = call.cluster.resources.stored_as(PODS)
    assert pods is not None
    meta = binding["metadata"]
    entry = view.get(Key(PODS, meta["namespace"], meta["name"]))
    if entry is None:
        raise errors.not_found("", "pods", meta["name"])
    old = on_loop(call.cluster.forms.object, pods, entry)
    pod: Object = {name: dict(old[name]) for name in ("metadata", "spec", "status") if name in old}
    attempt = Attempt(
        cluster=call.cluster,
        view=view,
        user=call.user,
        served=pods,
        operation=CREATE,
        subresource="binding",
        namespace=meta["namespace"],
        name=meta["name"],
        item=binding,
        old=old,
        dry_run=dry_run,
        warnings=call.warnings,
    )
    on_loop(admission.mutate, attempt)  # what else admission has to say was asked about the binding (`asking`)
    _check(pod, meta)
    _assign(call, pod, binding)
    return [] if dry_run else [writes.put(call, pods, pod)]


def _check(pod: Object, meta: Object) -> None:
    """Raises StatusError 409 unless the pod is waiting for a node."""
    known, name = pod["metadata"], meta["name"]
    text = ""
    if meta.get("uid") and meta["uid"] != known["uid"]:
        text = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {known['uid']}"
    elif meta.get("resourceVersion") and meta["resourceVersion"] != known["resourceVersion"]:
        text = errors.STALE
    elif known.get("deletionTimestamp"):
        text = f"pod {name} is being deleted, cannot be assigned to a host"
    elif pod["spec"].get("nodeName"):
        text = f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
    elif pod["spec"].get("schedulingGates"):
        text = f"pod {name} has non-empty .spec.schedulingGates"
    if text:
        raise errors.conflict("", "pods/binding", name, text)


def _assign(call: Call, pod: Object, binding: Object) -> None:
    pod["spec"]["nodeName"] = binding["target"]["name"]
    meta, status = pod["metadata"], pod.setdefault("status", {})
    for name in ("annotations", "labels"):
        given = binding["metadata"].get(name)
        if given:
            meta[name] = {**(meta.get(name) or {}), **given}
    set_condition(status, {"type": "PodScheduled", "status": "True"}, rfc3339(call.cluster.clock.now()))


def set_condition(status: Object, wanted: Object, now: str) -> None:
    """Sets a pod's condition; its transition time moves when its status changes."""
    conditions = status["conditions"] = list(status.get("conditions") or ())
    for place, condition in enumerate(conditions):
        if condition.get("type") == wanted["type"]:
            changed = condition.get("status") != wanted["status"]
            at = now if changed else condition.get("lastTransitionTime")
            conditions[place] = {"lastProbeTime": None, **wanted, "lastTransitionTime": at}
            return
    conditions.append({"lastProbeTime": None, **wanted, "lastTransitionTime": now})
