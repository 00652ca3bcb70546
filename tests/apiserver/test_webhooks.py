"""Admission webhooks: who is asked, about what, in which order, and what comes of the answers."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from tests.apiserver import world
from tests.apiserver.world import ADMIN, Api

from kloster.apimachinery import Object
from kloster.apiserver import auditing, pipeline
from kloster.apiserver.audit import event
from kloster.apiserver.audit.event import Noted
from kloster.apiserver.call import Call
from kloster.apiserver.cluster import ServedCluster, Settings
from kloster.apiserver.observability import metrics
from kloster.apiserver.observability.tally import Tally
from kloster.apiserver.pending import WebhookFailed
from kloster.client.transport import Request, Response

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1"
MAPS = "/api/v1/namespaces/n/configmaps"
Reply = Callable[[Object], Object]


class Outside:
    """What webhooks outside answer, by the name in their URL. `asked` are (name, request) in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Object]] = []
        self.replies: dict[str, Reply] = {}
        self.before: Callable[[str], Awaitable[None]] | None = None

    async def __call__(self, cluster: ServedCluster, client: Object, body: bytes, timeout: float) -> bytes:
        name = client["url"].rpartition("/")[2]
        review = orjson.loads(body)
        self.asked.append((name, review["request"]))
        if self.before is not None:
            await self.before(name)
        response = self.replies.get(name, lambda _: {})(review["request"])
        answer = {"uid": review["request"]["uid"], "allowed": True, **response}
        return orjson.dumps({"kind": "AdmissionReview", "apiVersion": review["apiVersion"], "response": answer})

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.asked]


def patch(*operations: Object) -> Object:
    return {"patch": base64.b64encode(orjson.dumps(list(operations))).decode(), "patchType": "JSONPatch"}


def label(name: str) -> Reply:
    """Adds a label."""

    def reply(request: Object) -> Object:
        labels = {**request["object"]["metadata"].get("labels", {}), name: "yes"}
        return patch({"op": "add", "path": "/metadata/labels", "value": labels})

    return reply


def refuse(**status: Any) -> Reply:
    return lambda _: {"allowed": False, **({"status": status} if status else {})}


def fail(_: Object) -> Object:
    raise WebhookFailed("no route to host")


def hook(name: str, **more: Any) -> Object:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}
    return {
        "name": f"{name}.example.org",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"url": f"https://outside/{name}"},
        "rules": [{**rule, **more.pop("rule", {})}],
        **more,
    }


def check(
    test: Callable[[Api, Outside], Awaitable[None]],
    *,
    mutating: list[Object] | None = None,
    validating: list[Object] | None = None,
    plugins_off: frozenset[str] = frozenset(),
) -> None:
    """Run a test in a cluster with these webhooks."""

    async def body(cluster: ServedCluster, api: Api) -> None:
        outside = Outside()
        cluster.ports.webhooks = outside
        cluster.settings = Settings(service_cidr="10.0.0.0/24", plugins_off=plugins_off)
        for kind, hooks in (("mutating", mutating), ("validating", validating)):
            if hooks:
                made = {"metadata": {"name": "all"}, "webhooks": hooks}
                await api.ok("POST", f"{CONFIGURATIONS}/{kind}webhookconfigurations", made)
        await test(api, outside)

    world.on_cluster(body)


def test_a_patch_is_written_and_what_was_promised_is_kept() -> None:
    """The object that is stored is the one that was shown: same UID, same time, same generated name."""

    async def test(api: Api, outside: Outside) -> None:
        outside.replies["m"] = label("m")
        made = await api.ok("POST", MAPS, {"metadata": {"generateName": "a-"}, "data": {"k": "v"}})
        assert made["metadata"]["labels"] == {"m": "yes"}
        assert outside.names == ["m", "v"]
        changing, refusing = (request for _, request in outside.asked)
        assert "uid" not in changing["object"]["metadata"] and "name" not in changing
        shown = refusing["object"]["metadata"]
        assert {name: shown[name] for name in ("uid", "name", "creationTimestamp", "labels")} == {
            name: made["metadata"][name] for name in ("uid", "name", "creationTimestamp", "labels")
        }
        assert changing["operation"] == "CREATE" and changing["oldObject"] is None
        assert changing["options"] == {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}

    check(test, mutating=[hook("m")], validating=[hook("v")])


