"""Lists of thousands of items where each could be compared with each: bodies of a few hundred kilobytes that would take
minutes, in a thread or not."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from tests.apiserver import world
from tests.attacks import lag
from tests.attacks.bounds import bounded
from tests.attacks.test_exhaustion import MAPS, THINGS, cluster, define, thing

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.apiserver.authorization import escalation
from kloster.kinds import selector

MANY = 15_000
PODS = "/api/v1/namespaces/default/pods"
STORAGE = "/apis/storage.k8s.io/v1/storageclasses"
QUOTAS = "/api/v1/namespaces/default/resourcequotas"
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
STRATEGIC = {"content-type": "application/strategic-merge-patch+json"}


def owner(number: int, controller: bool = False) -> Object:
    found: Object = {"apiVersion": "v1", "kind": "ConfigMap", "name": f"n{number}", "uid": f"{number}"}
    return {**found, "controller": True} if controller else found


def pod(**spec: Any) -> Object:
    return {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def spreading(number: int) -> Object:
    return {"maxSkew": 1, "topologyKey": f"k{number}", "whenUnsatisfiable": "DoNotSchedule"}


def claims() -> Object:
    container = {"name": "c", "image": "i", "resources": {"claims": [{"name": f"n{number}"} for number in range(MANY)]}}
    return pod(containers=[container])


BODIES: dict[str, tuple[str, Object]] = {
    "owners": (MAPS, {"metadata": {"name": "x", "ownerReferences": [owner(number) for number in range(MANY)]}}),
    "controllers": (
        MAPS,
        {"metadata": {"name": "x", "ownerReferences": [owner(number, True) for number in range(MANY)]}},
    ),
    "topologies": (
        STORAGE,
        {"metadata": {"name": "x"}, "provisioner": "p", "allowedTopologies": [{} for _ in range(MANY)]},
    ),
    "values of a topology": (
        STORAGE,
        {
            "metadata": {"name": "x"},
            "provisioner": "p",
            "allowedTopologies": [
                {"matchLabelExpressions": [{"key": "k", "values": [f"v{number}" for number in range(MANY)]}]}
            ],
        },
    ),
    "scopes": (QUOTAS, {"metadata": {"name": "x"}, "spec": {"scopes": [f"s{number}" for number in range(MANY)]}}),
    "usages": (
        REQUESTS,
        {
            "metadata": {"name": "x"},
            "spec": {"request": world.CERTIFICATE_REQUEST, "signerName": "a.b/c", "usages": ["client auth"] * MANY},
        },
    ),
    "claims of a container": (PODS, claims()),
    "spreading": (PODS, pod(topologySpreadConstraints=[spreading(number) for number in range(MANY)])),
    "tolerations": (PODS, pod(tolerations=[{"operator": "Exists", "key": f"k{number}"} for number in range(MANY)])),
}


@pytest.mark.parametrize(("target", "body"), BODIES.values(), ids=BODIES.keys())
def test_bodies(target: str, body: Object) -> None:
    async def go() -> None:
        _, api = await cluster()
        with bounded(6.0):
            answer = await api.send("POST", target, body)
        assert answer.status < 500, answer.body[:500]
        assert len(answer.body) < 8 << 20

    asyncio.run(go())


def env(count: int, value: str) -> list[Object]:
    return [{"name": f"E{number}", "value": value} for number in range(count)]


@pytest.mark.parametrize("directive", ["", "delete", "setElementOrder"])
def test_strategic_merge_patches(directive: str) -> None:
    async def go() -> None:
        _, api = await cluster()
        await api.ok("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        template = pod(containers=[{"name": "c", "image": "i", "env": env(MANY, "a")}])
        labels = {"app": "x"}
        deployment = {
            "metadata": {"name": "x"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": template["spec"]},
            },
        }
        target = "/apis/apps/v1/namespaces/default/deployments"
        await api.ok("POST", target, deployment)
        container: Object = {"name": "c", "env": env(MANY, "b")}
        if directive == "delete":
            container["env"] = [{"name": one["name"], "$patch": "delete"} for one in container["env"]]
        elif directive:
            container = {
                "name": "c",
                "$setElementOrder/env": [{"name": one["name"]} for one in reversed(env(MANY, ""))],
            }
        patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
        with bounded(10.0):
            answer = await api.send("PATCH", f"{target}/x", orjson.dumps(patch), STRATEGIC)
        assert answer.status == 200, answer.body[:500]
        shown = orjson.loads(answer.body)["spec"]["template"]["spec"]["containers"][0].get("env") or []
        assert len(shown) == (0 if directive == "delete" else MANY)
        assert not shown or shown[0] == {"": env(1, "b")[0], "setElementOrder": env(MANY, "a")[-1]}[directive]

    asyncio.run(go())


TEXTS: dict[str, tuple[Object, int]] = {
    "members": ({"enum": [f"e{number}" for number in range(20_000)]}, 422),
    "alternatives": ({"anyOf": [{"pattern": f"^a{number}$"} for number in range(1_000)]}, 413),
    "alternatives of alternatives": ({"allOf": [{"oneOf": [{"minLength": 1}] * 40}] * 40}, 413),
}


@pytest.mark.parametrize(("schema", "status"), TEXTS.values(), ids=TEXTS.keys())
def test_schemas_of_tenants(schema: Object, status: int) -> None:
    """What each value of a custom object is compared with."""

    async def go() -> None:
        _, api = await cluster()
        text = {"type": "string", **schema}
        spec = {"type": "array", "items": text}
        await define(api, {"type": "object", "properties": {"spec": spec}})
        with bounded(20.0):
            async with lag.measured() as seen:
                answer = await api.send("POST", THINGS, thing([f"x{number}" for number in range(5_000)]))
        assert answer.status == status, answer.body[:500]
        assert seen.worst < 0.5
        assert len(answer.body) < 64 << 20

    asyncio.run(go())


def test_permissions_that_nobody_can_count() -> None:
    """Three lists of three hundred names are 27 million permissions, each to be compared with those held."""
    names = [f"n{number}" for number in range(300)]
    rule = {"apiGroups": names, "resources": names, "verbs": names}
    with bounded(3.0):
        for held in ([], [{"apiGroups": [name], "resources": names, "verbs": ["get"]} for name in names]):
            with pytest.raises(StatusError) as caught:
                escalation.covers(held, [rule])
            assert caught.value.code == 413
        everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
        assert escalation.covers([everything], [rule] * 100) == []


SELECTORS: dict[str, Object] = {
    "that there is no such label": {"operator": "DoesNotExist"},
    "that it has another value": {"operator": "NotIn", "values": ["v"]},
}


@pytest.mark.parametrize("expression", SELECTORS.values(), ids=SELECTORS.keys())
def test_selectors_of_objects(expression: Object) -> None:
    """As controllers ask them: of each pod."""
    chosen = {"matchExpressions": [{"key": f"k{number}", **expression} for number in range(20_000)]}
    pods = [{"app": f"a{number}"} for number in range(5_000)]
    with bounded(2.0):
        assert all(selector.matches(chosen, labels) for labels in pods)


def test_values_of_selectors() -> None:
    values = [f"v{number}" for number in range(50_000)]
    chosen = {"matchExpressions": [{"key": "app", "operator": "In", "values": values}]}
    with bounded(2.0):
        assert all(selector.matches(chosen, {"app": value}) for value in values[-5_000:])
