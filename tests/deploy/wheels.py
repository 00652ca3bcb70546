"""A folder with a wheel of this checkout and of everything that it needs, made without a network."""

from __future__ import annotations

import importlib.metadata as metadata
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
OURS = "kloster"


def house(folder: Path) -> Path:
    """Fill the folder; returns Kloster's own wheel."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (own,) = folder.glob(f"{OURS}-*.whl")
    for name in needed(f"{OURS}[testing]") - {OURS}:
        repack(metadata.distribution(name), folder)
    return own


def needed(requirement: str) -> set[str]:
    """Names of what is installed for a requirement, itself included."""
    found: dict[tuple[str, str], None] = {}
    waiting = [Requirement(requirement)]
    for wanted in waiting:
        for extra in ("", *wanted.extras):
            key = (canonicalize_name(wanted.name), extra)
            if key not in found:
                found[key] = None
                waiting.extend(_requirements(wanted.name, extra))
    return {name for name, _ in found}


def _requirements(name: str, extra: str) -> Iterator[Requirement]:
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def repack(distribution: Distribution, folder: Path) -> None:
    """The wheel that an installed distribution came in. Scripts are made anew by who installs it."""
    name = canonicalize_name(distribution.metadata["Name"]).replace("-", "_")
    tags = [
        line.removeprefix("Tag: ") for line in (distribution.read_text("WHEEL") or "").splitlines() if "Tag:" in line
    ]
    path = folder / f"{name}-{distribution.version}-{_joined(tags)}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as wheel:
        for file in distribution.files or ():
            if file.parts[0] != ".." and file.suffix != ".pyc" and file.name not in _NOT_IN_WHEELS:
                wheel.write(str(file.locate()), str(file))


_NOT_IN_WHEELS = ("INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")


def _joined(tags: list[str]) -> str:
    """``py2-none-any``, ``py3-none-any`` → ``py2.py3-none-any``"""
    columns = zip(*(tag.split("-", 2) for tag in tags), strict=True)
    return "-".join(".".join(dict.fromkeys(column)) for column in columns)