def test_the_order_is_that_of_the_list_and_each_sees_what_came_before() -> None:
    async def test(api: Api, outside: Outside) -> None:
        outside.replies.update(first=label("first"), second=label("second"))
        await api.ok("POST", MAPS, {"metadata": {"name": "a"}})
        assert outside.names == ["first", "second"]
        assert outside.asked[1][1]["object"]["metadata"]["labels"] == {"first": "yes"}

    check(test, mutating=[hook("first"), hook("second")])


@pytest.mark.parametrize(
    ("policy", "expected"),
    [pytest.param("IfNeeded", ["a", "b", "a"], id="if-needed"), pytest.param("Never", ["a", "b"], id="never")],
)
def test_who_was_overtaken_is_asked_again(policy: str, expected: list[str]) -> None:
    async def test(api: Api, outside: Outside) -> None:
        outside.replies["b"] = label("b")
        await api.ok("POST", MAPS, {"metadata": {"name": "a"}})
        assert outside.names == expected

    check(test, mutating=[hook("a", reinvocationPolicy=policy), hook("b", reinvocationPolicy=policy)])


@pytest.mark.parametrize(
    ("more", "asked"),
    [
        pytest.param({"rule": {"operations": ["UPDATE"]}}, False, id="operation"),
        pytest.param({"rule": {"operations": ["CREATE"]}}, True, id="this-operation"),
        pytest.param({"rule": {"apiGroups": ["apps"]}}, False, id="group"),
        pytest.param({"rule": {"resources": ["*"]}}, True, id="all-resources"),
        pytest.param({"rule": {"resources": ["*/status"]}}, False, id="subresource"),
        pytest.param({"rule": {"resources": ["*/*"]}}, True, id="everything"),
        pytest.param({"rule": {"scope": "Cluster"}}, False, id="cluster-scope"),
        pytest.param({"rule": {"scope": "Namespaced"}}, True, id="namespaced"),
        pytest.param({"objectSelector": {"matchLabels": {"x": "y"}}}, True, id="object"),
        pytest.param({"objectSelector": {"matchLabels": {"x": "z"}}}, False, id="other-object"),
        pytest.param(
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "n"}}}, True, id="namespace"
        ),
        pytest.param(
            {
                "namespaceSelector": {
                    "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "DoesNotExist"}]
                }
            },
            False,
            id="other-namespace",
        ),
    ],
)
def test_who_is_asked(more: Object, asked: bool) -> None:
    async def test(api: Api, outside: Outside) -> None:
        await api.ok("POST", MAPS, {"metadata": {"name": "a", "labels": {"x": "y"}}})
        assert outside.names == (["v"] if asked else [])

    check(test, validating=[hook("v", **more)])


@pytest.mark.parametrize(
    ("reply", "code", "message"),
    [
        pytest.param(refuse(), 400, "denied the request without explanation", id="bare"),
        pytest.param(refuse(message="no", code=403, reason="Forbidden"), 403, "denied the request: no", id="status"),
        pytest.param(refuse(message="no", code=200), 400, "denied the request: no", id="not-a-refusal-code"),
        pytest.param(refuse(reason="Because"), 400, "denied the request: Because", id="reason"),
    ],
)
def test_refusals(reply: Reply, code: int, message: str) -> None:
    async def test(api: Api, outside: Outside) -> None:
        outside.replies["v"] = reply
        answer = await api.json("POST", MAPS, {"metadata": {"name": "a"}})
        assert answer["message"] == f'admission webhook "v.example.org" {message}'
        assert answer["code"] == code
        assert (await api.send("GET", f"{MAPS}/a")).status == 404

    check(test, validating=[hook("v")])


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        pytest.param(fail, "failed to call webhook: no route to host", id="no-answer"),
        pytest.param(
            lambda _: {"uid": "x"},
            'received invalid webhook response: expected response.uid="UID", got "x"',
            id="other-uid",
        ),
        pytest.param(
            lambda _: patch({"op": "test"}),
            "received invalid webhook response: validating webhook may not return response.patch",
            id="patch",
        ),
    ],
)
@pytest.mark.parametrize("policy", ["Fail", "Ignore"])
def test_failures_follow_the_failure_policy(reply: Reply, text: str, policy: str) -> None:
    async def test(api: Api, outside: Outside) -> None:
        outside.replies["v"] = reply
        answer = await api.json("POST", MAPS, {"metadata": {"name": "a"}})
        if policy == "Ignore":
            assert answer["metadata"]["name"] == "a"
            return
        shown = text.replace("UID", outside.asked[0][1]["uid"])
        assert answer["message"] == f'Internal error occurred: failed calling webhook "v.example.org": {shown}'
        assert (answer["code"], answer["reason"]) == (500, "InternalError")

    check(test, validating=[hook("v", failurePolicy=policy)])


