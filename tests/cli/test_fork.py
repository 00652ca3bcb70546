"""``kloster fork`` and ``kloster reset``, as commands."""

from __future__ import annotations

import time

import pytest
import yaml
from tests.cli.shell import Shell

from kloster.cli.hostapi import HostAPI

CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def api(shell: Shell, name: str) -> HostAPI:
    return HostAPI(yaml.safe_load(shell.ok("connect", name, "--print").out))


def config_maps(shell: Shell, name: str) -> set[str]:
    items = api(shell, name).get("/api/v1/namespaces/default/configmaps")["items"]
    return {one["metadata"]["name"] for one in items} - {"kube-root-ca.crt"}


def make(shell: Shell, cluster: str, name: str) -> None:
    api(shell, cluster).create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": name}})


def test_fork_and_reset(here: Shell) -> None:
    here.ok("create", "dev", "--kubernetes-version", "1.34", "--no-connect")
    make(here, "dev", "before")
    first, second = here.ok("fork", "dev", "branch").out.splitlines()
    assert first.startswith("✓ cluster branch, a fork of dev ")
    assert second == "✓ current context: kloster-branch  (back: kloster disconnect)"
    assert here.config()["current-context"] == "kloster-branch"
    make(here, "branch", "after")
    assert config_maps(here, "branch") == {"before", "after"}
    done = here.ok("reset", "branch")
    assert done.out.startswith("✓ cluster branch is as it was forked off dev ")
    assert config_maps(here, "branch") == {"before"}
    assert here.ok("reset", "branch", "-o", "name").out == "virtualcluster.kloster.dev/branch\n"
    here.ok("delete", "dev")
    assert config_maps(here, "branch") == {"before"}
    assert here.config()["current-context"] == "kloster-branch"


def test_list_and_describe_say_what_a_cluster_is_a_fork_of(here: Shell) -> None:
    here.ok("create", "dev", "--no-connect")
    made = here.ok("fork", "dev", "branch", "--no-connect", "-o", "json").json()
    assert made["status"]["from"]["name"] == "dev"
    rows = {row.split()[1]: row.split()[4] for row in here.ok("list").out.splitlines()[1:]}
    assert rows["branch"] == "dev"
    parts = [line.partition(":") for line in here.ok("describe", "branch").out.splitlines()]
    told = {label: value.strip() for label, _, value in parts}
    assert told["From"] == f"dev (at resourceVersion {made['status']['from']['resourceVersion']})"
    assert told["Workloads"] == "run"


def test_a_fork_says_that_claims_start_empty_and_that_workloads_are_suspended(here: Shell) -> None:
    here.ok("create", "dev", "-n", "team", "--no-connect")
    connect = ("connect", "dev", "-n", "team", "--print")
    HostAPI(yaml.safe_load(here.ok(*connect).out)).create("/api/v1/namespaces/default/persistentvolumeclaims", CLAIM)
    done = here.ok("fork", "dev", "branch", "-n", "team", "--workloads", "suspended", "--no-connect")
    assert done.out.splitlines()[1:] == [
        "  note: its 1 PersistentVolumeClaims start empty: volumes are not copied",
        "  note: its workloads are suspended; to start them:",
        "    kloster connect --host -- kubectl patch vc branch -n team --type merge -p "
        """'{"spec":{"workloads":"run"}}'""",
        "  next: kloster connect branch -n team",
    ]


def test_a_forks_spec_is_that_of_its_source_but_for_what_is_its_own(here: Shell) -> None:
    values = here.home / "vcluster.yaml"
    values.write_text(
        "{kubernetesVersion: '1.33', policies: {podSecurityStandard: privileged}, exportKubeConfig: {context: mine}}"
    )
    here.ok("create", "dev", "-f", str(values), "--no-connect")
    spec = here.ok("fork", "dev", "branch", "--no-connect", "-o", "yaml").out
    assert yaml.safe_load(spec)["spec"] == {
        "kubernetesVersion": "1.33",
        "policies": {"podSecurityStandard": "privileged"},
        "exportKubeConfig": {},
        "from": {"name": "dev"},
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ("fork", "nope", "branch"),
            'no cluster "nope" in namespace default of the host; there are: dev',
            id="no-source",
        ),
        pytest.param(
            ("fork", "dev", "dev"),
            'cluster "dev" exists already in namespace default; connect to it: kloster connect dev',
            id="target-exists",
        ),
        pytest.param(
            ("fork", "dev", "a.b"), 'metadata.name: Invalid value: "a.b": must not contain dots', id="target-no-label"
        ),
        pytest.param(
            ("reset", "dev"),
            'cluster "dev" is no fork, so there is no state at its fork to go back to',
            id="reset-of-no-fork",
        ),
        pytest.param(
            ("reset", "nope"), 'no cluster "nope" in namespace default of the host; there are: dev', id="reset-of-none"
        ),
    ],
)
def test_refused_with_one_line(arguments: tuple[str, ...], message: str, here: Shell) -> None:
    here.ok("create", "dev", "--no-connect")
    assert here.fails(*arguments) == message
    assert here.ok("list", "-o", "name").out == "virtualcluster.kloster.dev/dev\n"


def test_no_host(shell: Shell) -> None:
    for command in (("fork", "dev", "branch"), ("reset", "dev")):
        assert shell.fails(*command).startswith("no host is running in ")


def test_interrupted_forks_leave_whole_clusters_or_none(here: Shell) -> None:
    here.ok("create", "dev", "--no-connect")
    make(here, "dev", "before")
    begun = [here.begin("fork", "dev", f"branch-{number}", "--no-connect") for number in range(3)]
    for process in begun:
        process.kill()
        process.communicate()
    for name in here.ok("list", "-o", "name").out.split():
        assert config_maps(here, name.rpartition("/")[2]) == {"before"}


def test_killing_the_host_while_it_forks_loses_nothing(here: Shell) -> None:
    here.ok("create", "dev", "--no-connect")
    make(here, "dev", "before")
    for turn in range(4):
        make(here, "dev", f"w-{turn}")
        begun = here.begin("fork", "dev", f"branch-{turn}", "--no-connect")
        time.sleep(0.3 + 0.05 * turn)
        here.kill()
        begun.communicate()
        here.ok("up")
        assert config_maps(here, "dev") == {"before", *(f"w-{number}" for number in range(turn + 1))}
        for name in here.ok("list", "-o", "name").out.split():
            assert "before" in config_maps(here, name.rpartition("/")[2])
    here.ok("delete", "--all")
    assert not [path for path in (here.data / "layers").iterdir() if not path.name.startswith("template-")]
    assert [path.name for path in (here.data / "clusters").iterdir()] == ["host"]
