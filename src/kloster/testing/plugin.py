"""The pytest plugin: a Kubernetes cluster for each test, prepared once, in each version that is asked for.

Every run of pytest imports this module, those without Kloster as well: it imports nothing that they would have to
wait for. What needs a cluster is in `session`, imported by the first fixture that does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kloster.testing.cluster import Cluster
    from kloster.testing.session import Session

MARKER = "kubernetes"
NODES = "kloster_nodes"
MOST_NODES = 1000
FIXTURES = ("kloster_cluster", "kloster_session_cluster")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("kloster", "Kubernetes clusters for tests")
    group.addoption(
        "--kubernetes-versions",
        metavar="VERSIONS",
        default=os.environ.get("KLOSTER_KUBERNETES_VERSION", ""),  # the one of `kloster run`
        help="run tests that use a cluster once for each: 1.34, 1.31,1.37, 1.31..1.37, or all (default: that of "
        "kloster run, or the newest)",
    )
    group.addoption(
        "--kloster-dump",
        metavar="FOLDER",
        default=None,
        help="where the clusters of failed tests are described (default: the folder of kloster run, or .kloster); "
        "empty: nowhere",
    )
    parser.addini(
        "kloster_dump",
        "where clusters of failed tests are described; empty: nowhere",
        default=os.environ.get("KLOSTER_RUN_DIR", ".kloster"),
    )
    parser.addini(NODES, "how many simulated nodes the clusters of a test run have", default="1")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f'{MARKER}(*versions): the Kubernetes versions that the test is run with, such as "1.31", "1.34..1.37", "all"',
    )
    _nodes(config)
    asked = config.getoption("--kubernetes-versions")
    if asked:
        _versions("--kubernetes-versions", [asked])


def _nodes(config: pytest.Config) -> int:
    text = str(config.getini(NODES))
    if not text.isdecimal() or not 1 <= int(text) <= MOST_NODES:
        raise pytest.UsageError(f"{NODES}: expected a number from 1 to {MOST_NODES}, found {text!r}")
    return int(text)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that uses a cluster is run once for each version that is asked for."""
    if not set(FIXTURES) & set(metafunc.fixturenames):
        return
    versions = _chosen(metafunc.definition)
    if versions:
        metafunc.parametrize("kloster_version", versions, scope="session")


def pytest_itemcollected(item: pytest.Item) -> None:
    """The marker on a test that uses no cluster is a slip."""
    if item.get_closest_marker(MARKER) and not {*FIXTURES, "kloster_version"} & set(getattr(item, "fixturenames", ())):
        reason = f"@pytest.mark.{MARKER} is for tests that use kloster_cluster or kloster_session_cluster"
        item.warn(pytest.PytestWarning(f"{item.name}: {reason}"))


def _chosen(definition: Any) -> list[Any]:
    """The versions for a test; none: whatever is the newest, without saying so in its name."""
    option = definition.config.getoption("--kubernetes-versions")
    marker = definition.get_closest_marker(MARKER)
    asked = _versions("--kubernetes-versions", [option]) if option else []
    if marker is None:
        return asked
    where = f"{definition.nodeid}: @pytest.mark.{MARKER}"
    if marker.kwargs:
        pytest.fail(f"{where} has no argument {', '.join(marker.kwargs)}; it takes versions alone", pytrace=False)
    if not marker.args:
        pytest.fail(f'{where} names no version; write for example @pytest.mark.{MARKER}("1.31", "1.37")', pytrace=False)
    marked, wrong = [], ""
    try:
        marked = _versions(where, marker.args)
    except pytest.UsageError as error:
        wrong = str(error)
    if wrong:  # outside of the handler, so that what was handled is not shown as well
        pytest.fail(wrong, pytrace=False)
    if not asked:
        return marked
    both = [version for version in marked if version in asked]
    if both:
        return both
    skip = pytest.mark.skip(reason=f"it is for {', '.join(marked)}; asked for are {', '.join(asked)}")
    return [pytest.param(marked[0], marks=skip)]


def _versions(where: str, asked: Any) -> list[str]:
    """Raises UsageError, one line."""
    module = import_module("kloster.testing.versions")
    try:
        found: list[str] = module.chosen(asked)
    except ValueError as error:
        raise pytest.UsageError(f"{where}: {error}") from None
    return found