def test_dry_runs_ask_and_write_nothing() -> None:
    async def test(api: Api, outside: Outside) -> None:
        outside.replies["m"] = label("m")
        made = await api.ok("POST", f"{MAPS}?dryRun=All", {"metadata": {"name": "a"}})
        assert made["metadata"]["labels"] == {"m": "yes"}
        assert outside.asked[0][1]["dryRun"] is True
        assert outside.asked[0][1]["options"]["dryRun"] == ["All"]
        assert (await api.send("GET", f"{MAPS}/a")).status == 404

    check(test, mutating=[hook("m")])


def test_warnings_are_passed_on_once() -> None:
    async def test(api: Api, outside: Outside) -> None:
        outside.replies["m"] = lambda _: {"warnings": ["careful"]}
        outside.replies["v"] = lambda _: {"warnings": ["careful", "slow"]}
        answer = await api.send("POST", MAPS, {"metadata": {"name": "a"}})
        assert answer.headers["warning"] == '299 - "careful", 299 - "slow"'

    check(test, mutating=[hook("m")], validating=[hook("v")])


def test_updates_and_deletions_show_the_old_object() -> None:
    async def test(api: Api, outside: Outside) -> None:
        await api.ok("POST", MAPS, {"metadata": {"name": "a"}, "data": {"k": "1"}})
        await api.ok("PATCH", f"{MAPS}/a", {"data": {"k": "2"}})
        await api.ok("DELETE", f"{MAPS}/a")
        seen = [
            (one["operation"], one["object"] and one["object"]["data"], one["oldObject"]) for _, one in outside.asked
        ]
        assert [(operation, new) for operation, new, _ in seen] == [
            ("CREATE", {"k": "1"}),
            ("UPDATE", {"k": "2"}),
            ("DELETE", None),
        ]
        assert [old and old["data"] for _, _, old in seen] == [None, {"k": "1"}, {"k": "2"}]
        assert outside.asked[1][1]["options"]["kind"] == "UpdateOptions"

    check(test, validating=[hook("v")])


def test_deleting_a_collection_asks_about_each() -> None:
    async def test(api: Api, outside: Outside) -> None:
        for name in ("a", "b", "c"):
            await api.ok("POST", MAPS, {"metadata": {"name": name, "labels": {"of": "us"}}})
        outside.asked.clear()
        outside.replies["v"] = lambda request: {"allowed": request["oldObject"]["metadata"]["name"] != "c"}
        answer = await api.json("DELETE", f"{MAPS}?labelSelector=of%3Dus")
        assert answer["message"] == 'admission webhook "v.example.org" denied the request without explanation'
        assert [one["oldObject"]["metadata"]["name"] for _, one in outside.asked] == ["a", "b", "c"]
        assert not any("name" in one for _, one in outside.asked), "the request names none"

    check(test, validating=[hook("v")])


def test_who_is_overtaken_by_another_write_is_asked_about_the_newest() -> None:
    async def test(api: Api, outside: Outside) -> None:
        await api.ok("POST", MAPS, {"metadata": {"name": "a"}, "data": {"k": "1"}})
        outside.asked.clear()

        async def meddle(name: str) -> None:
            outside.before = None
            await api.ok("PATCH", f"{MAPS}/a", {"data": {"other": "x"}})

        outside.before = meddle
        made = await api.ok("PATCH", f"{MAPS}/a", {"data": {"k": "2"}})
        assert made["data"] == {"k": "2", "other": "x"}
        assert outside.asked[-1][1]["object"]["data"] == {"k": "2", "other": "x"}
        assert len(outside.asked) == 3  # the overtaken, the overtaking, the overtaken again

    check(test, validating=[hook("v")])


