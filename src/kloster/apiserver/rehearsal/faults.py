"""Which requests are made to fail, and how: rules, tried in order, with chance from a seed.

All rules that match a request apply: their latencies add up, the first error is the answer, the first cut counts, and
the longest lag. Rules with `webhook` are about something else: the calls to webhooks that such requests cause, whoever
makes them, the cluster's own controllers included.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from kloster.apiserver.rehearsal.lag import LONGEST

READING = frozenset({"get", "list", "watch"})
VERBS = ("get", "list", "watch", "create", "update", "patch", "apply", "delete", "deletecollection")
KINDS = ("read", "write")
ERRORS = (409, 429, 500, 503, 504)
LONGEST_LATENCY = 300.0
MOST_RULES = 100
END, RESET, EXPIRED = "end", "reset", "expired"
TIMEOUT, REFUSED = "timeout", "refused"
CHOICES = {"cut_with": (END, RESET, EXPIRED), "webhook": (TIMEOUT, REFUSED)}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as rules see it. `resource` is plural.GROUP/SUBRESOURCE, the latter two where there are any."""

    verb: str
    resource: str
    namespace: str
    name: str
    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One fault. Patterns are as the shell's (``*``, ``?``); none means any.

    verbs        get, list, watch, create, update, patch, apply, delete, deletecollection; ``read`` and ``write`` for
                 those that do
    resources    such as ``pods``, ``deployments.apps``, ``widgets.example.com/status``
    agents       of clients, such as ``kopf*``
    error        the answer's code: 409, 429, 500, 503 or 504; 0 for none
    latency      seconds that the answer is late
    cut          seconds after which a watch ends; 0 for as ever
    cut_with     how it ends: ``end``, as when its time is up; ``reset``, its connection is reset in mid-stream;
                 ``expired``, with an ERROR event (410 Expired), after which clients list again
    stale        seconds that the answer is old where an API server may answer from its watch cache: reads with
                 resourceVersion=0 or another that is old enough, and watches, whose events are so late
    webhook      what becomes of calls to admission and conversion webhooks: ``timeout`` or ``refused``
    probability  how likely it is, from 0 to 1
    times        how often it happens at most; 0 for without end
    """

    verbs: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    error: int = 0
    latency: float = 0.0
    cut: float = 0.0
    cut_with: str = END
    stale: float = 0.0
    webhook: str = ""
    probability: float = 1.0
    times: int = 0

    def matches(self, asked: Asked) -> bool:
        kind = "read" if asked.verb in READING else "write"
        return (
            (not self.verbs or kind in self.verbs or _fits(asked.verb, self.verbs))
            and _fits(asked.resource, self.resources)
            and _fits(asked.namespace, self.namespaces)
            and _fits(asked.name, self.names)
            and _fits(asked.agent, self.agents)
        )


def _fits(value: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(value, pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Effect:
    """What becomes of a request."""

    latency: float = 0.0
    error: int = 0
    cut: float = 0.0
    cut_with: str = END
    stale: float = 0.0


NONE = Effect()


@dataclass(slots=True)
class Faults:
    """The rules, how often each has applied, and the dice."""

    rules: tuple[Rule, ...] = ()
    hits: list[int] = field(default_factory=list)
    dice: Random = field(default_factory=lambda: Random(0))

    def replace(self, rules: Sequence[Rule], seed: int) -> None:
        """From now on these."""
        self.rules, self.hits, self.dice = tuple(rules), [0] * len(rules), Random(seed)

    @property
    def stale(self) -> bool:
        """Whether any rule lets caches lag."""
        return any(rule.stale for rule in self.rules)

    def effect(self, asked: Asked) -> Effect:
        """What becomes of this request; it counts."""
        latency, error, cut, cut_with, stale = 0.0, 0, 0.0, END, 0.0
        for rule in self._applying(asked, webhooks=False):
            latency, error, stale = latency + rule.latency, error or rule.error, max(stale, rule.stale)
            if rule.cut and not cut:
                cut, cut_with = rule.cut, rule.cut_with
        return Effect(min(latency, LONGEST_LATENCY), error, cut, cut_with, stale)

    def webhook(self, asked: Asked) -> str:
        """What becomes of a call to a webhook that this request causes; it counts."""
        return next((rule.webhook for rule in self._applying(asked, webhooks=True)), "")

    def _applying(self, asked: Asked, *, webhooks: bool) -> Iterator[Rule]:
        for number, rule in enumerate(self.rules):
            if bool(rule.webhook) is not webhooks or (rule.times and self.hits[number] >= rule.times):
                continue
            if rule.matches(asked) and (rule.probability >= 1 or self.dice.random() < rule.probability):
                self.hits[number] += 1
                yield rule

    def to_json(self) -> dict[str, Any]:
        shown = [{**dataclasses.asdict(rule), "hits": hits} for rule, hits in zip(self.rules, self.hits, strict=True)]
        return {"rules": shown}


def parse(body: Any) -> tuple[list[Rule], int]:
    """The rules and the seed of a body ``{"seed": 1, "rules": […]}``. Raises ValueError, which names what is wrong."""
    if not isinstance(body, Mapping) or not isinstance(body.get("rules"), list) or len(body["rules"]) > MOST_RULES:
        raise ValueError(f"expected a seed and at most {MOST_RULES} rules")
    seed = body.get("seed", 0)
    if not isinstance(seed, int):
        raise ValueError(f"seed: expected a whole number, found {seed!r}")
    return [_rule(number, rule) for number, rule in enumerate(body["rules"])], seed


def _rule(number: int, given: Any) -> Rule:
    where = f"rules[{number}]"
    if not isinstance(given, Mapping):
        raise ValueError(f"{where}: expected a mapping, found {given!r}")
    values: dict[str, Any] = {}
    known = {one.name: one for one in dataclasses.fields(Rule)}
    for key, value in given.items():
        if key not in known:
            raise ValueError(f"{where}.{key} is not known; known are {', '.join(known)}")
        values[key] = _value(f"{where}.{key}", value, known[key].default)
    rule = Rule(**values)
    if rule.error and rule.error not in ERRORS:
        raise ValueError(f"{where}.error: expected one of {', '.join(map(str, ERRORS))}, found {rule.error}")
    for verb in rule.verbs:
        if verb not in KINDS and not any(fnmatchcase(one, verb) for one in VERBS):
            raise ValueError(f"{where}.verbs: expected {', '.join((*VERBS, *KINDS))}, or a pattern, found {verb!r}")
    if rule.probability > 1:
        raise ValueError(f"{where}.probability: expected a number from 0 to 1, found {rule.probability:g}")
    if rule.stale > LONGEST:
        raise ValueError(f"{where}.stale: expected at most {LONGEST:g} seconds, found {rule.stale:g}")
    if not (rule.error or rule.latency or rule.cut or rule.stale or rule.webhook):
        raise ValueError(f"{where} does nothing: it needs error, latency, cut, stale or webhook")
    if rule.webhook and (rule.error or rule.latency or rule.cut or rule.stale):
        raise ValueError(f"{where}: webhook is about calls to webhooks and stands alone; add another rule")
    return rule


def _value(where: str, value: Any, default: Any) -> Any:
    if isinstance(default, tuple):
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list | tuple) or not all(isinstance(one, str) for one in texts):
            raise ValueError(f"{where}: expected patterns, found {value!r}")
        return tuple(texts)
    if isinstance(default, str):
        choices = CHOICES[where.rpartition(".")[2]]
        if value not in (default, *choices):
            raise ValueError(f"{where}: expected one of {', '.join(choices)}, found {value!r}")
        return value
    if isinstance(value, bool) or not isinstance(value, int if isinstance(default, int) else (int, float)) or value < 0:
        raise ValueError(f"{where}: expected a number, found {value!r}")
    return value
