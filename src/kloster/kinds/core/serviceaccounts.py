"""ServiceAccounts. Of the Secrets that one lists only the names are kept.

Source: https://kubernetes.io/docs/concepts/security/service-accounts/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from kloster.apimachinery import Object
from kloster.kinds import cells as table
from kloster.kinds.strategy import Strategy


def _prepare(account: Object) -> None:
    if account.get("secrets"):
        account["secrets"] = [{"name": secret["name"]} if secret.get("name") else {} for secret in account["secrets"]]


def _prepare_update(new: Object, _old: Object) -> None:
    _prepare(new)


def _cells(account: Object, now: float) -> list[Any]:
    return [account["metadata"]["name"], len(account.get("secrets") or ()), table.age(account, now)]


def _cells_since_1_35(account: Object, now: float) -> list[Any]:
    return [account["metadata"]["name"], table.age(account, now)]


_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"


def _warn(new: Object, old: Object | None, minor: int) -> Iterator[str]:
    known = (old or {}).get("metadata", {}).get("annotations") or {}
    if minor >= 32 and _MOUNTABLE in (new["metadata"].get("annotations") or {}) and _MOUNTABLE not in known:
        text = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        yield f"metadata.annotations[{_MOUNTABLE}]: {text}"


STRATEGY = Strategy(
    prepare_create=_prepare,
    prepare_update=_prepare_update,
    returns_deleted=True,
    cells=_cells,
    warn=_warn,
)
CHANGED = {"1.35": replace(STRATEGY, cells=_cells_since_1_35)}
