"""Admission: what changes or refuses writes beyond a kind's own rules. The table below is the whole of it.

Each plugin is one module, named after upstream's plugin. `mutate` runs before the kind prepares and validates the
object, `validate` after, `allocate` last. Order matters and is upstream's.

Source: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
"""

from __future__ import annotations

from collections.abc import Sequence

from kloster.apiserver.admission import namespace_lifecycle
from kloster.apiserver.admission.api import Attempt, Plugin
from kloster.stores.api import Operation

PLUGINS: tuple[Plugin, ...] = (namespace_lifecycle.PLUGIN,)


def mutate(attempt: Attempt) -> None:
    for plugin in PLUGINS:
        if plugin.concerns(attempt):
            plugin.mutate(attempt)


def validate(attempt: Attempt) -> None:
    for plugin in PLUGINS:
        if plugin.concerns(attempt):
            plugin.validate(attempt)


def allocate(attempt: Attempt) -> None:
    for plugin in PLUGINS:
        if plugin.concerns(attempt):
            plugin.allocate(attempt)


def released(attempt: Attempt) -> Sequence[Operation]:
    """Further operations when the object of `attempt` goes: what had been allocated for it."""
    return ()
