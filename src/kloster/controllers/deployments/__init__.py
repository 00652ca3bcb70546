"""deployment-controller: rolls a Deployment's template out over ReplicaSets.

One reconciliation takes one step: find the ReplicaSets, see which is the new one (create it if need be), size them
(`rollout`), report (`progress`). What follows from a step comes back as a change.
https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change
from kloster.client.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from kloster.controllers.deployments import progress, rollout
from kloster.kinds import selector as selectors
from kloster.runtime.api import Context, Controller, Key, Result, Watch
from kloster.workloads import hashing, ownership, pods, statuses
from kloster.workloads.podcontrol import namespace_is_terminating


class _Rollout:
    """One reconciliation: the deployment as it is by now, its ReplicaSets, and the writes on them."""

    def __init__(self, context: Context, deployment: Object, replica_sets: list[Object]) -> None:
        self.context = context
        self.deployment = deployment
        self.new = rollout.find_new(deployment, replica_sets)
        self.old = [item for item in replica_sets if item is not self.new]

    @property
    def everything(self) -> list[Object]:
        return [*self.old, *([self.new] if self.new is not None else [])]

    async def run(self) -> Result | None:
        if pods.is_deleting(self.deployment):
            return await self.report(progressing=False)
        await self.note_pause()
        await self.sync_new()
        paused = bool(self.deployment["spec"].get("paused"))
        if paused or rollout.is_scaling(self.deployment, self.everything):
            for step in rollout.scale(self.deployment, self.new, self.old):
                await self.resize(step)
            if paused:
                await self.clean_up()
            return await self.report(progressing=False)
        if rollout.is_rolling(self.deployment):
            return await self.roll()
        return await self.recreate()

    async def roll(self) -> Result | None:
        new = self.new or await self.create_new()
        if new is None:
            return None
        up = rollout.grow(self.deployment, new, self.old)
        if up is not None:
            await self.resize(up)
            return await self.report()
        down = rollout.shrink(self.deployment, new, self.old)
        for step in down:
            await self.resize(step)
        if not down and progress.is_complete(self.deployment, self.deployment.get("status") or {}):
            await self.clean_up()
        return await self.report()

    async def recreate(self) -> Result | None:
        down = [rollout.Scale(item, 0) for item in self.old if rollout.replicas(item) > 0]
        for step in down:
            await self.resize(step)
        if down or self.old_pods_exist():
            return await self.report()
        new = self.new or await self.create_new()
        if new is None:
            return None
        up = rollout.grow(self.deployment, new, self.old)
        if up is not None:
            await self.resize(up)
        if progress.is_complete(self.deployment, self.deployment.get("status") or {}):
            await self.clean_up()
        return await self.report()

    def old_pods_exist(self) -> bool:
        if rollout.counted(self.old, "replicas"):
            return True
        namespace = self.deployment["metadata"]["namespace"]
        return any(
            not pods.is_terminal(pod)
            for item in self.old
            for pod in self.context.source.owned_by(PODS, namespace, item["metadata"]["uid"])
        )

    async def note_pause(self) -> None:
        found = progress.paused_condition(self.deployment, self.context.clock.now())
        if found is not None:
            await self.set_condition(found)

    async def sync_new(self) -> None:
        """Bring the existing new ReplicaSet's annotations and the deployment's revision up to date."""
        if self.new is None:
            return
        spec = self.deployment["spec"]
        highest = max((rollout.revision(item) for item in self.old), default=0)
        annotations = rollout.new_annotations(self.deployment, self.new, highest + 1)
        ready = spec.get("minReadySeconds") or 0
        if annotations != (self.new["metadata"].get("annotations") or {}) or ready != (
            self.new["spec"].get("minReadySeconds") or 0
        ):
            metadata = {**self.new["metadata"], "annotations": annotations}
            changed = {**self.new, "metadata": metadata, "spec": {**self.new["spec"], "minReadySeconds": ready}}
            self.new = await self.context.client.update(REPLICA_SETS, changed)
        conditions = list((self.deployment.get("status") or {}).get("conditions") or ())
        found = None
        if progress.deadline(self.deployment) is not None and statuses.find(conditions, "Progressing") is None:
            message = f'Found new replica set "{self.new["metadata"]["name"]}"'
            found = progress.condition("Progressing", "True", "FoundNewReplicaSet", message, self.context.clock.now())
        await self.note_revision(annotations.get(rollout.REVISION, ""), found)

    async def create_new(self) -> Object | None:
        deployment = self.deployment
        highest = max((rollout.revision(item) for item in self.old), default=0)
        wanted = _new_replica_set(deployment, highest + 1)
        wanted["spec"]["replicas"] = size = rollout.new_size(deployment, [*self.old, wanted], wanted)
        name = wanted["metadata"]["name"]
        try:
            self.new = await self.context.client.create(REPLICA_SETS, wanted)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                self.new = await self.existing(name)
            elif namespace_is_terminating(error):
                return None
            else:
                await self.report_creation_failure(name, error)
                raise
            return self.new
        if size > 0:
            self.event("Normal", "ScalingReplicaSet", f"Scaled up replica set {name} from 0 to {size}")
        found = None
        if progress.deadline(deployment) is not None:
            message = f'Created new replica set "{name}"'
            now = self.context.clock.now()
            found = progress.condition("Progressing", "True", "NewReplicaSetCreated", message, now)
        await self.note_revision(str(highest + 1), found)
        return self.new

    async def existing(self, name: str) -> Object:
        """Ours, unseen by a stale source; or a collision of hashes, which the next reconciliation avoids."""
        deployment = self.deployment
        found = await self.context.client.get(REPLICA_SETS, deployment["metadata"]["namespace"], name)
        ours = ownership.is_controlled_by(found, deployment)
        if ours and hashing.same_template(found["spec"]["template"], deployment["spec"]["template"]):
            return found
        status = dict(deployment.get("status") or {})
        status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
        await self.context.client.update_status(DEPLOYMENTS, {**deployment, "status": status})
        raise StatusError(409, "AlreadyExists", f"replica set {name} exists with another template")

    async def report_creation_failure(self, name: str, error: StatusError) -> None:
        message = f'Failed to create new replica set "{name}": {error}'
        if progress.deadline(self.deployment) is not None:
            now = self.context.clock.now()
            await self.set_condition(progress.condition("Progressing", "False", "ReplicaSetCreateError", message, now))
        self.event("Warning", "ReplicaSetCreateError", message)

    async def resize(self, step: rollout.Scale) -> None:
        item = step.replica_set
        size = rollout.replicas(item)
        current = item["metadata"].get("annotations") or {}
        annotations = {**current, **rollout.size_annotations(self.deployment)}
        if size == step.replicas and annotations == current:
            return
        metadata = {**item["metadata"], "annotations": annotations}
        changed = {**item, "metadata": metadata, "spec": {**item["spec"], "replicas": step.replicas}}
        updated = await self.context.client.update(REPLICA_SETS, changed)
        if self.new is item:
            self.new = updated
        else:
            self.old = [updated if known is item else known for known in self.old]
        if size != step.replicas:
            direction = "up" if size < step.replicas else "down"
            name = item["metadata"]["name"]
            self.event(
                "Normal",
                "ScalingReplicaSet",
                f"Scaled {direction} replica set {name} from {size} to {step.replicas}",
            )

    async def clean_up(self) -> None:
        for item in rollout.superfluous(self.deployment, self.old):
            metadata = item["metadata"]
            try:
                await self.context.client.delete(
                    REPLICA_SETS, metadata["namespace"], metadata["name"], uid=metadata["uid"]
                )
            except StatusError as error:
                if error.code not in (404, 409):
                    raise

    async def report(self, *, progressing: bool = True) -> Result | None:
        now = self.context.clock.now()
        status = progress.counts(self.deployment, self.new, self.everything, now)
        if not progressing:
            await statuses.write(self.context, DEPLOYMENTS, self.deployment, status)
            return None
        status = progress.with_progress(self.deployment, self.new, self.everything, status, now)
        await statuses.write(self.context, DEPLOYMENTS, self.deployment, status)
        return Result(progress.next_check(self.deployment, status, now))

    async def set_condition(self, condition: Object) -> None:
        status = dict(self.deployment.get("status") or {})
        status["conditions"] = progress.set_condition(list(status.get("conditions") or ()), condition)
        self.deployment = await statuses.write(self.context, DEPLOYMENTS, self.deployment, status)

    async def note_revision(self, revision: str, condition: Object | None) -> None:
        """The deployment carries its new ReplicaSet's revision; written together with a condition, as status."""
        metadata = self.deployment["metadata"]
        annotations = metadata.get("annotations") or {}
        if annotations.get(rollout.REVISION) == revision and condition is None:
            return
        status = dict(self.deployment.get("status") or {})
        if condition is not None:
            status["conditions"] = progress.set_condition(list(status.get("conditions") or ()), condition)
        metadata = {**metadata, "annotations": {**annotations, rollout.REVISION: revision}}
        changed = {**self.deployment, "metadata": metadata, "status": status}
        self.deployment = await self.context.client.update_status(DEPLOYMENTS, changed)

    def event(self, type: str, reason: str, message: str) -> None:
        self.context.recorder.event(self.deployment, type, reason, message)


