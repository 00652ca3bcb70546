"""Whose files are whose: the user's home and directory for data, and root who works in somebody else's.

With sudo, HOME is often still the user's. What root writes there belongs to root, and the user's next command, without
sudo, cannot write it. So under sudo nothing is made in folders of the user who called it.
"""

from __future__ import annotations

import os
from pathlib import Path


class HomeError(Exception):
    """Nobody knows where files belong, or they would be in the way of others; the text says what to do."""


def home() -> Path:
    """The user's home. Raises HomeError if nobody says where it is."""
    try:
        found = Path.home()
    except RuntimeError:
        raise HomeError(f"user {os.geteuid()} has no home: set HOME, or name the files by options") from None
    if not found.is_absolute():
        raise HomeError(f"HOME is {str(found)!r}: expected an absolute path; correct it")
    return found


def expanded(path: Path) -> Path:
    """With the home in place of ``~``. Raises HomeError."""
    if path.parts[:1] == ("~",):
        return home().joinpath(*path.parts[1:])
    try:
        return path.expanduser()
    except RuntimeError:
        raise HomeError(f"{path}: there is no user {path.parts[0][1:]}") from None


def data_home() -> Path:
    """$XDG_DATA_HOME, unless it is relative (then its specification has it ignored), else ~/.local/share."""
    chosen = Path(os.environ.get("XDG_DATA_HOME", ""))
    return chosen if chosen.is_absolute() else home() / ".local" / "share"


def refuse_sudo(path: Path, option: str) -> None:
    """Raises HomeError if this is sudo, and `path` is, or would be made, in a folder of the user who called it."""
    caller = os.environ.get("SUDO_UID", "")
    if os.geteuid() or not caller.isdecimal() or caller == "0":
        return
    nearest = next(one for one in (path, *path.parents) if one.exists())
    if _owner(nearest) == int(caller):
        name = os.environ.get("SUDO_USER") or f"user {caller}"
        raise HomeError(
            f"with sudo, files of root would be left in {nearest}, which is {name}'s: run it without sudo, "
            f"or choose another folder with {option}"
        )


def _owner(path: Path) -> int:
    return path.stat().st_uid
