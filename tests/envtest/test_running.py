"""The executables, started and ended as envtest does it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from tests.envtest import plane
from tests.envtest.plane import PATIENCE, Envtest

from kloster.envtest import shim

POD = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "i"}]}}


@pytest.fixture(scope="module")
def executables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plane.executables(tmp_path_factory.mktemp("assets dir"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, executables: Path) -> Iterator[Envtest]:
    """One that the tests which leave it running share."""
    with plane.environment(tmp_path_factory.mktemp("shared"), executables) as made:
        made.start_etcd()
        made.start_apiserver()
        yield made


@pytest.fixture
def own(tmp_path: Path, executables: Path) -> Iterator[Envtest]:
    with plane.environment(tmp_path / "own", executables) as made:
        yield made


def test_a_fresh_cluster(running: Envtest) -> None:
    status, namespaces = running.ask("/api/v1/namespaces")
    names = [one["metadata"]["name"] for one in namespaces["items"]]
    assert (status, names) == (200, ["default", "kube-node-lease", "kube-public", "kube-system"])
    assert running.ask("/version")[1]["gitVersion"].startswith("v1.34.")
    _, service = running.ask("/api/v1/namespaces/default/services/kubernetes")
    assert service["spec"]["clusterIP"] == "10.0.0.1"
    assert service["spec"]["ports"][0]["targetPort"] == running.port
    _, endpoints = running.ask("/api/v1/namespaces/default/endpoints/kubernetes")
    assert endpoints["subsets"][0]["ports"] == [{"name": "https", "port": running.port, "protocol": "TCP"}]
    _, slice = running.ask("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")
    assert slice["endpoints"][0]["addresses"] == [endpoints["subsets"][0]["addresses"][0]["ip"]]
    for path in ("apiregistration.k8s.io/v1/apiservices", "flowcontrol.apiserver.k8s.io/v1/flowschemas"):
        _, found = running.ask(f"/apis/{path}")
        times = [condition["lastTransitionTime"] for one in found["items"] for condition in one["status"]["conditions"]]
        assert times and all(times)


def test_plugins_that_are_off_do_not_run(running: Envtest) -> None:
    """There is no service account `default`, for no controller makes one: with the plugin a pod would be refused."""
    status, pod = running.ask("/api/v1/namespaces/default/pods", POD)
    assert status == 201
    assert "serviceAccountName" not in pod["spec"] and "volumes" not in pod["spec"]


def test_nothing_controls(running: Envtest) -> None:
    running.ask("/api/v1/namespaces", {"metadata": {"name": "goes"}})
    status, namespace = running.ask("/api/v1/namespaces/goes", method="DELETE")
    assert (status, namespace["status"]["phase"]) == (200, "Terminating")
    assert running.ask("/api/v1/namespaces/goes")[0] == 200


def test_users_come_while_it_runs(running: Envtest) -> None:
    running.add_user("ann", "devs")
    status, refusal = running.ask("/api/v1/namespaces/default/pods", user="ann")
    assert status == 403 and 'User "ann" cannot list resource "pods"' in refusal["message"]
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    _, who = running.ask("/apis/authentication.k8s.io/v1/selfsubjectreviews", review, user="ann")
    assert who["status"]["userInfo"]["groups"] == ["devs", "system:authenticated"]
    assert running.ask("/healthz", user="") == (200, "ok")
    assert running.ask("/api/v1/pods", user="")[0] == 403


def test_tokens_of_service_accounts(running: Envtest) -> None:
    """Signed with the key of the flags, verified with the certificate of the flags."""
    running.ask("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "bot"}})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    status, answer = running.ask("/api/v1/namespaces/default/serviceaccounts/bot/token", request)
    assert status == 201, answer
    status, refusal = running.ask("/api/v1/pods", token=answer["status"]["token"])
    assert status == 403 and "system:serviceaccount:default:bot" in refusal["message"]
    assert running.ask("/api/v1/pods", token="x")[0] == 401
    _, document = running.ask("/.well-known/openid-configuration")
    assert document["issuer"] == f"https://127.0.0.1:{running.port}/"


def test_several_at_once(running: Envtest, own: Envtest) -> None:
    own.start_etcd()
    own.start_apiserver()
    running.ask("/api/v1/namespaces", {"metadata": {"name": "here"}})
    assert own.ask("/api/v1/namespaces/here")[0] == 404


def test_state_is_etcds(own: Envtest) -> None:
    """An API server comes and goes; another one on the same etcd finds everything."""
    own.start_etcd()
    first = own.start_apiserver()
    own.ask("/api/v1/namespaces", {"metadata": {"name": "stays"}})
    first.send_signal(signal.SIGTERM)
    assert first.wait(PATIENCE) == 0
    own.start_apiserver()
    assert own.ask("/api/v1/namespaces/stays")[0] == 200


def test_api_ends_with_its_process(own: Envtest) -> None:
    etcd = own.start_etcd()
    server = own.start_apiserver()
    server.kill()
    server.wait(PATIENCE)
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        try:
            own.ask("/healthz")
        except OSError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("the API is still served")
    assert etcd.poll() is None


def test_api_server_ends_with_etcd(own: Envtest) -> None:
    etcd = own.start_etcd()
    server = own.start_apiserver()
    etcd.kill()
    assert server.wait(PATIENCE) == 1
    assert server.stderr is not None and b"the control plane (etcd) is gone" in server.stderr.read()


def test_without_our_etcd(own: Envtest) -> None:
    """Somebody else's etcd, or none: the API is served all the same, and says where its state is."""
    server = own.start_apiserver()
    assert own.ask("/api/v1/namespaces/default")[0] == 200
    server.send_signal(signal.SIGTERM)
    _, said = server.communicate(timeout=PATIENCE)
    assert server.returncode == 0
    assert b"not Kloster's: state is kept in memory" in said


