"""Every command, run as a command, on a real fleet."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml
from tests.cli.shell import KLOSTER, Shell

GET = (
    "import os, sys, yaml; from kloster.cli.hostapi import HostAPI;"
    "print(HostAPI(yaml.safe_load(open(os.environ['KUBECONFIG']))).get(sys.argv[1])['metadata']['name'])"
)


def get(path: str) -> tuple[str, ...]:
    """A command that reads a cluster with the kubeconfig that it is given, and prints the object's name."""
    return (sys.executable, "-c", GET, path)


def test_create_connects_and_says_how_to_go_back(here: Shell) -> None:
    done = here.ok("create", "dev", "--kubernetes-version", "1.34")
    first, second = done.out.splitlines()
    assert first.startswith("✓ cluster dev, Kubernetes v1.34.4 ")
    assert first.endswith(" ms") or first.endswith(" s")
    assert second == "✓ current context: kloster-dev  (back: kloster disconnect)"
    config = here.config()
    assert config["current-context"] == "kloster-dev"
    (context,) = config["contexts"]
    (extension,) = context["context"]["extensions"]
    assert extension == {
        "name": "kloster.dev",
        "extension": {"dataDir": str(here.data), "namespace": "default", "name": "dev", "previous": ""},
    }


def test_create_without_connecting_leaves_the_kubeconfig_alone(here: Shell) -> None:
    done = here.ok("create", "dev", "--no-connect")
    assert done.out.splitlines()[-1] == "  next: kloster connect dev"
    assert not here.kubeconfig.exists()


def test_create_makes_the_namespace_on_the_host(here: Shell) -> None:
    done = here.ok("create", "dev", "-n", "team-a", "--no-connect")
    assert done.out.splitlines()[-1] == "  next: kloster connect dev -n team-a"
    assert here.ok("list", "-n", "team-a", "-o", "name").out == "virtualcluster.kloster.dev/dev\n"
    here.ok("create", "dev", "--no-connect")
    assert len(here.ok("list", "-o", "json").json()["items"]) == 2


def test_create_reads_a_file_and_passes_warnings_on(here: Shell) -> None:
    values = here.home / "vcluster.yaml"
    values.write_text("{controlPlane: {statefulSet: {replicas: 3}}, exportKubeConfig: {context: mine}}")
    done = here.ok("create", "dev", "-f", str(values))
    lines = done.out.splitlines()
    assert lines[1] == "  warning: spec.controlPlane.statefulSet.replicas has no meaning in Kloster and is not used"
    assert lines[2].startswith("✓ current context: mine ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ("Dev",),
            'metadata.name: Invalid value: "Dev": a lowercase RFC 1123 label must consist of lower case alphanumeric '
            "characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', "
            "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            id="upper-case",
        ),
        pytest.param(("a.b",), 'metadata.name: Invalid value: "a.b": must not contain dots', id="dots"),
        pytest.param(
            ("a" * 64,), f'metadata.name: Invalid value: "{"a" * 64}": must be no more than 63 characters', id="long"
        ),
        pytest.param(
            ("dev", "--kubernetes-version", "1.12"),
            "spec.kubernetesVersion: Kubernetes version '1.12' is not supported; supported are 1.31 (v1.31.0)",
            id="version",
        ),
        pytest.param(("a_b",), 'metadata.name: Invalid value: "a_b": a lowercase RFC 1123 label', id="underscore"),
        pytest.param(("ü",), 'metadata.name: Invalid value: "ü": a lowercase RFC 1123 label', id="no-ascii"),
        pytest.param(("",), 'metadata.name: Invalid value: "": a lowercase RFC 1123 label', id="empty"),
        pytest.param(("../x",), 'metadata.name: Invalid value: "../x": a lowercase RFC 1123 label', id="path"),
        pytest.param(("dev", "-n", "A"), 'metadata.namespace: Invalid value: "A": a lowercase RFC', id="namespace"),
        pytest.param(("dev", "-f", "/nowhere.yaml"), "/nowhere.yaml cannot be read: No such file", id="no-file"),
        pytest.param(("dev", "-f", "/proc"), "/proc cannot be read: Is a directory", id="directory"),
    ],
)
def test_create_refuses_and_makes_nothing(arguments: tuple[str, ...], message: str, here: Shell) -> None:
    assert here.fails("create", *arguments).startswith(message)
    assert here.ok("list").out == "no clusters yet; make one with: kloster create NAME\n"
    assert not here.kubeconfig.exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param(b"{{{", "{path} cannot be read as YAML: while parsing a flow node", id="no-yaml"),
        pytest.param(b"\xff\xfe\0", "{path} cannot be read as YAML: 'utf-8' codec can't decode", id="no-text"),
        pytest.param(b"- a", "{path}: expected a mapping with keys such as sync or policies, found ['a']", id="list"),
        pytest.param(b"sync: [1]", "spec.sync: expected a mapping, found [1]", id="type-of-a-section"),
        pytest.param(
            b"sync: {toHost: {pods: {enabled: 3}}}",
            "spec.sync.toHost.pods.enabled: expected true or false, found 3",
            id="type-of-a-value",
        ),
        pytest.param(b"foo: 1", "spec.foo is not supported", id="unknown-key"),
    ],
)
def test_create_refuses_values_and_makes_nothing(values: bytes, message: str, here: Shell) -> None:
    path = here.home / "values.yaml"
    path.write_bytes(values)
    assert here.fails("create", "dev", "-f", str(path)).startswith(message.format(path=path))
    assert here.ok("list", "-o", "name").out == ""
    assert not here.kubeconfig.exists()


