"""The cluster object, on a fleet of its own."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from kubernetes import client
from kubernetes import config as kubeconfigs

from kloster.apimachinery.errors import StatusError
from kloster.apiserver.pki import key_pem, new_key
from kloster.testing import AsyncCluster, Cluster, Fleet, FleetGone, TestingError, WaitTimeout

DEFINITION = """
apiVersion: example.com/v1
kind: Widget
metadata: {name: first, namespace: things}
spec: {size: 3}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wg]}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: v1
kind: Pod
metadata: {name: one, namespace: things}
spec: {containers: [{name: c, image: nginx}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: things}
"""


@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_everything_is_applied_in_an_order_that_works(fleet: Fleet, version: str) -> None:
    with Cluster(version, name="order-*", fleet=fleet) as cluster:
        assert cluster.version.startswith(f"v{version}.")
        assert cluster.name.startswith("order-")
        applied = cluster.apply(DEFINITION)
        assert [one["kind"] for one in applied] == ["Widget", "CustomResourceDefinition", "Pod", "Namespace"]
        assert cluster.get("wg/first", namespace="things")["spec"] == {"size": 3}
        assert cluster.get("widgets.example.com", "first", namespace="things")["kind"] == "Widget"
        pod = cluster.wait_for("pod/one condition=Ready", namespace="things")
        assert pod["status"]["phase"] == "Running"
        cluster.delete("pod/one", namespace="things")
        assert not cluster.exists("pod/one", namespace="things")
        cluster.wait_for(lambda: [one for one in cluster.events(namespace="things") if one["reason"] == "Started"], 5)


def test_a_fork_is_a_copy_that_goes_its_own_way(fleet: Fleet) -> None:
    with Cluster("1.34", fleet=fleet) as cluster:
        cluster.apply(DEFINITION)
        cluster.wait_for("pod/one condition=Ready", namespace="things")
        with cluster.fork(name="copy-*") as fork:
            assert fork.version == cluster.version
            assert fork.get("widget/first", namespace="things")["spec"] == {"size": 3}
            fork.wait_for("pod/one condition=Ready", namespace="things")
            fork.delete("widget/first", namespace="things")
            cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}})
            assert not fork.exists("cm/later")
        assert cluster.exists("widget/first", namespace="things")


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda cluster: cluster.get("pod/x"), id="get"),
        pytest.param(lambda cluster: cluster.environment, id="environment"),
        pytest.param(lambda cluster: cluster.version, id="version"),
        pytest.param(lambda cluster: cluster.fork(), id="fork"),
        pytest.param(lambda cluster: cluster.wait_for("pod/x"), id="wait"),
        pytest.param(lambda cluster: cluster.logs(), id="logs"),
        pytest.param(lambda cluster: cluster.faults.add(resources="pods", error=500), id="faults"),
    ],
)
def test_what_is_used_too_early_or_too_late_says_so(fleet: Fleet, use: Callable[[Cluster], Any]) -> None:
    cluster = Cluster("1.34", fleet=fleet)
    with pytest.raises(TestingError, match=f"{cluster.name} is not started; use it as a context manager"):
        use(cluster)
    assert "not started" in repr(cluster)
    assert not hasattr(cluster, "anything")


def test_a_closed_cluster_is_not_started_again(fleet: Fleet) -> None:
    with Cluster("1.34", fleet=fleet) as cluster:
        assert cluster.start() is cluster
    for again in (cluster.start, cluster.fork):
        with pytest.raises(TestingError, match="is closed, and deleted"):
            again()


def test_a_name_is_free_again_once_its_cluster_is_closed(fleet: Fleet) -> None:
    with Cluster("1.34", name="again", fleet=fleet) as first:
        with pytest.raises(TestingError, match='"again" already exists'):
            Cluster("1.34", name="again", fleet=fleet).start()
        first.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}})
    with Cluster("1.34", name="again", fleet=fleet) as second:
        assert not second.exists("cm/mine")


def test_names_are_given_either_way(shared: Cluster) -> None:
    shared.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "either"}})
    assert shared.patch("configmap/either", {"data": {"a": "1"}})["data"] == {"a": "1"}
    assert shared.patch("cm/either", body={"data": {"a": "2"}})["data"] == {"a": "2"}
    assert shared.patch("cm", "either", [{"op": "remove", "path": "/data"}], type="json").get("data") is None
    assert shared.request("get", "/version")["major"] == "1"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        pytest.param(lambda c: c.patch("cm/a", {}, type="apply"), "expected a body and type='merge' or", id="type"),
        pytest.param(lambda c: c.patch("cm/a"), "found nothing to change", id="no body"),
        pytest.param(lambda c: c.events("web"), "expected something like \"pod/web-1\", found 'web'", id="events"),
        pytest.param(lambda c: c.logs("deployment/a"), "expected the name of a pod, found", id="logs"),
        pytest.param(lambda c: c.pods.crash("sts/a"), 'the name of a pod, found "sts/a"', id="crash"),
        pytest.param(lambda c: c.pods.crash("a", code="x"), "an exit code from 0 to 255, found 'x'", id="code"),
        pytest.param(lambda c: c.nodes.lose("pod/a"), "expected the name of a node", id="lose"),
        pytest.param(lambda c: c.request("GET", "version"), "expected a path such as", id="path"),
        pytest.param(lambda c: c.wait_for(True), "True is no condition: expected something like", id="no condition"),
        pytest.param(lambda c: c.wait_for("pod/a", "soon"), "'soon' is no duration", id="no duration"),
        pytest.param(lambda c: c.pods.serve("service/a", 443, "https://localhost:1"), "HOST:PORT", id="serve"),
    ],
)
def test_slips_are_told_in_one_line(shared: Cluster, call: Callable[[Cluster], Any], words: str) -> None:
    with pytest.raises(TestingError, match=words) as failure:
        call(shared)
    assert "\n" not in str(failure.value)


def test_a_condition_that_has_to_be_awaited_is_not_taken_for_true(shared: Cluster) -> None:
    async def never() -> bool:
        return False

    with pytest.raises(TestingError, match=r"await AsyncCluster.of\(cluster\).wait_for"):
        shared.wait_for(never)


def test_keys_that_are_not_there_yet_are_waited_for(shared: Cluster) -> None:
    shared.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "keys"}})
    with pytest.raises(WaitTimeout, match=r"not true after 0.1 s; it failed: KeyError 'data'"):
        shared.wait_for(lambda: shared.get("cm/keys")["data"]["x"] == "y", "100ms")


def test_objects_are_read_changed_and_deleted(shared: Cluster) -> None:
    for name in ("a", "b"):
        shared.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"x": name}}})
    assert [one["metadata"]["name"] for one in shared.list("cm", namespace="default", labels="x=b")] == ["b"]
    assert shared.list("configmap", labels="x=a")[0]["kind"] == "ConfigMap"
    assert shared.patch("cm", "a", {"data": {"k": "v"}})["data"] == {"k": "v"}
    shared.delete("cm", "a")
    shared.delete("cm", "a")
    with pytest.raises(StatusError, match='configmaps "a" not found'):
        shared.get("cm", "a")


def test_waiting_in_vain_shows_what_was_there(shared: Cluster) -> None:
    shared.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "seen"}, "data": {"k": "old"}})
    with pytest.raises(WaitTimeout, match=r"cm/seen jsonpath=\{.data.k\}=new: not true after 0.1 s; it was 'old'"):
        shared.wait_for("cm/seen jsonpath={.data.k}=new", 0.1)
    with pytest.raises(WaitTimeout, match=r"there is no such object\n  there are: .*seen"):
        shared.wait_for("cm/missing", 0.05)
    with pytest.raises(AssertionError, match=r"<lambda>: not true after 0.05 s; it returned 0"):
        shared.wait_for(lambda: 0, 0.05)
    with pytest.raises(WaitTimeout, match='it found nothing: configmaps "missing" not found'):
        shared.wait_for(lambda: shared.get("cm/missing"), 0.05)


def test_waiting_calls_until_it_is_true(shared: Cluster) -> None:
    numbers = iter(range(5))

    def third() -> int:
        number = next(numbers)
        assert number > 2, "too early"
        return number

    assert shared.wait_for(third, 5) == 3
    with pytest.raises(ZeroDivisionError):
        shared.wait_for(lambda: 1 // 0, 5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        pytest.param(lambda one: one.get("nothing/x"), 'serves no resource "nothing"', id="no-resource"),
        pytest.param(lambda one: one.get("deploymnt/x"), "did you mean deployment", id="slip"),
        pytest.param(lambda one: one.get("pods"), 'which pods\\? Name it: "pods/NAME"', id="no-name"),
        pytest.param(
            lambda one: one.apply({"apiVersion": "a/v1", "kind": "B", "metadata": {"name": "c"}}),
            'serves no kind "B" in a/v1; is its definition installed',
            id="no-definition",
        ),
    ],
)
def test_slips_are_one_clear_line(shared: Cluster, call: object, words: str) -> None:
    with pytest.raises(TestingError, match=words):
        call(shared)  # type: ignore[operator]


def test_wrong_versions_and_specs_are_one_clear_line(fleet: Fleet) -> None:
    with pytest.raises(TestingError, match=r"Kubernetes version '1.12' is not supported; supported are 1.31"):
        Cluster("1.12", fleet=fleet)
    with pytest.raises(TestingError, match=r"spec.syncc.x is not supported"):
        Cluster(spec={"syncc": {"x": 1}}, fleet=fleet).start()


def test_a_dump_holds_objects_and_no_secrets(shared: Cluster, tmp_path: Path) -> None:
    shared.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "hunter2"}})
    shared.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "c", "image": "nginx"}]},
        }
    )
    shared.wait_for("pod/p condition=Ready")
    shared.wait_for(lambda: "Started" in [one["reason"] for one in shared.events("pod/p")], 5)
    folder = shared.dump(tmp_path / "dump")
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"events.txt", "cluster.txt", "objects/default/pods/p.yaml", "logs/default.p.c.txt"} <= files
    assert "v1.34" in (folder / "cluster.txt").read_text()
    assert "Started pod/p: Started container c" in (folder / "events.txt").read_text()
    everything = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert "hunter2" not in everything
    assert "aHVudGVyMg" not in everything


def test_closed_clusters_are_deleted_and_say_so(fleet: Fleet) -> None:
    with Cluster("1.34", fleet=fleet) as cluster:
        kubeconfig = cluster.kubeconfig
        assert kubeconfig.stat().st_mode & 0o777 == 0o600
    assert not kubeconfig.exists()
    with pytest.raises(TestingError, match="is closed, and deleted"):
        cluster.get("ns/default")
    path = f"/apis/kloster.dev/v1alpha1/namespaces/default/virtualclusters/{cluster.name}"
    for _ in range(200):
        try:
            fleet.request("GET", path)
        except StatusError as error:
            assert error.code == 404
            break
        time.sleep(0.05)
    else:
        pytest.fail("the cluster is still there")


def test_that_the_fleet_has_ended_is_one_clear_line(tmp_path: Path) -> None:
    with Fleet(tmp_path / "kloster") as fleet, Cluster(fleet=fleet) as cluster:
        fleet.kill()
        with pytest.raises(FleetGone, match=r"the fleet \(process \d+\) has ended"):
            cluster.get("ns/default")
    assert not (tmp_path / "kloster").exists()


def test_the_same_for_asyncio(fleet: Fleet) -> None:
    async def use() -> None:
        async with AsyncCluster("1.34", fleet=fleet) as cluster:
            await cluster.apply(DEFINITION)
            await cluster.wait_for("pod/one condition=Ready", namespace="things")

            async def there() -> bool:
                return await cluster.exists("widget/first", namespace="things")

            assert await cluster.wait_for(there, 5)
            with pytest.raises(WaitTimeout, match="it returned False"):
                await cluster.wait_for(lambda: cluster.exists("widget/second", namespace="things"), 0.05)
            assert [one["metadata"]["name"] for one in await cluster.list("widgets")] == ["first"]
            async with cluster.fork() as fork:
                assert await fork.exists("widget/first", namespace="things")
                await fork.delete("widget/first", namespace="things")
            await cluster.delete("widget/first", namespace="things")
            await cluster.wait_for(lambda: cluster.events(namespace="things"), 5)

    asyncio.run(use())


def test_whoever_is_approved_gets_a_certificate_that_counts(fleet: Fleet, tmp_path: Path) -> None:
    key = new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    asked = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
    spec = {
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
        "request": base64.b64encode(asked.public_bytes(Encoding.PEM)).decode(),
    }
    request = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "jane"},
        "spec": spec,
    }
    with Cluster("1.34", fleet=fleet) as cluster:
        cluster.apply(request)
        decided = {"type": "Approved", "status": "True", "reason": "Known", "message": ""}
        cluster.patch("csr", "jane", {"status": {"conditions": [decided]}}, subresource="approval")
        issued = cluster.wait_for("csr/jane jsonpath={.status.certificate}")["status"]["certificate"]
        files = {"jane.crt": base64.b64decode(issued), "jane.key": key_pem(key)}
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        config["users"][0]["user"] = {
            "client-certificate": str(tmp_path / "jane.crt"),
            "client-key": str(tmp_path / "jane.key"),
        }
        (tmp_path / "config").write_text(yaml.safe_dump(config))
        api = client.CoreV1Api(kubeconfigs.new_client_from_config(str(tmp_path / "config")))  # type: ignore[no-untyped-call]
        with pytest.raises(client.ApiException, match='User \\\\"jane\\\\" cannot list resource'):
            api.list_namespaced_pod("default")
