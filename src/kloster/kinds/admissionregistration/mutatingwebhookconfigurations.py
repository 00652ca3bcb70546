"""MutatingWebhookConfigurations: webhooks that may change a request's object."""

from __future__ import annotations

from dataclasses import replace

from kloster.apimachinery import Object
from kloster.kinds import defaulting, minors
from kloster.kinds.admissionregistration import webhooks
from kloster.kinds.strategy import Strategy


def _default(configuration: Object) -> None:
    webhooks.default(configuration)
    for webhook in configuration.get("webhooks") or ():
        defaulting.absent(webhook, reinvocationPolicy="Never")


STRATEGY = Strategy(
    default=_default,
    validate=lambda configuration: webhooks.validate(configuration, minors.NEWEST),
    generation=True,
    unconditional_update=False,
    cells=webhooks.cells,
)
CHANGED = minors.each(
    lambda minor: replace(STRATEGY, validate=lambda configuration: webhooks.validate(configuration, minor))
)