def test_create_takes_a_cluster_away_again_whose_spec_is_refused(here: Shell) -> None:
    values = here.home / "vcluster.yaml"
    values.write_text("{replicas: 3, sync: {toHost: {pod: {enabled: true}}}}")
    assert here.fails("create", "dev", "-f", str(values)) == (
        "spec.replicas is not supported\n"
        "spec.sync.toHost.pod.enabled is not supported; did you mean spec.sync.toHost.pods.enabled?"
    )
    here.ok("create", "dev", "--no-connect")


def test_create_makes_nothing_that_could_not_be_connected_to(here: Shell) -> None:
    here.kubeconfig.parent.mkdir()
    here.kubeconfig.write_text("{{{")
    assert f"the kubeconfig {here.kubeconfig} cannot be read as YAML" in here.fails("create", "dev")
    assert here.fails("create", "dev", HOME="/proc/1/nobody").startswith("the kubeconfig /proc/1/nobody/.kube/config")
    assert here.ok("list", "-o", "name").out == ""
    here.ok("create", "dev", "--no-connect")
    assert "cannot be read as YAML" in here.fails("delete", "dev")
    assert here.ok("list", "-o", "name").out, "nothing was deleted"
    here.kubeconfig.unlink()


def test_create_of_a_name_that_exists(here: Shell) -> None:
    here.ok("create", "dev", "--no-connect")
    assert here.fails("create", "dev") == (
        'cluster "dev" exists already in namespace default; connect to it: kloster connect dev'
    )
    assert len(here.ok("list", "-o", "json").json()["items"]) == 1


def test_list(here: Shell) -> None:
    assert here.ok("list").out == "no clusters yet; make one with: kloster create NAME\n"
    here.ok("create", "dev", "--kubernetes-version", "1.34")
    header, row = here.ok("list").out.splitlines()
    assert header.split() == ["NAMESPACE", "NAME", "VERSION", "STATUS", "FROM", "AGE", "CONTEXT"]
    assert row.split()[:4] == ["default", "dev", "v1.34.4", "Ready"]
    assert row.endswith("kloster-dev *")
    header, row = here.ok("list", "-o", "wide").out.splitlines()
    assert header.split()[-4:] == ["ENDPOINT", "HOST", "NAMESPACE", "NODES"]
    assert row.split()[-2:] == ["vc-dev", "simulated"]
    assert here.ok("list", "-o", "json").json()["kind"] == "VirtualClusterList"
    assert yaml.safe_load(here.ok("list", "-o", "yaml").out)["items"][0]["metadata"]["name"] == "dev"
    assert here.ok("list", "-o", "name").out == "virtualcluster.kloster.dev/dev\n"