@pytest.mark.parametrize("name", ["missing", "ü" * 40, "a b"], ids=["missing", "long", "blank"])
def test_temporary_directories(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both processes look for the socket in the same place, also where TMPDIR is of no use."""
    folder = tmp_path / name
    if name != "missing":
        folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    found = Path(shim.control_path("127.0.0.1", 1)).parent
    assert len(os.fsencode(found)) < 80
    assert (found.parent == folder) == (len(os.fsencode(folder)) <= shim.LONGEST and folder.exists())


def test_an_etcd_without_its_temporary_directory(own: Envtest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    own.start_etcd()
    own.start_apiserver()
    own.ask("/api/v1/namespaces", {"metadata": {"name": "here"}})
    assert own.ask("/api/v1/namespaces/here")[0] == 200


def test_bad_flags(own: Envtest) -> None:
    own.start_etcd()
    for arguments, text in (
        (["--nosuch"], b"Error: unknown flag: --nosuch"),
        (own.flags(nosuch="1"), b"Error: unknown flag: --nosuch"),
        (own.flags(secure_port=str(own.etcd_port)), b"another process uses this port"),
    ):
        server = own.spawn("kube-apiserver", *arguments)
        _, said = server.communicate(timeout=PATIENCE)
        assert server.returncode == 1
        assert text in said


def test_metrics_are_there_and_loaded_when_asked_for(running: Envtest) -> None:
    status, text = running.ask("/metrics")
    assert status == 200
    assert "apiserver_request_total{" in text
    heavy = "import sys, kloster.envtest.__main__ as m; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", heavy], check=False).returncode == 0


POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  resources: [{group: "", resources: [secrets]}]
- level: RequestResponse
  resources: [{group: "", resources: [configmaps]}]
- level: Request
  omitStages: [ResponseStarted]
  resources: [{group: "", resources: [namespaces]}]
"""


def test_an_audit_log_by_policy(own: Envtest) -> None:
    (own.folder / "policy.yaml").write_text(POLICY)
    own.start_apiserver(own.flags(audit_policy_file="policy.yaml", audit_log_path="audit.log"))
    secret = {"metadata": {"name": "s"}, "stringData": {"k": "hunter2"}}
    assert own.ask("/api/v1/namespaces/default/secrets", secret)[0] == 201
    made = own.ask("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "c"}, "data": {"a": "b"}})[1]
    own.ask("/api/v1/namespaces", {"metadata": {"name": "n"}})
    own.ask("/api/v1/namespaces/default/configmaps/c", {"gracePeriodSeconds": 0}, method="DELETE")
    own.ask("/api/v1/namespaces/default/configmaps/kube-root-ca.crt?pretty=true")
    own.ask("/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1")
    own.ask("/api/v1/namespaces/default/configmaps", token="nonsense")
    own.ask("/version")
    own.stop()
    text = (own.folder / "audit.log").read_text()
    assert (own.folder / "audit.log").stat().st_mode & 0o077 == 0
    assert "hunter2" not in text
    events = [orjson.loads(line) for line in text.splitlines()]
    shown = [(one["level"], one["verb"], one["stage"], one["responseStatus"]["code"]) for one in events]
    assert [one for one in shown if one[1] != "get"] == [
        ("Metadata", "create", "ResponseComplete", 201),
        ("RequestResponse", "create", "ResponseComplete", 201),
        ("Request", "create", "ResponseComplete", 201),
        ("RequestResponse", "delete", "ResponseComplete", 200),
        ("RequestResponse", "watch", "ResponseStarted", 200),
        ("RequestResponse", "watch", "ResponseComplete", 200),
        ("RequestResponse", "list", "ResponseStarted", 401),
    ]
    assert not {"requestObject", "responseObject"} & set(events[0])
    assert events[1]["requestObject"] == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": "c"},
        "data": {"a": "b"},
    }
    assert events[1]["responseObject"] == made
    assert events[2]["requestObject"]["metadata"]["name"] == "n"
    assert "responseObject" not in events[2]
    assert events[3]["requestObject"] == {
        "kind": "DeleteOptions",
        "apiVersion": "meta.k8s.io/__internal",
        "gracePeriodSeconds": 0,
    }
    assert events[-1]["user"] == {}


def test_a_wrong_audit_policy_is_refused(own: Envtest) -> None:
    (own.folder / "policy.yaml").write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: []\n")
    server = own.spawn("kube-apiserver", *own.flags(audit_policy_file="policy.yaml", audit_log_path="audit.log"))
    _, said = server.communicate(timeout=PATIENCE)
    assert server.returncode == 1
    assert b"loading audit policy file: loaded illegal policy with 0 rules: from file policy.yaml" in said


def test_controllers_on_demand(own: Envtest) -> None:
    own.start_etcd()
    own.start_apiserver(own.flags(kloster_controllers="serviceaccount,namespace"))
    own.ask("/api/v1/namespaces", {"metadata": {"name": "goes"}})
    ends = time.monotonic() + PATIENCE
    while own.ask("/api/v1/namespaces/goes/serviceaccounts/default")[0] != 200:
        assert time.monotonic() < ends
        time.sleep(0.05)
    own.ask("/api/v1/namespaces/goes", method="DELETE")
    while own.ask("/api/v1/namespaces/goes")[0] != 404:
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_nothing_stays_behind_a_killed_test(own: Envtest, tmp_path: Path) -> None:
    """The test process dies: its etcd and kube-apiserver end by themselves, and their socket goes."""
    script = (
        "import sys, time, pathlib\n"
        "from tests.envtest.plane import Envtest\n"
        "made = Envtest(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))\n"
        "print(made.etcd_port, made.start_etcd().pid, made.start_apiserver().pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    folder = tmp_path / "killed"
    command = [sys.executable, "-c", script, str(folder), str(own.executables)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        port, *pids = [int(one) for one in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.kill()
    ends = time.monotonic() + PATIENCE
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert not Path(shim.control_path("127.0.0.1", port)).exists()


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"