def test_an_equivalent_version_is_converted() -> None:
    rule = {"apiGroups": ["autoscaling"], "apiVersions": ["v2"], "resources": ["horizontalpodautoscalers"]}
    target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    scaler = {"metadata": {"name": "h"}, "spec": {"maxReplicas": 3, "scaleTargetRef": target}}

    async def test(api: Api, outside: Outside) -> None:
        outside.replies["m"] = lambda _: patch({"op": "replace", "path": "/spec/maxReplicas", "value": 7})
        made = await api.ok("POST", "/apis/autoscaling/v1/namespaces/n/horizontalpodautoscalers", scaler)
        assert (made["apiVersion"], made["spec"]["maxReplicas"]) == ("autoscaling/v1", 7)
        request = outside.asked[0][1]
        assert request["object"]["apiVersion"] == "autoscaling/v2" and "metrics" in request["object"]["spec"]
        assert (request["kind"]["version"], request["requestKind"]["version"]) == ("v2", "v1")

    check(test, mutating=[hook("m", rule=rule)])


def test_a_patch_that_makes_nonsense_is_an_error() -> None:
    async def test(api: Api, outside: Outside) -> None:
        outside.replies["m"] = lambda _: patch({"op": "add", "path": "/data", "value": [1]})
        answer = await api.json("POST", MAPS, {"metadata": {"name": "a"}})
        assert answer["code"] == 500 and answer["message"].startswith("Internal error occurred: ")

    check(test, mutating=[hook("m")])


def test_nobody_is_asked_about_configurations_themselves() -> None:
    """Otherwise a broken webhook could not be taken away."""
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}

    async def test(api: Api, outside: Outside) -> None:
        outside.replies["v"] = refuse()
        await api.ok("DELETE", f"{CONFIGURATIONS}/validatingwebhookconfigurations/all")
        assert outside.asked == []
        await api.ok("POST", MAPS, {"metadata": {"name": "a"}})

    check(test, validating=[hook("v", rule=rule)])


def test_plugins_can_be_switched_off() -> None:
    async def test(api: Api, outside: Outside) -> None:
        await api.ok("POST", MAPS, {"metadata": {"name": "a"}})
        assert outside.names == ["v"]

    check(test, mutating=[hook("m")], validating=[hook("v")], plugins_off=frozenset({"MutatingAdmissionWebhook"}))


def test_calls_are_counted() -> None:
    """By upstream's names; what a webhook refused, what failed and what failed without harm is told apart."""

    async def test(api: Api, outside: Outside) -> None:
        tally = api.cluster.ports.tally = Tally()
        outside.replies.update(lax=fail)
        await api.ok("POST", MAPS, {"metadata": {"name": "a"}})
        outside.replies.update(v=refuse(code=403))
        assert (await api.send("POST", MAPS, {"metadata": {"name": "b"}})).status == 403
        outside.replies.update(v=fail)
        assert (await api.send("POST", MAPS, {"metadata": {"name": "c"}})).status == 500
        told = metrics.exposition(tally).decode()
        name = 'name="v.example.org",operation="CREATE"'
        for line in (
            f'webhook_request_total{{code="200",{name},rejected="false",type="validating"}} 1.0',
            f'webhook_request_total{{code="403",{name},rejected="true",type="validating"}} 1.0',
            f'webhook_rejection_count{{error_type="no_error",{name},rejection_code="403",type="validating"}} 1.0',
            f'webhook_rejection_count{{error_type="calling_webhook_error",{name},rejection_code="503",'
            'type="validating"} 1.0',
            'webhook_fail_open_count{name="lax.example.org",type="admit"} 3.0',
            'webhook_admission_duration_seconds_count{name="lax.example.org",operation="CREATE",rejected="false",'
            'type="admit"} 3.0',
        ):
            assert f"apiserver_admission_{line}" in told.splitlines(), told

    check(test, mutating=[hook("lax", failurePolicy="Ignore")], validating=[hook("v")])


def test_what_webhooks_want_noted_is_noted() -> None:
    async def test(api: Api, outside: Outside) -> None:
        outside.replies["v"] = lambda _: {"auditAnnotations": {"why": "because", "long": "x" * 10_000}}
        noted: list[Noted] = []
        body = orjson.dumps({"metadata": {"name": "a"}})
        headers = {"content-type": "application/json"}
        call = Call(api.cluster, Request("POST", MAPS, headers=headers, body=body, user=ADMIN))
        answer = auditing.noted(pipeline._answer, call, lambda one, *_: noted.append(one))
        assert not isinstance(answer, Response)
        await answer
        found = event.event(noted[0], event.COMPLETE)["annotations"]
        assert found["v.example.org/why"] == "because" and len(found["v.example.org/long"]) == 4096

    check(test, validating=[hook("v")])
