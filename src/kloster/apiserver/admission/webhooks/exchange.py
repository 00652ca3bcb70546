"""What has been asked and answered about one object of one request.

    decision ──▶ `mutate`: nobody asked yet ──Pending──▶ webhooks called one after the other ──▶ decision, anew
             ──▶ `mutate`: the object as they left it; built-in plugins once more; those asked that want to be asked
                 again when somebody changed it after them (reinvocationPolicy) ──Pending──▶ …
             ──▶ `validate`: nobody asked yet ──Pending──▶ webhooks called all at once ──▶ decision, anew
             ──▶ written

Answers hold for the object that was asked about: if the stored object has another revision when the decision is made
anew, they are forgotten, and everybody is asked again (at most `TRIES` times).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import structlog

from kloster.apimachinery import Object, errors
from kloster.apimachinery.cloning import clone
from kloster.apimachinery.errors import StatusError
from kloster.apimachinery.patches import json_patch
from kloster.apimachinery.schema.decode import decode
from kloster.apimachinery.schema.encode import order
from kloster.apimachinery.schema.model import StructType
from kloster.apiserver import storage
from kloster.apiserver.admission.api import Attempt
from kloster.apiserver.admission.webhooks import answering, expressions, hooks, matching
from kloster.apiserver.admission.webhooks.answering import BadAnswer
from kloster.apiserver.admission.webhooks.hooks import Hook, Hooks
from kloster.apiserver.admission.webhooks.review import Question
from kloster.apiserver.call import Call
from kloster.apiserver.observability.tally import Hook as Called
from kloster.apiserver.observability.tally import HookTally
from kloster.apiserver.pending import Outside, Pending, WebhookFailed
from kloster.apiserver.resources import Served
from kloster.stores.api import View

log = structlog.get_logger(__name__)

TRIES = 8
QUIET = ("None", "NoneOnDryRun")

Again = Callable[[Attempt], None]


def exchange(call: Call, view: View, served: Served, key: tuple[str, str, str]) -> Exchange | None:
    """The conversation about the object `key` (operation, namespace, name) of this request. None: the cluster has no
    webhooks, or they are never asked about such objects."""
    found = hooks.of_cluster(call.cluster, view)
    if found is None or matching.exempt(served):
        return None
    if call.exchanges is None:
        call.exchanges = {}
    made: Exchange | None = call.exchanges.get(key)
    if made is None:
        made = call.exchanges[key] = Exchange(call)
    made.hooks = found
    return made


@dataclass(slots=True)
class _Round:
    """One pass through the mutating webhooks: the object as it came out.

    again   those that want to be asked again, since somebody changed the object after them
    called  those that would want to, if somebody still did
    """

    item: Object
    changed: bool = False
    again: list[Hook] = field(default_factory=list)
    called: list[Hook] = field(default_factory=list)


class Exchange:
    """Use as an admission plugin, with what the request adds (`options`)."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.hooks = Hooks((), (), ())
        self.identity: Object = {}
        self._base = -1
        self._tries = 0
        self._rounds: list[_Round] = []
        self._valid = False

    def begin(self, base: int) -> None:
        """A decision about the object of revision `base` (0: there is none) begins. Raises StatusError 409."""
        if base == self._base:
            return
        self._tries += 1
        if self._tries > TRIES:
            served = self.call.resource
            raise errors.stale(served.group, served.plural, self.call.target.name)
        self._base, self._rounds, self._valid, self.identity = base, [], False, {}

    # -- changing ---------------------------------------------------------------------------------------------------

    def mutate(self, attempt: Attempt, options: Object | None, builtin: Again) -> None:
        """Puts the object as the webhooks left it into `attempt`. Raises Pending, StatusError."""
        if not self.hooks.mutating:
            return
        question = Question(attempt, options)
        if not self._rounds:
            wanted = self._concerned(self.hooks.mutating, attempt)
            if not wanted:
                return
            raise Pending(partial(self._first, question, clone(attempt.item)))
        first = self._rounds[0]
        attempt.item = clone(first.item)
        if not first.changed:
            return
        builtin(attempt)
        again = first.again if attempt.item == first.item else [*first.again, *first.called]
        if not again:
            return
        if len(self._rounds) == 1:
            raise Pending(partial(self._second, question, clone(attempt.item), again))
        attempt.item = clone(self._rounds[1].item)

    async def _first(self, question: Question, item: Object, _: Outside) -> None:
        attempt, passing = question.attempt, _Round(item)
        for hook in self.hooks.mutating:
            seen = expressions.concerned(hook, attempt, passing.item if attempt.item else None)
            if seen is None:
                continue
            if await self._change(question, hook, seen, passing):
                passing.again, passing.called = [*passing.again, *passing.called], []
            if hook.again:
                passing.called.append(hook)
        self._rounds.append(passing)

    async def _second(self, question: Question, item: Object, again: Sequence[Hook], _: Outside) -> None:
        passing = _Round(item)
        for hook in self.hooks.mutating:
            if hook in again and (seen := expressions.concerned(hook, question.attempt, passing.item)) is not None:
                await self._change(question, hook, seen, passing)
        self._rounds.append(passing)

    async def _change(self, question: Question, hook: Hook, seen: Served, passing: _Round) -> bool:
        """Ask one webhook; whether it changed the object."""
        item = passing.item if question.attempt.item else None
        try:
            answer = await self._ask(question, hook, seen, item, mutating=True)
        except _Failed as failure:
            failure.settle(hook)
            return False
        if not answer.patch:
            return False
        if item is None:
            text = f'admission webhook "{hook.name}" attempted to modify the object, which is not supported for this '
            raise errors.internal(f"{text}operation")
        changed = _patched(question.attempt, seen, item, answer.patch)
        if changed == item:
            return False
        passing.item, passing.changed = changed, True
        return True

    # -- refusing ---------------------------------------------------------------------------------------------------

    def validate(self, attempt: Attempt, options: Object | None) -> None:
        """Raises Pending until the webhooks have agreed, StatusError if one has not."""
        if self._valid or not self.hooks.validating:
            return
        wanted = self._concerned(self.hooks.validating, attempt)
        if wanted:
            raise Pending(partial(self._all, Question(attempt, options), wanted, clone(attempt.item)))

    async def _all(self, question: Question, wanted: Sequence[tuple[Hook, Served]], item: Object, _: Outside) -> None:
        told = item if question.attempt.item else None
        results = await asyncio.gather(
            *(self._agree(question, hook, seen, told) for hook, seen in wanted), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        self._valid = True

    async def _agree(self, question: Question, hook: Hook, seen: Served, item: Object | None) -> None:
        try:
            await self._ask(question, hook, seen, item, mutating=False)
        except _Failed as failure:
            failure.settle(hook)

    # -- both -------------------------------------------------------------------------------------------------------

    def _concerned(self, all_hooks: Sequence[Hook], attempt: Attempt) -> list[tuple[Hook, Served]]:
        item = attempt.item or None
        found = ((hook, expressions.concerned(hook, attempt, item)) for hook in all_hooks)
        return [(hook, seen) for hook, seen in found if seen is not None]

    async def _ask(
        self, question: Question, hook: Hook, seen: Served, item: Object | None, *, mutating: bool
    ) -> answering.Answer:
        """The answer of a webhook that agrees. Raises _Failed if it could not be had, StatusError if it refuses."""
        if question.attempt.dry_run and hook.side_effects not in QUIET:
            raise errors.bad_request(f'admission webhook "{hook.name}" does not support dry run')
        began, count = perf_counter(), partial(self._count, hook, question.attempt.operation, mutating)
        try:
            answer = await self._answer(question, hook, seen, item, mutating)
        except _Failed:
            error = "" if hook.ignore else "calling_webhook_error"
            count(perf_counter() - began, 503, error, failed_open=hook.ignore)
            raise
        refusal = answer.refusal
        count(perf_counter() - began, refusal.code if refusal else 200, "no_error" if refusal else "")
        self.call.warnings.extend(answer.warnings)
        if self.call.trace is not None:
            self.call.trace.annotate(hook.name, answer.annotations)
        if refusal is not None:
            raise refusal
        return answer

    async def _answer(
        self, question: Question, hook: Hook, seen: Served, item: Object | None, mutating: bool
    ) -> answering.Answer:
        uid = self.call.cluster.random.uid()
        try:
            body = question.body(hook, seen, item, uid)
            answered = await self.call.outside(hook.client, body, hook.timeout)
            return answering.read(hook, uid, answered, mutating)
        except WebhookFailed as error:
            raise _Failed(f"failed to call webhook: {error}") from error
        except BadAnswer as error:
            raise _Failed(str(error)) from error

    def _count(
        self,
        hook: Hook,
        operation: str,
        mutating: bool,
        seconds: float,
        code: int,
        error: str,
        *,
        failed_open: bool = False,
    ) -> None:
        tally = self.call.cluster.ports.tally
        if tally is None:
            return
        if tally.hooks is None:
            tally.hooks = HookTally()
        called = Called(hook.name, "admit" if mutating else "validating", operation)
        tally.hooks.observe(called, seconds, code, error, failed_open=failed_open)


class _Failed(Exception):
    """A webhook could not be asked."""

    def settle(self, hook: Hook) -> None:
        """Go on if the webhook's failurePolicy says so. Raises StatusError 500 if not."""
        text = f'failed calling webhook "{hook.name}": {self}'
        if not hook.ignore:
            raise errors.internal(text) from self
        log.warning("failed calling webhook, failing open", webhook=hook.name, error=str(self))


def _patched(attempt: Attempt, seen: Served, item: Object, patch: Sequence[Any]) -> Object:
    """The object (in the storage version, defaulted) after the patch of a webhook that saw it as `seen`."""
    shape = attempt.shape
    if shape is not None:
        shown = {**shape.show(clone(item)), "kind": shape.kind, "apiVersion": shape.api_version}
        return shape.take(clone(item), _applied(shape.type, order(shape.type, shown), patch))
    document = {
        **storage.from_storage(seen, clone(item)),
        "kind": seen.kind.kind,
        "apiVersion": seen.kind.api_version,
    }
    decoded = _applied(seen.kind.type, document, patch)
    if not isinstance(decoded.get("metadata"), dict):
        decoded["metadata"] = {}
    changed = storage.to_storage(seen, {**decoded, "kind": seen.kind.kind, "apiVersion": seen.kind.api_version})
    seen.strategy.default(changed)
    return changed


def _applied(type: StructType, document: Object, patch: Sequence[Any]) -> Object:
    """The document after the patch. Raises StatusError 500 with what Go says of it."""
    try:
        changed = json_patch.apply(document, list(patch))
    except json_patch.DoesNotApply as error:
        raise errors.internal(error.why) from error
    except StatusError as error:
        raise errors.internal(error.message) from error
    try:
        return decode(type, changed).object
    except StatusError as error:
        why = error.message.partition(" cannot be handled as a ")[2].partition(": ")[2]
        raise errors.internal(why or error.message) from error
