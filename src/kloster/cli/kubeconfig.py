"""The user's kubeconfig: reading several files as one, and changing exactly what is ours.

As kubectl does: $KUBECONFIG lists files (first one wins for a name; new entries go into the first that exists or the
last), otherwise ~/.kube/config. What Kloster adds carries an extension ``kloster.dev`` in its context, which says which
cluster it is and where its fleet lives; contexts are found by that, never by their names. Files are replaced
atomically under kubectl's own lock file, and what is not ours is kept as it was.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kloster.cli.errors import CliError
from kloster.fleet import owners

EXTENSION = "kloster.dev"
LOCK_SECONDS = 5.0
EMPTY: Mapping[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [],
    "contexts": [],
    "users": [],
    "preferences": {},
}


@dataclass(frozen=True, slots=True)
class Mark:
    """What a context of ours is for. `previous` is the context that was current before it was selected."""

    data_dir: str
    namespace: str
    name: str  # empty: the host itself
    previous: str = ""

    def extension(self) -> dict[str, Any]:
        body = {"dataDir": self.data_dir, "namespace": self.namespace, "name": self.name, "previous": self.previous}
        return {"name": EXTENSION, "extension": body}


def files() -> list[Path]:
    """The files in the order in which they count."""
    listed = [owners.expanded(Path(part)) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return list(dict.fromkeys(listed)) or [owners.home() / ".kube" / "config"]


def target() -> Path:
    """The file that new entries go into."""
    candidates = files()
    return next((path for path in candidates if path.exists()), candidates[-1])


def read(path: Path) -> dict[str, Any]:
    """A file's content; an empty configuration if there is none. Raises CliError if it is damaged."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except FileNotFoundError:
        content = None
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise _refused(path, f"cannot be read as YAML: {error}") from error
    if content is None:
        return {key: value.copy() if isinstance(value, list | dict) else value for key, value in EMPTY.items()}
    _check(path, content)
    found: dict[str, Any] = content
    return found


def _check(path: Path, content: Any) -> None:
    """Raises CliError for what nobody could work with."""
    _expect(path, "the file", content, dict, "a mapping")
    for kind in ("clusters", "users", "contexts"):
        for one in _expect(path, kind, content.get(kind) or [], list, "a list"):
            _expect(path, f"each of {kind}", one, dict, "a mapping")
    for one in content.get("contexts") or ():
        where = f"context {one.get('name')}"
        body = _expect(path, where, one.get("context") or {}, dict, "a mapping")
        for extension in _expect(path, f"extensions of {where}", body.get("extensions") or [], list, "a list"):
            _expect(path, f"each extension of {where}", extension, dict, "a mapping")


def _expect(path: Path, what: str, value: Any, type_: type, wanted: str) -> Any:
    if not isinstance(value, type_):
        raise _refused(path, f"is no kubeconfig: {what}: expected {wanted}, found {type(value).__name__}")
    return value


def _refused(path: Path, text: str) -> CliError:
    return CliError(f"the kubeconfig {path} {text}; correct it, or set KUBECONFIG to another file")


def check(context: str) -> None:
    """Raises CliError if `context` could not be added: before something is made that is to be connected to."""
    for path in files():
        _check_free(path, read(path), context)
    path = target().resolve()
    if not path.exists():
        owners.refuse_sudo(path, "KUBECONFIG")
    if path.exists() and not path.is_file():
        raise _refused(path, "is no regular file")
    present = next(one for one in (path, *path.parents) if one.exists())
    if not os.access(path.parent if path.exists() else present, os.W_OK):
        raise _refused(path, "cannot be written")


@contextmanager
def edited(path: Path) -> Iterator[dict[str, Any]]:
    """Change a file under kubectl's lock; it is written if the body ends well and something changed."""
    if path.exists() and not path.is_file():
        raise _refused(path, "is no regular file")
    if not path.exists():
        owners.refuse_sudo(path.absolute(), "KUBECONFIG")
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _lock(lock)
    except OSError as error:
        raise _refused(path, f"cannot be written: {error.strerror}") from error
    try:
        content = read(path)
        before = yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False)
        yield content
        after = yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False)
        if after != before:
            _replace(path, after)
    finally:
        lock.unlink(missing_ok=True)


def _lock(lock: Path) -> None:
    ends = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            return
        except FileExistsError:
            if time.monotonic() > ends:
                raise CliError(f"{lock} is held by another program; if none is running, remove it") from None
            time.sleep(0.05)


