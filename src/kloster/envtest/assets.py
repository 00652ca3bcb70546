"""The assets directory: three small scripts that know which Python and which Kubernetes version they are for.

Shell scripts, because a path of any length and with blanks must work and because ``--help``, which envtest asks for
before every start, is answered without Python. They are written anew whenever they differ from what they should be.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from kloster.envtest import etcdflags, flags, shim
from kloster.kinds.catalog import catalog

PROGRAMS = ("kube-apiserver", "etcd", "kubectl")

_HEAD = """#!/bin/sh
# Written by: kloster envtest use {version}
"""

_HELP = """case "${{1-}}" in
--help|-h|-help)
cat <<'TEXT'
{text}
TEXT
exit 0;;
esac
"""

_START = """python={python}
[ -x "$python" ] || {{
  echo "$0: $python is gone; install kloster and run again: kloster envtest use {version}" >&2
  exit 1
}}
KLOSTER_PARENT=$PPID exec "$python" {start} {git_version} "$@"
"""

_KUBECTL = """set -f
known={found}
IFS=:
for folder in $PATH "${{known%/*}}"; do
  [ -x "$folder/kubectl" ] && [ ! "$folder/kubectl" -ef "$0" ] && exec "$folder/kubectl" "$@"
done
echo "$0: no kubectl was found. Kloster has none of its own: install one of version {version} or so" >&2
echo "(https://kubernetes.io/docs/tasks/tools/) and have it on PATH, or set TEST_ASSET_KUBECTL to it" >&2
exit 1
"""


def write(folder: Path, minor: str) -> None:
    """Make the directory, or bring it up to date. Raises OSError.

    Others may not write into what is executed, whatever the umask is.
    """
    for path in (*reversed(folder.parents), folder):
        if not path.is_dir():
            path.mkdir(mode=0o755, exist_ok=True)
    for name in PROGRAMS:
        _write(folder / name, script(name, minor))


def script(name: str, minor: str) -> str:
    """The text of one of `PROGRAMS`."""
    head = _HEAD.format(version=minor)
    if name == "kubectl":
        found = shutil.which("kubectl")
        return head + _KUBECTL.format(found=shlex.quote(found) if found else "", version=minor)
    if name == "etcd":
        start, text = "-I -m kloster.envtest.etcd", _help("etcd [flags]", etcdflags.BOOLEANS, etcdflags.VALUES)
    else:
        path = shlex.quote(str(Path(shim.__file__).resolve()))
        start, text = f"-I -S {path}", _help("kube-apiserver [flags]", flags.BOOLEANS, flags.VALUES)
    python = shlex.quote(sys.executable)
    git_version = catalog(minor).git_version
    body = _START.format(python=python, version=minor, start=start, git_version=git_version)
    return head + _HELP.format(text=text) + body


def _help(usage: str, booleans: frozenset[str], values: frozenset[str]) -> str:
    lines = [f"      --{name}" + (" value" if name in values else "") for name in sorted(booleans | values)]
    return "\n".join([f"Kloster's stand-in. Usage:\n  {usage}\n\nFlags:", *lines])


def _write(path: Path, text: str) -> None:
    """Atomically: tests of another package may be starting it."""
    try:
        if path.read_text() == text and os.access(path, os.X_OK):
            return
    except (OSError, UnicodeDecodeError):
        pass
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.chmod(0o755)
    fresh.replace(path)
