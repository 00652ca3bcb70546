"""MutatingWebhookConfigurations: webhooks that may change a request's object."""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.kinds import defaulting
from kloster.kinds.admissionregistration import webhooks
from kloster.kinds.strategy import Strategy


def _default(configuration: Object) -> None:
    webhooks.default(configuration)
    for webhook in configuration.get("webhooks") or ():
        defaulting.absent(webhook, reinvocationPolicy="Never")


STRATEGY = Strategy(
    default=_default,
    validate=webhooks.validate,
    generation=True,
    unconditional_update=False,
    cells=webhooks.cells,
)
