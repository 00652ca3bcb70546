"""How commands speak: a line for each thing that happened, with how long it took; colours on terminals alone."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import yaml

Format = Literal["", "json", "yaml", "wide", "name"]
WIDTH = 46
SHOW_AFTER = 0.5


def _colours() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def green(text: str) -> str:
    return f"\033[32m{text}\033[0m" if _colours() else text


def red(text: str) -> str:
    return f"\033[31m{text}\033[0m" if _colours() else text


def dim(text: str) -> str:
    return f"\033[2m{text}\033[0m" if _colours() else text


def took(seconds: float) -> str:
    """A duration as people read it: ``41 ms``, ``0.9 s``, ``2 min 3 s``."""
    if seconds < 0.5:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def done(text: str, seconds: float | None = None) -> None:
    """✓ what happened, and how long it took."""
    if seconds is None:
        print(f"{green('✓')} {text}", flush=True)
    else:
        print(f"{green('✓')} {text:<{WIDTH}} {dim(f'{took(seconds):>8}')}", flush=True)


def say(text: str = "") -> None:
    print(text, flush=True)


@contextmanager
def step(text: str) -> Iterator[list[str]]:
    """Time a step and report it when it is done. What is put into the list replaces the text."""
    final: list[str] = []
    began = time.monotonic()
    with progress(text):
        yield final
    done(final[-1] if final else text, time.monotonic() - began)


@contextmanager
def progress(text: str) -> Iterator[None]:
    """On a terminal, what takes over half a second says that it is under way."""
    if not sys.stdout.isatty():
        yield
        return
    waiting = threading.Timer(SHOW_AFTER, _under_way, (text,))
    waiting.daemon = True
    waiting.start()
    try:
        yield
    finally:
        waiting.cancel()
        print("\r\033[K", end="", flush=True)


def _under_way(text: str) -> None:
    print(f"\r… {text}", end="", flush=True)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as kubectl prints them."""
    widths = [max(len(str(row[column])) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        cells = [str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("   ".join(cells).rstrip())


def document(value: Any, format: Format) -> None:
    """Print as JSON or YAML."""
    if format == "json":
        print(json.dumps(value, indent=2))
    else:
        print(yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=False), end="")
