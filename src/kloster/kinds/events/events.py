"""Events as events.k8s.io/v1 serves them: stored as core/v1, but stricter when written here (`kinds.core.events`)."""

from __future__ import annotations

from kloster.kinds.core import events
from kloster.kinds.strategy import Strategy

STRATEGY = Strategy(
    create_on_update=True,
    cells=events.cells,
    fields=events.FIELDS,
    convert=events.CONVERT,
)
