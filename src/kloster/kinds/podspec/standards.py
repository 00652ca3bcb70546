"""The Pod Security Standards, as a namespace asks for them by its labels.

A `Standard` is a level and the minor version whose rules count, written ``baseline:v1.34`` or ``restricted:latest``.
A namespace has one for each of three modes: what is refused (enforce), what is noted in the audit log (audit), what
is warned of (warn). The rules themselves are in `standard_rules`.

Source: https://kubernetes.io/docs/concepts/security/pod-security-admission/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from kloster.apimachinery.errors import FieldError, invalid_value

PREFIX = "pod-security.kubernetes.io/"
LATEST = 1 << 30

_version = re.compile(r"v1\.(0|[1-9][0-9]*)", re.ASCII).fullmatch


class Level(IntEnum):
    """From lenient to strict."""

    PRIVILEGED = 0
    BASELINE = 1
    RESTRICTED = 2


_LEVELS = {level.name.lower(): level for level in Level}


@dataclass(frozen=True, slots=True)
class Standard:
    """`minor` is that of the Kubernetes version whose rules count, LATEST for the server's own."""

    level: Level = Level.PRIVILEGED
    minor: int = LATEST

    def __str__(self) -> str:
        return f"{self.level.name.lower()}:{'latest' if self.minor == LATEST else f'v1.{self.minor}'}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a namespace asks for, by mode."""

    enforce: Standard = Standard()
    audit: Standard = Standard()
    warn: Standard = Standard()


NOTHING = Wanted()


def wanted(labels: Mapping[str, str] | None) -> tuple[Wanted, list[FieldError]]:
    """What the labels of a namespace ask for, and what is wrong with them.

    What cannot be understood is enforced as strictly as can be, and neither audited nor warned of. Who enforces a level
    is warned at that level, too, unless they say otherwise.
    """
    if not labels or not any(name.startswith(PREFIX) for name in labels):
        return NOTHING, []
    findings: list[FieldError] = []
    enforce = _standard(labels, "enforce", Level.RESTRICTED, findings)
    audit = _standard(labels, "audit", Level.PRIVILEGED, findings)
    warn = _standard(labels, "warn", Level.PRIVILEGED, findings)
    if f"{PREFIX}warn" not in labels and labels.get(f"{PREFIX}enforce") in _LEVELS and enforce.level > warn.level:
        warn = Standard(enforce.level, warn.minor if f"{PREFIX}warn-version" in labels else enforce.minor)
    return Wanted(enforce, audit, warn), findings


def _standard(labels: Mapping[str, str], mode: str, doubtful: Level, findings: list[FieldError]) -> Standard:
    level, minor = Level.PRIVILEGED, LATEST
    name = f"{PREFIX}{mode}"
    if (text := labels.get(name)) is not None:
        level = _LEVELS.get(text, doubtful)
        if text not in _LEVELS:
            findings.append(_invalid(name, text, f"must be one of {', '.join(_LEVELS)}"))
    name = f"{PREFIX}{mode}-version"
    if (text := labels.get(name)) is not None and text != "latest":
        match = _version(text) if len(text) < 16 else None
        if match is None:
            findings.append(_invalid(name, text, 'must be "latest" or "v1.x"'))
        else:
            minor = int(match[1])
    return Standard(level, minor)


def _invalid(label: str, text: str, detail: str) -> FieldError:
    return invalid_value(f"metadata.labels[{label}]", text, detail)
