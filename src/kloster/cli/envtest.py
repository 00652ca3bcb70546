"""``kloster envtest``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kloster.cli import output
from kloster.cli.errors import CliError
from kloster.envtest import assets
from kloster.fleet import owners
from kloster.kinds.catalog import MINORS, catalog, parse_version

Print = Literal["overview", "path", "env"]


def run(
    action: Literal["use", "list"],
    version: str = "",
    *,
    print_: Annotated[
        Print, Parameter(name=["--print", "-p"], help="What to print: everything, the path, or a line for a shell.")
    ] = "overview",
    bin_dir: Annotated[
        Path | None, Parameter(help="Where to make the directory. Default: in the user's directory for data.")
    ] = None,
) -> None:
    """Executables that controller-runtime's envtest starts instead of kube-apiserver, etcd and kubectl.

    Start-up takes a fraction of a second, nothing is downloaded, and no controllers run unless a suite sets
    --kloster-controllers. VERSION is a minor version (1.34), one of its patches that is served (1.34.4, 1.34.x), or
    "latest". See docs/how-to/test-your-go-operator.md.

    For example:

      export KUBEBUILDER_ASSETS=$(kloster envtest use 1.34 -p path)
      source <(kloster envtest use latest -p env)
      kloster envtest list
    """
    if action == "list":
        for minor in MINORS:
            output.say(f"{minor}  {catalog(minor).git_version}")
        return
    minor = _minor(version)
    folder = (owners.expanded(bin_dir).absolute() if bin_dir is not None else default_folder()) / minor
    owners.refuse_sudo(folder, "--bin-dir")
    try:
        assets.write(folder, minor)
    except OSError as error:
        raise CliError(f"{folder} cannot be written: {error.strerror}; choose another place with --bin-dir") from error
    if print_ == "path":
        sys.stdout.write(str(folder))  # without a newline, as setup-envtest
    elif print_ == "env":
        quoted = str(folder).replace("'", "'\"'\"'")
        output.say(f"export KUBEBUILDER_ASSETS='{quoted}'")
    else:
        output.say(f"Version: {catalog(minor).git_version.removeprefix('v')}\nPath: {folder}")


def _minor(version: str) -> str:
    wanted = version.strip().rstrip("!").removesuffix(".x").removesuffix(".*")
    if wanted in ("", "latest", "latest-on-disk"):
        return MINORS[-1]
    try:
        return parse_version(wanted)
    except ValueError as error:
        raise CliError(str(error)) from error


def default_folder() -> Path:
    """Beside what other tools keep for this user."""
    return owners.data_home() / "kloster" / "envtest"
