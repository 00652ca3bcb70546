"""Which changes the syncer knows to be its own, and how often it looks at a pod on its way to running."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.syncer.world import Virtual, World, syncing

from kloster.client.api import Change
from kloster.client.resources import CONFIG_MAPS, PODS
from kloster.syncer import engine
from kloster.syncer.actions import Action, BindVirtual, CreateHost, PatchVirtual
from kloster.syncer.echoes import echo_of

Object = dict[str, Any]

POD: Object = {
    "metadata": {"name": "web", "namespace": "shop", "uid": "u", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "app"}]},
    "status": {"phase": "Pending", "reason": "New"},
}


def changed(**parts: Object) -> Object:
    """The pod with parts of its metadata, spec or status set."""
    pod = copy.deepcopy(POD)
    for part, values in parts.items():
        pod[part].update(values)
    return pod


RUNNING = PatchVirtual({"status": {"phase": "Running", "reason": None}}, "merge", "status")
RAN = {**changed(), "status": {"phase": "Running"}}


@pytest.mark.parametrize(
    ("action", "change", "on_host", "is_echo"),
    [
        pytest.param(RUNNING, Change(PODS, POD, RAN), False, True, id="status"),
        pytest.param(RUNNING, Change(PODS, POD, changed(status={"phase": "Running"})), False, False, id="other status"),
        pytest.param(RUNNING, Change(PODS, POD, RAN), True, False, id="status of the host"),
        pytest.param(RUNNING, Change(PODS, POD, {**RAN, "spec": {}}), False, False, id="status and spec"),
        pytest.param(RUNNING, Change(PODS, None, RAN), False, False, id="a new pod"),
        pytest.param(RUNNING, Change(PODS, POD, None), False, False, id="no pod"),
        pytest.param(
            RUNNING,
            Change(PODS, POD, {**RAN, "metadata": {**POD["metadata"], "deletionTimestamp": "now"}}),
            False,
            False,
            id="status and deletion",
        ),
        pytest.param(BindVirtual("n"), Change(PODS, POD, changed(spec={"nodeName": "n"})), False, True, id="binding"),
        pytest.param(
            BindVirtual("n"), Change(PODS, POD, changed(spec={"nodeName": "m"})), False, False, id="elsewhere"
        ),
        pytest.param(BindVirtual("n"), Change(PODS, POD, POD), False, False, id="not bound"),
        pytest.param(CreateHost(POD), Change(PODS, None, POD), True, True, id="creation"),
        pytest.param(CreateHost(POD), Change(PODS, None, POD), False, False, id="creation in the cluster"),
        pytest.param(
            CreateHost(POD), Change(PODS, None, changed(metadata={"labels": {}})), True, False, id="labels taken away"
        ),
        pytest.param(
            CreateHost(POD), Change(PODS, None, changed(spec={"nodeName": "n"})), True, False, id="bound at once"
        ),
    ],
)
def test_only_what_was_expected_is_an_echo(action: Action, change: Change, on_host: bool, is_echo: bool) -> None:
    echo = echo_of(PODS, action, POD)
    assert echo is not None
    assert echo(change, on_host) is is_echo


@pytest.mark.parametrize(
    "action",
    [
        pytest.param(PatchVirtual({"status": {}}, "strategic", "status"), id="another kind of patch"),
        pytest.param(PatchVirtual({"status": {}, "metadata": {}}, "merge", "status"), id="more than a status"),
        pytest.param(CreateHost(changed(spec={"readinessGates": [{"conditionType": "x"}]})), id="readiness gates"),
    ],
)
def test_what_has_to_be_looked_at_has_no_echo(action: Action) -> None:
    assert echo_of(PODS, action, POD) is None


def test_objects_of_other_kinds_are_looked_at_when_they_are_made() -> None:
    assert echo_of(CONFIG_MAPS, CreateHost({"metadata": {"name": "a"}}), None) is None


@syncing
async def test_a_pod_is_looked_at_when_there_is_news(world: World, dev: Virtual) -> None:
    looks = 0
    decide = engine.Syncer._reconcile

    async def counted(self: Any, translator: Any, *rest: Any) -> Any:
        nonlocal looks
        looks += translator.resource == PODS
        return await decide(self, translator, *rest)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine.Syncer, "_reconcile", counted)
        await dev.pod("web")
        await world.settle()
    assert (await dev.get(PODS, "web"))["status"]["phase"] == "Running"
    # the pod, its token, its node, three statuses of which the last is told, and a passing one that was overtaken
    assert looks <= 7