def _new_replica_set(deployment: Object, revision: int) -> Object:
    metadata, spec = deployment["metadata"], deployment["spec"]
    template = spec["template"]
    digest = hashing.digest(template, (deployment.get("status") or {}).get("collisionCount"))
    mark = {hashing.POD_TEMPLATE_HASH: digest}
    template_metadata = template.get("metadata") or {}
    labels = {**(template_metadata.get("labels") or {}), **mark}
    selector = {**spec["selector"], "matchLabels": {**(spec["selector"].get("matchLabels") or {}), **mark}}
    made: Object = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{metadata['name'][: 253 - 1 - len(digest)]}-{digest}",
            "namespace": metadata["namespace"],
            "labels": labels,
            "ownerReferences": [ownership.controller_reference(deployment)],
        },
        "spec": {
            "replicas": 0,
            "selector": selector,
            "template": {**template, "metadata": {**template_metadata, "labels": labels}},
        },
    }
    if spec.get("minReadySeconds"):
        made["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    made["metadata"]["annotations"] = {
        **rollout.new_annotations(deployment, made, revision),
        **rollout.size_annotations(deployment),
    }
    return made


async def reconcile(context: Context, key: Key) -> Result | None:
    deployment = context.source.get(DEPLOYMENTS, *key)
    if deployment is None:
        return None
    selector = deployment["spec"]["selector"]
    if selectors.is_empty(selector):
        message = "This deployment is selecting all pods. A non-empty selector is required."
        context.recorder.event(deployment, "Warning", "SelectingAll", message)
        status = {**(deployment.get("status") or {}), "observedGeneration": deployment["metadata"].get("generation")}
        await statuses.write(context, DEPLOYMENTS, deployment, status)
        return None
    replica_sets = await ownership.claim(context, REPLICA_SETS, deployment, DEPLOYMENTS, selector)
    return await _Rollout(context, deployment, replica_sets).run()


def _of_deleted_pod(context: Context, change: Change) -> Iterable[Key]:
    """A Recreate deployment waits for the last old pod to be gone."""
    if change.new is not None and not pods.is_terminal(change.new):
        return ()
    reference = ownership.controller_of(change.object)
    if reference is None or reference["kind"] != "ReplicaSet":
        return ()
    namespace = change.object["metadata"]["namespace"]
    replica_set = context.source.get(REPLICA_SETS, namespace, reference["name"])
    parent = ownership.controller_of(replica_set) if replica_set is not None else None
    return (Key(namespace, parent["name"]),) if parent is not None and parent["kind"] == "Deployment" else ()


CONTROLLER = Controller(
    "deployment-controller",
    (
        Watch(DEPLOYMENTS),
        Watch(REPLICA_SETS, lookup=ownership.keys_of_claimants(DEPLOYMENTS)),
        Watch(PODS, lookup=_of_deleted_pod),
    ),
    reconcile,
)
