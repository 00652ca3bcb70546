"""What the status of a CustomResourceDefinition tells: accepted names, and the conditions that follow from them.

Names are first come, first served within a group: a definition keeps what it was once granted, and what another one
holds is refused, until that one lets go of it. A definition is established, and its resource served, as soon as all its
names are accepted; it stays so even if it later asks for a name that it cannot have.

Upstream has controllers for this, which write the status moments later. Here it is settled in the write itself.
Source: k8s.io/apiextensions-apiserver/pkg/controller/{status,establish,apiapproval}.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import urlsplit

from kloster.apimachinery import Object
from kloster.kinds import defaulting, times

NAMES_ACCEPTED, ESTABLISHED, TERMINATING = "NamesAccepted", "Established", "Terminating"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
APPROVAL = "api-approved.kubernetes.io"
_CONFORMANT = "KubernetesAPIApprovalPolicyConformant"


def settle(definition: Object, group: Iterable[Object], now: float) -> None:
    """Accepts what names can be accepted and sets the conditions. `group`: the definitions of the same API group."""
    _approve(definition, now)
    status = defaulting.struct(definition, "status")
    wanted, accepted = definition["spec"]["names"], status.get("acceptedNames") or {}
    if _equal(wanted, accepted):
        return
    names, reason, message = _accept(wanted, accepted, [*group, definition])
    status["acceptedNames"] = names
    if reason:
        set_condition(definition, NAMES_ACCEPTED, "False", reason, message, now)
        if condition(definition, ESTABLISHED) is None:
            set_condition(definition, ESTABLISHED, "False", "NotAccepted", "not all names are accepted", now)
        return
    set_condition(definition, NAMES_ACCEPTED, "True", "NoConflicts", "no conflicts found", now)
    known = condition(definition, ESTABLISHED)
    if known is None or known.get("status") != "True":
        text = "the initial names have been accepted"
        set_condition(definition, ESTABLISHED, "True", "InitialNamesAccepted", text, now)


def condition(definition: Object, kind: str) -> Object | None:
    listed = (definition.get("status") or {}).get("conditions") or ()
    return next((each for each in listed if each.get("type") == kind), None)


def set_condition(definition: Object, kind: str, status: str, reason: str, message: str, now: float) -> None:
    """As upstream: the time moves only with the status; a new condition goes last."""
    found = condition(definition, kind)
    if found is None:
        listed = defaulting.struct(definition, "status").setdefault("conditions", [])
        listed.append(
            {
                "type": kind,
                "status": status,
                "lastTransitionTime": times.render(now),
                "reason": reason,
                "message": message,
            }
        )
        return
    if found.get("status") != status:
        found["lastTransitionTime"] = times.render(now)
    found.update(status=status, reason=reason, message=message)


# --- names --------------------------------------------------------------------------------------------------------

_RESOURCE_NAMES = (("plural", "PluralConflict"), ("singular", "SingularConflict"))
_KIND_NAMES = (("kind", "KindConflict"), ("listKind", "ListKindConflict"))


def _equal(wanted: Object, accepted: Object) -> bool:
    names = ("plural", "singular", "kind", "listKind", "shortNames", "categories")
    return all((wanted.get(name) or None) == (accepted.get(name) or None) for name in names)


def _accept(wanted: Object, accepted: Object, group: Iterable[Object]) -> tuple[Object, str, str]:
    """(the names that are granted, reason and message of a refusal). Of several refusals the last one is told."""
    resources, kinds = _taken(group)
    granted = dict(accepted)
    reason = message = ""
    for name, why in _RESOURCE_NAMES:
        if _free(wanted.get(name, ""), accepted.get(name, ""), resources):
            granted[name] = wanted.get(name, "")
        else:
            reason, message = why, _in_use(wanted[name])
    refused = [
        short
        for short in wanted.get("shortNames") or ()
        if short not in (accepted.get("shortNames") or ()) and short in resources
    ]
    if not refused:
        granted["shortNames"] = wanted.get("shortNames")
    else:
        texts = list(dict.fromkeys(_in_use(short) for short in refused))
        reason, message = "ShortNamesConflict", texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    for name, why in _KIND_NAMES:
        if _free(wanted.get(name, ""), accepted.get(name, ""), kinds):
            granted[name] = wanted.get(name, "")
        else:
            reason, message = why, _in_use(wanted[name])
    granted["categories"] = wanted.get("categories")
    return {name: value for name, value in granted.items() if value}, reason, message


def _taken(group: Iterable[Object]) -> tuple[set[str], set[str]]:
    resources: set[str] = set()
    kinds: set[str] = set()
    for definition in group:
        names = (definition.get("status") or {}).get("acceptedNames") or {}
        resources.update((names.get("plural", ""), names.get("singular", ""), *(names.get("shortNames") or ())))
        kinds.update((names.get("kind", ""), names.get("listKind", "")))
    return resources, kinds


def _free(wanted: str, accepted: str, taken: set[str]) -> bool:
    return wanted == accepted or wanted not in taken


def _in_use(name: str) -> str:
    return f"{json.dumps(name, ensure_ascii=False)} is already in use"


# --- groups of Kubernetes itself ----------------------------------------------------------------------------------


def is_protected(group: str) -> bool:
    """Whether a group belongs to Kubernetes, so that its APIs need the community's approval."""
    return any(group == own or group.endswith(f".{own}") for own in ("k8s.io", "kubernetes.io"))


def approval(annotations: Object | None) -> tuple[str, str]:
    """(state, text): the state is approved, bypassed, invalid or missing."""
    given = (annotations or {}).get(APPROVAL, "")
    shown = json.dumps(given, ensure_ascii=False)
    see = "see https://github.com/kubernetes/enhancements/pull/1111"
    if not given:
        return "missing", f'protected groups must have approval annotation "{APPROVAL}", {see}'
    if given.startswith("unapproved"):
        return "bypassed", f"not approved: {shown}"
    try:
        url = urlsplit(given)
    except ValueError:
        url = urlsplit("")
    if url.scheme and url.netloc:
        return "approved", f"approved in {given}"
    text = f'protected groups must have approval annotation "{APPROVAL}" with either a URL or a reason starting with'
    return "invalid", f'{text} "unapproved", {see}'


_STATES = {
    "approved": ("True", "ApprovedAnnotation"),
    "bypassed": ("False", "UnapprovedAnnotation"),
    "invalid": ("False", "InvalidAnnotation"),
    "missing": ("False", "MissingAnnotation"),
}


def _approve(definition: Object, now: float) -> None:
    if is_protected(definition["spec"]["group"]):
        state, text = approval(definition["metadata"].get("annotations"))
        status, reason = _STATES[state]
        set_condition(definition, _CONFORMANT, status, reason, text, now)