def test_describe(here: Shell) -> None:
    here.ok("create", "dev", "--no-connect")
    parts = [line.partition(":") for line in here.ok("describe", "dev").out.splitlines()]
    told = {label: value.strip() for label, _, value in parts}
    status = here.ok("describe", "dev", "-o", "json").json()["status"]
    assert told["Address"] == status["endpoint"]
    assert told["Common address"] == f"{status['commonEndpoint']} (tls-server-name: dev.default.kloster.internal)"
    assert told["Host namespace"] == "vc-dev"
    assert "simulated nodes" in told["Pods on the host"]
    assert yaml.safe_load(here.ok("describe", "dev", "-o", "yaml").out)["status"] == status
    assert here.fails("describe", "nope") == 'no cluster "nope" in namespace default of the host; there are: dev'


def test_connect_and_disconnect(here: Shell) -> None:
    here.kubeconfig.parent.mkdir()
    theirs = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "prod", "cluster": {"server": "https://prod.example.com", "extra": {"kept": True}}}],
        "users": [{"name": "me", "user": {"token": "theirs"}}],
        "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "me", "namespace": "web"}}],
        "current-context": "prod",
        "preferences": {"colors": True},
    }
    here.kubeconfig.write_text(yaml.safe_dump(theirs))
    here.ok("create", "dev", "--no-connect")
    assert here.ok("connect", "dev").out == "✓ current context: kloster-dev  (was: prod; back: kloster disconnect)\n"
    here.ok("connect", "--host")
    assert here.config()["current-context"] == "kloster-host"
    assert here.ok("disconnect").out == "✓ current context: kloster-dev\n"
    assert here.ok("disconnect").out == "✓ current context: prod\n"
    assert here.config() == theirs
    assert "which is not one of Kloster's" in here.fails("disconnect")


def test_connect_prints_a_kubeconfig_that_works(here: Shell) -> None:
    here.ok("create", "dev", "--no-connect")
    printed = here.ok("connect", "dev", "--print").out
    path = here.home / "printed"
    path.write_text(printed)
    environment = {**here.environment, "KUBECONFIG": str(path)}
    found = subprocess.run([*get("/api/v1/namespaces/kube-system")], env=environment, capture_output=True, text=True)
    assert found.stdout == "kube-system\n", found.stderr
    assert not here.kubeconfig.exists()


def test_connect_runs_a_command_and_passes_its_exit_code_on(here: Shell) -> None:
    here.ok("create", "dev", "--no-connect")
    assert here.ok("connect", "dev", "--", *get("/api/v1/namespaces/default")).out == "default\n"
    assert here.ok("connect", "--host", "--", *get("/api/v1/nodes/node-1")).out == "node-1\n"
    assert here.run("connect", "dev", "--", "sh", "-c", "exit 7").code == 7
    assert here.run("connect", "dev", "--", "sh", "-c", "kill -9 $$").code == 128 + 9
    assert here.fails("connect", "dev", "--", "no-such-command").endswith("no such command on PATH")
    assert not here.kubeconfig.exists()


def test_connect_by_the_common_address(here: Shell) -> None:
    """A kubeconfig may use the common address with the cluster's tls-server-name instead of its own port."""
    here.ok("create", "dev", "--no-connect")
    status = here.ok("describe", "dev", "-o", "json").json()["status"]
    document = yaml.safe_load(here.ok("connect", "dev", "--print").out)
    cluster = document["clusters"][0]["cluster"]
    cluster["server"], cluster["tls-server-name"] = status["commonEndpoint"], status["serverName"]
    path = here.home / "common"
    path.write_text(yaml.safe_dump(document))
    environment = {**here.environment, "KUBECONFIG": str(path)}
    found = subprocess.run([*get("/api/v1/namespaces/kube-system")], env=environment, capture_output=True, text=True)
    assert found.stdout == "kube-system\n", found.stderr


def test_delete(here: Shell) -> None:
    for name in ("a", "b", "c"):
        here.ok("create", name)
    assert here.ok("delete", "c").out.startswith("✓ cluster c deleted (current context: kloster-b)")
    assert here.fails("delete", "a", "nope").startswith('no cluster "nope"')
    assert "say which clusters" in here.fails("delete")
    done = here.ok("delete", "--all")
    assert [line.split()[2] for line in done.out.splitlines()] == ["a", "b"]
    assert here.config()["contexts"] == []
    assert here.ok("delete", "--all").out == "✓ there are no clusters\n"