def _replace(path: Path, text: str) -> None:
    real = path.resolve()
    before = real.stat() if real.exists() else None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
    except OSError as error:
        raise _refused(path, f"cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(before.st_mode & 0o777 if before is not None else 0o600)
        if before is not None and before.st_uid != os.geteuid():  # root's, who leaves the file its owner's
            os.chown(temporary, before.st_uid, before.st_gid)
        Path(temporary).replace(real)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise _refused(path, f"cannot be written: {error.strerror}") from error
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def entry(content: Mapping[str, Any], kind: str, name: str) -> dict[str, Any] | None:
    """The named entry of ``clusters``, ``users`` or ``contexts``."""
    for one in content.get(kind) or ():
        if one.get("name") == name:
            found: dict[str, Any] = one
            return found
    return None


def mark_of(context: Mapping[str, Any]) -> Mark | None:
    """What a context entry of ours says; None for others'."""
    for one in (context.get("context") or {}).get("extensions") or ():
        if one.get("name") == EXTENSION:
            body = one.get("extension") or {}
            return Mark(
                str(body.get("dataDir", "")),
                str(body.get("namespace", "")),
                str(body.get("name", "")),
                str(body.get("previous", "")),
            )
    return None


def current() -> tuple[str, dict[str, Any] | None]:
    """(name of the current context, its entry) over all files."""
    name = ""
    for path in files():
        name = name or str(read(path).get("current-context") or "")
    if not name:
        return "", None
    for path in files():
        found = entry(read(path), "contexts", name)
        if found is not None:
            return name, found
    return name, None


def ours() -> Iterator[tuple[Path, str, Mark]]:
    """Every context of ours: (file, context name, mark)."""
    for path in files():
        for one in read(path).get("contexts") or ():
            mark = mark_of(one)
            if mark is not None:
                yield path, str(one["name"]), mark


def add(document: Mapping[str, Any], context: str, mark: Mark, *, select: bool) -> str:
    """Add the single context of `document` under the name `context`. Returns which context was current before.

    Entries of ours under that name are replaced; a name that belongs to somebody else is an error.
    """
    path = target()
    was = current()[0]
    with edited(path) as content:
        present = _check_free(path, content, context)
        previous = was if was != context else (mark_of(present) or mark).previous if present else ""
        kept = Mark(mark.data_dir, mark.namespace, mark.name, previous)
        _put(content, "clusters", {"name": context, "cluster": document["clusters"][0]["cluster"]})
        _put(content, "users", {"name": context, "user": document["users"][0]["user"]})
        body = {"cluster": context, "user": context, "extensions": [kept.extension()]}
        _put(content, "contexts", {"name": context, "context": body})
        if select:
            content["current-context"] = context
    if select:
        _clear_current_elsewhere(path)
    return was


def _check_free(path: Path, content: Mapping[str, Any], context: str) -> dict[str, Any] | None:
    """The context of that name if it is ours. Raises CliError if it is somebody else's."""
    present = entry(content, "contexts", context)
    if present is not None and mark_of(present) is None:
        raise CliError(f'{path} has a context "{context}" that is not Kloster\'s; rename it, or use --context')
    return present


def _clear_current_elsewhere(chosen: Path) -> None:
    """With several files the first current-context counts: earlier files must not overrule the chosen one."""
    for path in files():
        if path == chosen:
            return
        if path.exists() and read(path).get("current-context"):
            with edited(path) as content:
                content["current-context"] = ""


def select(context: str) -> None:
    """Make `context` current (empty: none)."""
    path = target()
    with edited(path) as content:
        content["current-context"] = context
    _clear_current_elsewhere(path)


def remove(path: Path, context: str) -> str:
    """Remove a context of ours with its cluster and user. If it was current, the one before it becomes current again.

    Returns the context that is current afterwards.
    """
    with edited(path) as content:
        present = entry(content, "contexts", context)
        mark = mark_of(present) if present is not None else None
        if mark is None:
            return str(content.get("current-context") or "")
        for kind in ("contexts", "clusters", "users"):
            content[kind] = [one for one in content.get(kind) or () if one.get("name") != context]
        if content.get("current-context") == context:
            known = any(entry(read(one), "contexts", mark.previous) for one in files()) if mark.previous else False
            content["current-context"] = mark.previous if known else ""
        return str(content.get("current-context") or "")


def _put(content: dict[str, Any], kind: str, new: dict[str, Any]) -> None:
    entries = content.get(kind) or []
    content[kind] = [one for one in entries if one.get("name") != new["name"]] + [new]
