"""ValidatingWebhookConfigurations: webhooks that may refuse a request."""

from __future__ import annotations

from kloster.kinds.admissionregistration import webhooks
from kloster.kinds.strategy import Strategy

STRATEGY = Strategy(
    default=webhooks.default,
    validate=webhooks.validate,
    generation=True,
    unconditional_update=False,
    cells=webhooks.cells,
)
