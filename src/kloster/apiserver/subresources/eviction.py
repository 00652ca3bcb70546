"""pods/eviction: a deletion that asks the pod's PodDisruptionBudget first, and takes one from what it allows.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from kloster.aio.aside import on_loop
from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object, errors, selectors
from kloster.apimachinery.errors import StatusError
from kloster.apiserver import answers, aside, asking, bodies, storage, write_options
from kloster.apiserver.admission.api import CREATE, Shape
from kloster.apiserver.bodies import Expected
from kloster.apiserver.call import Call
from kloster.apiserver.subresources import binding
from kloster.apiserver.subresources.binding import SUCCESS, set_condition
from kloster.apiserver.verbs import create, delete
from kloster.apiserver.verbs.delete import DeleteOptions, Deletion
from kloster.client.transport import Response
from kloster.stores.api import Entry, Operation, View

BUDGETS = "policy/poddisruptionbudgets"
_LARGEST = 2000
_VIOLATES = "Cannot evict pod as it would violate the pod's disruption budget."
_SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
_ENDED = ("Succeeded", "Failed", "Pending")


async def serve(call: Call) -> Response:
    served = call.resource
    options = write_options.parse(call, "CreateOptions")
    type_ = call.cluster.catalog.type("policy", "v1", "Eviction")
    assert type_ is not None
    expected, long = Expected("policy", "v1", "Eviction", type_), aside.is_long(call)
    eviction = await aside.run(call, long, partial(bodies.read, call, expected, options.validation))
    create.place(call, eviction)
    if eviction["metadata"].get("name") != call.target.name:
        raise errors.bad_request("name in URL does not match name in Eviction object")
    binding.track(call, eviction, expected, options)

    def settle(item: Object) -> None:
        if options.dry_run and not (item.get("deleteOptions") or {}).get("dryRun"):
            item["deleteOptions"] = {**(item.get("deleteOptions") or {}), "dryRun": ["All"]}

    shape, told = Shape("policy", "v1", "Eviction", type_), options.told(CREATE)
    eviction = await asking.asked(call, eviction, shape, told, dry_run=options.dry_run, settle=settle)
    settings = delete.checked(eviction.get("deleteOptions") or {})

    def decide(view: View) -> Sequence[Operation]:
        entry = view.get(storage.key_of(served, call.target.namespace, call.target.name))
        if entry is None:
            raise storage.missing(served, call.target.name)
        return _evict(call, view, entry, settings)

    await aside.transact(call, long, decide)
    return answers.value(call, SUCCESS, 201, call.cluster.catalog.type("", "v1", "Status"))


def _evict(call: Call, view: View, entry: Entry, settings: DeleteOptions) -> Sequence[Operation]:
    pod = on_loop(call.cluster.forms.object, call.resource, entry)
    now = rfc3339(call.cluster.clock.now())
    before: Sequence[Operation] = ()
    if not _ignores_budget(pod):
        before = on_loop(_ask_budget, call, view, pod, settings.dry_run, now)

    def disrupted(item: Object) -> None:
        reason = {"reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}
        set_condition(item.setdefault("status", {}), {"type": "DisruptionTarget", "status": "True", **reason}, now)

    return [*before, *Deletion(call, settings, amend=disrupted, quiet=True).decide(view, entry)]


def _ignores_budget(pod: Object) -> bool:
    """Pods that do not serve (any more) disturb nobody."""
    return (pod.get("status") or {}).get("phase") in _ENDED or bool(pod["metadata"].get("deletionTimestamp"))


def _ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)


def _ask_budget(call: Call, view: View, pod: Object, dry_run: bool, now: str) -> Sequence[Operation]:
    """What the budget that covers the pod has to record. Raises StatusError 429, 403 or 500."""
    served = call.cluster.resources.stored_as(BUDGETS)
    assert served is not None
    namespace, labels = pod["metadata"]["namespace"], pod["metadata"].get("labels") or {}
    found = [
        entry
        for entry in view.scan(BUDGETS, namespace)
        if selectors.of_object((call.cluster.forms.object(served, entry).get("spec") or {}).get("selector")).matches(
            labels
        )
    ]
    if len(found) > 1:
        raise StatusError(500, "", _SEVERAL)
    if not found:
        return ()
    budget = storage.thaw(served, found[0])
    if not _ready(pod) and _spares_unhealthy(budget):
        return ()
    _decrement(budget, pod["metadata"]["name"], now)
    return () if dry_run else [storage.put(served, budget)]


def _spares_unhealthy(budget: Object) -> bool:
    """Whether a pod that is not ready may go without counting."""
    status = budget.get("status") or {}
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    desired = status.get("desiredHealthy", 0)
    return bool(desired > 0 and status.get("currentHealthy", 0) >= desired)


def _decrement(budget: Object, pod: str, now: str) -> None:
    meta, status = budget["metadata"], budget.setdefault("status", {})
    name = meta["name"]
    if status.get("observedGeneration", 0) < meta.get("generation", 0):
        raise _too_many(f"The disruption budget {name} is still being processed by the server.", 10)
    allowed = status.get("disruptionsAllowed", 0)
    if allowed < 0:
        raise errors.forbidden("policy", "poddisruptionbudget", name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or ()) > _LARGEST:
        text = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise errors.forbidden("policy", "poddisruptionbudget", name, text)
    if not allowed:
        needs, has = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        text = f"The disruption budget {name} needs {needs} healthy pods and has {has} currently"
        raise _too_many(text, 0)
    status["disruptionsAllowed"] = allowed - 1
    status["disruptedPods"] = {**(status.get("disruptedPods") or {}), pod: now}
    if allowed == 1:
        _tell_insufficient(budget, now)


def _tell_insufficient(budget: Object, now: str) -> None:
    """The condition DisruptionAllowed turns False with the last disruption."""
    for condition in budget["status"].get("conditions") or ():
        if condition.get("type") == "DisruptionAllowed":
            if condition.get("status") != "False":
                condition["lastTransitionTime"] = now
            condition.update(status="False", reason="InsufficientPods")
            condition["observedGeneration"] = budget["status"].get("observedGeneration", 0)


def _too_many(cause: str, seconds: int) -> StatusError:
    error = errors.too_many_requests(_VIOLATES, seconds)
    error.details = {"causes": [{"reason": "DisruptionBudget", "message": cause}]}
    return error
