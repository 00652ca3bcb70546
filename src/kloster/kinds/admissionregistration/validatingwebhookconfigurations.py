"""ValidatingWebhookConfigurations: webhooks that may refuse a request."""

from __future__ import annotations

from dataclasses import replace

from kloster.kinds import minors
from kloster.kinds.admissionregistration import webhooks
from kloster.kinds.strategy import Strategy

STRATEGY = Strategy(
    default=webhooks.default,
    validate=lambda configuration: webhooks.validate(configuration, minors.NEWEST),
    generation=True,
    unconditional_update=False,
    cells=webhooks.cells,
)
CHANGED = minors.each(
    lambda minor: replace(STRATEGY, validate=lambda configuration: webhooks.validate(configuration, minor))
)
