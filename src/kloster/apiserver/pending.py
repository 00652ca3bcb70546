"""What cannot be decided or shown yet, because somebody outside must be asked first.

Deciding and reading are synchronous; webhooks are not. Whoever lacks an answer raises `Pending`; whoever may wait has
it asked for (`ask`) and begins anew, when the answer is known to the one who lacked it: `aside.transact` for decisions,
the pipeline and the streams of lists and watches for reading.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kloster.apimachinery import Object

Outside = Callable[[Object, bytes, float], Awaitable[bytes]]
"""(clientConfig, body, seconds) → the body of the webhook's answer. Raises WebhookFailed."""


class WebhookFailed(Exception):
    """A webhook gave no usable answer. The text is what stands after ``failed to call webhook: ``."""


class Pending(Exception):
    """`ask` asks somebody outside; then what raised this is to be done anew."""

    def __init__(self, ask: Callable[[Outside], Awaitable[None]]) -> None:
        super().__init__("an answer from outside is missing")
        self.ask = ask
