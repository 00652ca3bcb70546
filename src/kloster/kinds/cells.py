"""What the cells of printed tables have in common: ages, labels, containers, lists with a limit.

Source: k8s.io/apimachinery/pkg/util/duration and k8s.io/kubernetes/pkg/printers/internalversion. The server always
computes all columns, the wide ones too; kubectl hides those of a priority above zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kloster.apimachinery import Object
from kloster.kinds import times

_MINUTE = 60
_HOUR = 3600


def duration(seconds: float) -> str:
    """A span with two or three significant figures, e.g. ``90s``, ``5m30s``, ``3h``, ``2d4h``, ``2y10d``.

    Clocks may disagree by less than two seconds; what lies further in the future is ``<invalid>``.
    """
    whole = int(seconds)  # towards zero, as Go's conversion
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    minutes, hours = whole // _MINUTE, whole // _HOUR
    days, years = hours // 24, hours // 24 // 365
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 3 * 60:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 365 * 2:
        return f"{days}d"
    if days < 365 * 8:
        return _two(years, "y", days % 365, "d")
    return f"{years}y"


def _two(big: int, big_unit: str, small: int, small_unit: str) -> str:
    return f"{big}{big_unit}{small}{small_unit}" if small else f"{big}{big_unit}"


def since(time: str | None, now: float) -> str:
    """How long ago a time was, ``<unknown>`` without one."""
    at = times.parse(time)
    return "<unknown>" if at is None else duration(now - at)


def until(time: str | None, now: float) -> str:
    """How far ahead a time is, ``<unknown>`` without one."""
    at = times.parse(time)
    return "<unknown>" if at is None else duration(at - now)


def age(obj: Object, now: float) -> str:
    """The Age column."""
    return since(obj["metadata"].get("creationTimestamp"), now)


def labels(values: Mapping[str, str] | None) -> str:
    """``a=b,c=d``, sorted, ``<none>`` if there are none."""
    return ",".join(f"{key}={value}" for key, value in sorted((values or {}).items())) or "<none>"


def containers(listed: Iterable[Object] | None) -> tuple[str, str]:
    """Names and images of containers, each joined by commas."""
    items = list(listed or ())
    return ",".join(item.get("name", "") for item in items), ",".join(item.get("image", "") for item in items)


def template_containers(spec: Object) -> tuple[str, str]:
    """`containers` of the template in a workload's spec."""
    return containers(((spec.get("template") or {}).get("spec") or {}).get("containers"))


def listed(values: Sequence[str], limit: int = 3) -> str:
    """The first few of a list, ``a,b,c + 2 more...``; ``<unset>`` if it is empty."""
    text = ",".join(values[:limit])
    if len(values) > limit:
        return f"{text} + {len(values) - limit} more..."
    return text or "<unset>"


_ACCESS_MODES = (
    ("ReadWriteOnce", "RWO"),
    ("ReadOnlyMany", "ROX"),
    ("ReadWriteMany", "RWX"),
    ("ReadWriteOncePod", "RWOP"),
)


def access_modes(modes: Iterable[str] | None) -> str:
    """``RWO,ROX``: always in this order, each once."""
    given = set(modes or ())
    return ",".join(short for mode, short in _ACCESS_MODES if mode in given)
