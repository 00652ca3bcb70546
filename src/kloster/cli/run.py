"""``kloster run``."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kloster.apimachinery.errors import StatusError
from kloster.cli import junit, locate, output, trials
from kloster.cli.errors import CliError
from kloster.cli.trials import Outcome, Trials
from kloster.kinds.catalog import MINORS
from kloster.testing import versions as asked
from kloster.testing.cluster import Cluster
from kloster.testing.errors import TestingError
from kloster.testing.fleets import Fleet, Given

ON_CONTENTION = 2
"""Commands that run beyond one for each core: while some wait, or end, others use the cores."""


def run(
    *command: Annotated[str, Parameter(help="The command, after --.")],
    versions: Annotated[str, Parameter(help='Such as 1.34, 1.31,1.34,1.37, 1.31..1.37 or "all".')] = "",
    parallel: Annotated[int, Parameter(help="Commands that run at a time; 0: two more than there are cores.")] = 0,
    fork: Annotated[
        str, Parameter(help="Each run gets a fork of this cluster; {version} in its name is replaced (1-34).")
    ] = "",
    output_: Annotated[
        Path, Parameter(name=["--output", "-o"], help="Where output, reports and dumps are kept.")
    ] = Path(".kloster"),
    data_dir: locate.DataDirOption = None,
) -> int:
    """Run a test command once per Kubernetes version, each time with a cluster of its own.

    The command finds its cluster by KUBECONFIG, and executables for controller-runtime's envtest in
    KUBEBUILDER_ASSETS. It may use {version}, {dir} and {junit} as placeholders, or KLOSTER_KUBERNETES_VERSION,
    KLOSTER_RUN_DIR and KLOSTER_JUNIT; pytest writes its report there by itself. Without --fork or --data-dir the
    clusters are those of a fleet that ends with the command.

    For example:

      kloster run --versions 1.31,1.34,1.37 -- pytest -q
      kloster run --versions all --parallel 2 -- go test ./...
      kloster run --versions 1.31,1.37 --fork prepared-{version} -- ./e2e.sh
    """
    if not command:
        raise CliError("say what to run: kloster run --versions 1.34 -- COMMAND")
    if fork and not versions:
        raise CliError(f"say which version cluster {fork} is: kloster run --fork {fork} --versions VERSION -- COMMAND")
    try:
        chosen = asked.chosen([versions or MINORS[-1]])
    except ValueError as error:
        raise CliError(str(error)) from error
    folder = output_.absolute()
    given = locate.find(data_dir).directory.root if data_dir is not None or fork else None
    with (
        trials.folder_alone(folder, chosen),
        Trials(command, folder, given) as running,
        _fleet(given) as fleet,
    ):
        outcomes = _run(running, fleet, chosen, parallel, fork)
    found = {one.version: one.reports for one in outcomes if one.reports}
    try:
        if found:
            junit.merge(found, folder / "junit.xml")
    except OSError as error:
        raise trials.unusable(folder, error) from error
    codes = {one.code for one in outcomes if one.code}
    return 0 if not codes else codes.pop() if len(codes) == 1 else 1


def _run(running: Trials, fleet: Fleet, chosen: Sequence[str], parallel: int, fork: str) -> list[Outcome]:
    """The outcomes in the order of the versions, each told as soon as those before it are."""
    workers = parallel if parallel > 0 else len(os.sched_getaffinity(0)) + ON_CONTENTION
    with ThreadPoolExecutor(workers, thread_name_prefix="run") as executor:
        waiting = [executor.submit(_one, running, fleet, version, fork) for version in chosen]
        try:
            return [_told(one) for one in waiting]
        except BaseException:
            for one in waiting:
                one.cancel()
            running.end()
            raise


def _one(running: Trials, fleet: Fleet, version: str, fork: str) -> Outcome:
    spec = {"from": {"name": fork.replace("{version}", version.replace(".", "-"))}} if fork else {}
    cluster = Cluster("" if fork else version, name=f"run-{version.replace('.', '-')}-*", fleet=fleet, spec=spec)
    running.announce(cluster)
    try:
        with cluster:
            if not cluster.version.startswith(f"v{version}."):
                raise TestingError(f"it is {cluster.version}")
            return running.run(version, cluster)
    except (TestingError, StatusError) as error:
        return Outcome(version, 1, 0.0, problem=str(error))
    except OSError as error:
        text = f"{error.filename or running.folder} cannot be used: {error.strerror or error}"
        return Outcome(version, 1, 0.0, problem=text)


def _told(future: Future[Outcome]) -> Outcome:
    outcome = future.result()
    mark = output.green("✓") if not outcome.code else output.red("✗")
    line = f"{outcome.version} {mark} {outcome.summary:<9}   {output.took(outcome.seconds)}"
    if outcome.dump is not None:
        line += f"   dump: {_shown(outcome.dump)}/"
    output.say(line)
    return outcome


def _shown(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


@contextlib.contextmanager
def _fleet(data_dir: Path | None) -> Iterator[Fleet]:
    """The fleet that was given, or one that ends with this command."""
    if data_dir is None:
        try:
            with Fleet() as private:
                yield private
        except TestingError as error:
            raise CliError(str(error)) from error
        return
    found = locate.find(data_dir)
    found.host()  # says what to do if it does not run
    with tempfile.TemporaryDirectory(prefix="kloster-run-") as folder, Given(Path(folder), found.directory) as given:
        yield given