# -- fixtures ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def kloster_prepare() -> Callable[[Cluster], object] | None:
    """What every test's cluster holds from the start: override it with a fixture that returns a function of a cluster.

    The function is called once a session for each version; every test begins with a copy of what it has made.
    """
    return None


@pytest.fixture(scope="session")
def kloster_version() -> str:
    """The Kubernetes version of the test's cluster, such as 1.34 (empty: the newest)."""
    return ""


@pytest.fixture(scope="session")
def _kloster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The fleet of the test run."""
    base = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):  # under xdist every worker has a folder of its own in the run's
        base = base.parent
    module: Any = import_module("kloster.testing.session")
    session: Session = _fail_shortly(module.Session, base / "kloster", _nodes(request.config))
    try:
        yield session
    finally:
        session.close()


@pytest.fixture
def kloster_cluster(
    _kloster: Session,
    kloster_version: str,
    kloster_prepare: Callable[[Cluster], object] | None,
) -> Iterator[Cluster]:
    """A cluster for this test alone, as `kloster_prepare` has left it."""
    yield from _lent(_kloster, kloster_version, kloster_prepare)


@pytest.fixture(scope="session")
def kloster_session_cluster(
    _kloster: Session, kloster_version: str, kloster_prepare: Callable[[Cluster], object] | None
) -> Iterator[Cluster]:
    """A cluster that all tests of the session (under xdist: of a worker) share, as `kloster_prepare` has left it."""
    yield from _lent(_kloster, kloster_version, kloster_prepare)


def _lent(session: Session, version: str, prepare: Callable[[Cluster], object] | None) -> Iterator[Cluster]:
    cluster: Cluster = _fail_shortly(session.cluster, version, prepare)
    try:
        yield cluster
    finally:
        cluster.close()


def _fail_shortly(make: Callable[..., Any], *arguments: Any) -> Any:
    """What Kloster says in one line is shown in one line, without the traceback of its inside."""
    errors: Any = import_module("kloster.testing.errors")
    try:
        return make(*arguments)
    except errors.WaitTimeout:
        raise  # somebody waited in vain while preparing: where, is of interest
    except errors.TestingError as error:
        told = str(error)
    return pytest.fail(told, pytrace=False)  # outside of the handler, so that what was handled is not shown as well


# -- after a failure -----------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report: pytest.TestReport = yield
    if report.failed and call.when != "teardown":
        _help_with_scopes(report)
        used = [one for name in FIXTURES if (one := getattr(item, "funcargs", {}).get(name)) is not None]
        if used:
            _dump(item, used, report)
    return report


def _help_with_scopes(report: pytest.TestReport) -> None:
    """A fixture of a wider scope cannot have the test's own cluster; say which one it can have."""
    text = str(report.longrepr)
    if "ScopeMismatch" in text and "kloster_cluster" in text:
        report.sections.append(
            (
                "kloster",
                "kloster_cluster belongs to one test, so only fixtures of function scope can use it. In fixtures of a "
                "wider scope use kloster_session_cluster, or put what they do into kloster_prepare.",
            )
        )


def _dump(item: pytest.Item, clusters: Sequence[Cluster], report: pytest.TestReport) -> None:
    """Describe the test's own cluster in a folder named after the test, the session's, if used too, in one below."""
    chosen = item.config.getoption("--kloster-dump")
    folder = item.config.getini("kloster_dump") if chosen is None else chosen
    if not folder:
        return
    reports: Any = import_module("kloster.testing.reports")
    target = item.config.rootpath / folder / reports.file_name(item.nodeid)
    try:
        import_module("shutil").rmtree(target, ignore_errors=True)  # what an earlier run has left would mislead
        for cluster in clusters:
            cluster.dump(target if cluster is clusters[0] else target / "session")
        report.sections.append(("kloster", f"the cluster is described in {_short(target, item.config)}"))
    except Exception as error:
        report.sections.append(("kloster", f"the cluster could not be described: {error}"))


def _short(path: Path, config: pytest.Config) -> str:
    start = config.invocation_params.dir
    return str(path.relative_to(start) if path.is_relative_to(start) else path)
