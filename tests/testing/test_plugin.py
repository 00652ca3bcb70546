"""The pytest plugin, in runs of pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.testing.conftest import fleets_of

CONFTEST = """
import pytest

@pytest.fixture(scope="session")
def kloster_prepare(tmp_path_factory):
    def prepare(cluster):
        print("preparing", cluster.version)
        (tmp_path_factory.getbasetemp() / "prepared").touch()
        cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "prepared"}})
    return prepare
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Runs in processes of their own, whose temporary files are the test's."""
    monkeypatch.setenv("PYTEST_DEBUG_TEMPROOT", str(pytester.path))
    ours = ("KLOSTER_KUBERNETES_VERSION", "KLOSTER_RUN_DIR")
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_TESTRUNUID", *ours):
        monkeypatch.delenv(name, raising=False)
    pytester.makeconftest(CONFTEST)
    return pytester


def test_every_test_has_a_cluster_of_its_own_that_is_prepared(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", [1, 2])
        def test_alone(kloster_cluster, kloster_session_cluster, number):
            assert kloster_cluster.exists("configmap/prepared")
            assert not kloster_cluster.exists("configmap/mine")
            kloster_cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}})
            assert kloster_session_cluster.exists("configmap/prepared")
            assert kloster_session_cluster.exists("configmap/shared") == (number == 2)
            kloster_session_cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}})
        """
    )
    run.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)
    assert not fleets_of(run.path)
    assert not list(run.path.rglob("kloster/data"))


def test_versions_come_from_the_option_and_the_marker(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import pytest

        def test_any(kloster_cluster):
            print("ran", kloster_cluster.version)

        @pytest.mark.kubernetes("1.31", "1.37")
        def test_two(kloster_cluster):
            print("ran", kloster_cluster.version)

        @pytest.mark.kubernetes("1.32")
        def test_other(kloster_cluster):
            print("ran", kloster_cluster.version)

        def test_without():
            pass
        """
    )
    found = run.runpytest_subprocess("--collect-only", "-q")
    found.stdout.fnmatch_lines(
        ["*::test_any", "*test_two[[]1.31]", "*test_two[[]1.37]", "*test_other[[]1.32]", "*test_without"]
    )
    found = run.runpytest_subprocess("-v", "-s", "--kubernetes-versions=1.36..")
    found.stdout.fnmatch_lines(
        ["*test_any[[]1.36]*", "*ran v1.36*", "*test_any[[]1.37]*", "*test_two[[]1.37]*ran v1.37*"]
    )
    found.stdout.no_fnmatch_line("*test_two?1.36*")
    found.assert_outcomes(passed=4, skipped=1)


def test_a_run_by_kloster_run_is_of_its_version_and_kept_in_its_folder(
    run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLOSTER_KUBERNETES_VERSION", "1.33")
    monkeypatch.setenv("KLOSTER_RUN_DIR", str(run.path / "kept"))
    run.makepyfile("def test_it(kloster_cluster): assert kloster_cluster.version.startswith('v1.32.')")
    run.runpytest_subprocess("--kubernetes-versions=1.32").assert_outcomes(passed=1)
    run.runpytest_subprocess().assert_outcomes(failed=1)
    [folder] = (run.path / "kept").iterdir()
    assert (folder / "events.txt").is_file() and "test_it" in folder.name


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ('"1.12"', "*@pytest.mark.kubernetes: Kubernetes version '1.12' is not supported; supported are 1.31*"),
        ("", "*@pytest.mark.kubernetes names no version; write for example*"),
        ("['1.31', '1.32']", "*versions are texts such as \"1.31\", found *'1.31', '1.32'*"),
        ("since='1.31'", "*@pytest.mark.kubernetes has no argument since; it takes versions alone*"),
        ("1.31", '*versions are texts such as "1.31", found 1.31*'),
    ],
    ids=["unknown", "none", "list", "argument", "number"],
)
def test_slips_in_the_marker_are_one_clear_line(run: pytest.Pytester, marker: str, words: str) -> None:
    run.makepyfile(
        f"""
        import pytest

        @pytest.mark.kubernetes({marker})
        def test_it(kloster_cluster):
            pass
        """
    )
    found = run.runpytest_subprocess()
    assert found.ret != 0
    found.stdout.fnmatch_lines([words])
    assert not [line for line in found.outlines if "Traceback" in line or "plugin.py" in line or "During" in line]


