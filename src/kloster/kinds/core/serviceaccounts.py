"""ServiceAccounts. Of the Secrets that one lists only the names are kept.

Source: https://kubernetes.io/docs/concepts/security/service-accounts/
"""

from __future__ import annotations

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


STRATEGY = Strategy(
    prepare_create=_prepare,
    prepare_update=_prepare_update,
    returns_deleted=True,
    cells=_cells,
)
CHANGED = {"1.35": replace(STRATEGY, cells=_cells_since_1_35)}