def test_token(here: Shell) -> None:
    here.ok("create", "dev", "--no-connect")
    token = here.ok("token", "dev").out.strip()
    assert token.count(".") == 2
    assert 'serviceaccounts "nope" not found' in here.fails("token", "dev", "-s", "default/nope")
    assert here.fails("token", "nope") == 'no cluster "nope" in namespace default of the host; there are: dev'


def test_status(here: Shell) -> None:
    here.ok("create", "dev", "--no-connect")
    told = here.ok("status", "-o", "json").json()
    assert told["running"] is True
    assert told["clusters"] == 1
    assert f"process {told['pid']}" in here.ok("status").out
    assert here.ok("up").out == f"✓ host is running already ({told['address']}, process {told['pid']})\n"


@pytest.mark.parametrize("command", ["list", "describe dev", "connect dev", "delete dev", "token dev"])
def test_without_a_host_commands_say_what_to_do(command: str, shell: Shell) -> None:
    assert shell.fails(*command.split()) == f"no host is running in {shell.data}; start one with: kloster up"
    assert not shell.data.exists()


def test_status_and_down_without_a_host(shell: Shell) -> None:
    done = shell.run("status")
    assert (done.code, done.out) == (1, f"no host is running in {shell.data}; start one with: kloster up\n")
    assert shell.ok("down").out == f"✓ no host is running in {shell.data}\n"


def test_create_starts_the_host_and_down_keeps_the_cluster(shell: Shell) -> None:
    lines = shell.ok("create", "dev").out.splitlines()
    assert lines[0].startswith("✓ host started (simulated nodes) ")
    before = shell.config()
    assert shell.ok("down").out.startswith("✓ host stopped; clusters are kept ")
    assert not (shell.data / "fleet.json").exists()
    lines = shell.ok("up").out.splitlines()
    assert lines[1] == "  next: kloster create NAME"
    environment = {**shell.environment, "KUBECONFIG": str(shell.kubeconfig)}
    path = shell.home / "one"
    path.write_text(yaml.safe_dump(before))
    environment["KUBECONFIG"] = str(path)
    found = subprocess.run([*get("/api/v1/namespaces/kube-system")], env=environment, capture_output=True, text=True)
    assert found.stdout == "kube-system\n", found.stderr


def test_the_current_context_says_which_fleet_is_meant(here: Shell) -> None:
    """Without --data-dir and KLOSTER_DATA_DIR the context of a cluster tells where its fleet is."""
    here.ok("create", "dev")
    environment = {name: value for name, value in here.environment.items() if name != "KLOSTER_DATA_DIR"}
    done = subprocess.run([*KLOSTER, "list", "-o", "name"], env=environment, capture_output=True, text=True)
    assert done.stdout == "virtualcluster.kloster.dev/dev\n", done.stderr
    elsewhere = here.fails("list", "--data-dir", str(here.home / "elsewhere"))
    assert elsewhere.startswith("no host is running in")


def test_version_and_completion(shell: Shell) -> None:
    lines = shell.ok("version").out.splitlines()
    assert [line.split()[0] for line in lines] == ["kloster", "python", "kubernetes"]
    for name in ("bash", "zsh", "fish"):
        assert "kloster" in shell.ok("completion", name).out
    assert shell.run("--version").code == 0


COMMANDS = (
    *("create", "list", "describe", "connect", "disconnect", "delete", "token", "up", "down", "status", "demo"),
    *("fork", "reset", "version", "completion"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command: str, shell: Shell) -> None:
    told = shell.ok(command, "--help").out
    assert "For example:" in told
    assert f"kloster {command}" in told


def test_help_lists_every_command(shell: Shell) -> None:
    told = shell.ok("--help").out
    assert all(f"{command} " in told for command in COMMANDS)


def test_mistakes_are_told_and_not_zero(shell: Shell) -> None:
    for arguments in (("nonsense",), ("create",), ("list", "--nonsense"), ("list", "-o", "xml")):
        done = shell.run(*arguments)
        assert done.code != 0, arguments
        assert "Traceback" not in done.err + done.out