def test_the_marker_without_a_cluster_is_told(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import pytest

        @pytest.mark.kubernetes("1.31")
        def test_it():
            pass
        """
    )
    found = run.runpytest_subprocess()
    found.assert_outcomes(passed=1, warnings=1)
    found.stdout.fnmatch_lines(["*test_it: @pytest.mark.kubernetes is for tests that use kloster_cluster*"])


def test_clusters_have_as_many_nodes_as_the_configuration_says(run: pytest.Pytester) -> None:
    run.makeini("[pytest]\nkloster_nodes = 2")
    run.makepyfile(
        """
        def test_nodes(kloster_cluster):
            nodes = kloster_cluster.fleet.request("GET", "/api/v1/nodes")["items"]
            assert [one["metadata"]["name"] for one in nodes] == ["node-1", "node-2"]
        """
    )
    run.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
    run.makeini("[pytest]\nkloster_nodes = many")
    found = run.runpytest_subprocess()
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(["ERROR: kloster_nodes: expected a number from 1 to 1000, found 'many'"])


def test_a_wrong_version_in_the_option_is_one_clear_line(run: pytest.Pytester) -> None:
    found = run.runpytest_subprocess("--kubernetes-versions=1.12")
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(["ERROR: --kubernetes-versions: Kubernetes version '1.12' is not supported; supported*"])


def test_a_wrong_scope_says_what_to_do(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="module")
        def wide(kloster_cluster):
            pass

        def test_it(wide):
            pass
        """
    )
    found = run.runpytest_subprocess()
    found.assert_outcomes(errors=1)
    found.stdout.fnmatch_lines(["*kloster_cluster belongs to one test*", "*", "*"], consecutive=False)
    assert "use kloster_session_cluster" in found.stdout.str()


def test_failures_are_described_in_a_folder(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        def test_fails(kloster_cluster, kloster_session_cluster):
            kloster_cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "evidence"}})
            kloster_cluster.wait_for("configmap/other", 0.05)

        def test_passes(kloster_cluster):
            pass
        """
    )
    found = run.runpytest_subprocess()
    found.assert_outcomes(passed=1, failed=1)
    found.stdout.fnmatch_lines(["*configmap/other: not true after 0.05 s; there is no such object*"])
    [folder] = (run.path / ".kloster").iterdir()
    found.stdout.fnmatch_lines([f"the cluster is described in .kloster/{folder.name}"])
    assert folder.name.endswith("test_fails")
    assert (folder / "objects/default/configmaps/evidence.yaml").is_file()
    assert (folder / "session/events.txt").is_file()
    run.runpytest_subprocess("--kloster-dump=there")
    assert list((run.path / "there").iterdir())
    (run.path / "there" / folder.name / "old").touch()
    run.runpytest_subprocess("--kloster-dump=there")
    assert not (run.path / "there" / folder.name / "old").exists()
    run.runpytest_subprocess("--kloster-dump=", "-o", "kloster_dump=elsewhere")
    assert not (run.path / "elsewhere").exists()


def test_what_fails_to_prepare_is_shown_where_it_failed(run: pytest.Pytester) -> None:
    run.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def kloster_prepare():
            return lambda cluster: cluster.apply("nowhere.yaml")
        """
    )
    run.makepyfile("def test_it(kloster_cluster): pass")
    found = run.runpytest_subprocess()
    found.assert_outcomes(errors=1)
    found.stdout.fnmatch_lines(["*nowhere.yaml cannot be read: No such file or directory*"])
    assert not fleets_of(run.path)


def test_workers_of_xdist_share_a_fleet_and_what_is_prepared(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(6))
        def test_it(kloster_cluster, number, tmp_path_factory):
            assert kloster_cluster.exists("configmap/prepared")
            (tmp_path_factory.getbasetemp().parent / f"fleet-{kloster_cluster.fleet.pid}").touch()
        """
    )
    run.runpytest_subprocess("-n", "2", "--dist", "each", "-p", "no:cacheprovider").assert_outcomes(passed=12)
    assert len(list(run.path.rglob("fleet-*"))) == 1
    assert len(list(run.path.rglob("prepared"))) == 1
    assert not list(run.path.rglob("kloster/data"))
    assert not fleets_of(run.path)


@pytest.mark.parametrize("arguments", [[], ["-n", "2"]], ids=["alone", "xdist"])
@pytest.mark.parametrize("after", [0.7, 1.6])
def test_a_killed_run_leaves_nothing(run: pytest.Pytester, arguments: list[str], after: float) -> None:
    run.makepyfile(
        """
        import time
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_it(kloster_cluster, number):
            time.sleep(60)
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=run.path,
        env={**os.environ, "PYTEST_DEBUG_TEMPROOT": str(run.path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(after)
    os.killpg(process.pid, 9)
    process.wait()
    ends = time.monotonic() + 20
    while fleets_of(run.path):
        assert time.monotonic() < ends
        time.sleep(0.05)
    time.sleep(0.1)
    assert not [path for path in run.path.rglob("kloster/data/*") if path.name != "log"]


def test_a_run_that_does_not_use_it_hardly_notices(tmp_path: Path) -> None:
    """What the plugin imports itself: below 50 ms of the start, and none of what is heavy."""
    code = (
        "import sys, pytest; before = set(sys.modules); import time; t = time.process_time();"
        "import kloster.testing.plugin; used = time.process_time() - t;"
        "print(used, *sorted(set(sys.modules) - before))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    used, *modules = found.stdout.split()
    assert set(modules) <= {"kloster", "kloster.testing", "kloster.testing.plugin"}
    assert float(used) < 0.05
