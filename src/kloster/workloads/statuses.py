"""Statuses: conditions as the workload kinds keep them, and writing a status only when it differs."""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object
from kloster.client.api import Resource
from kloster.runtime.api import Context


def find(conditions: list[Object], kind: str) -> Object | None:
    return next((condition for condition in conditions if condition["type"] == kind), None)


def without(conditions: list[Object], kind: str) -> list[Object]:
    return [condition for condition in conditions if condition["type"] != kind]


def compact(**fields: Any) -> Object:
    """The fields that Go's ``omitempty`` would write: neither zero nor empty."""
    return {name: value for name, value in fields.items() if value or value is False}


async def write(context: Context, resource: Resource, item: Object, status: Object) -> Object:
    """Update the status if it has changed; returns the newest object. A conflict is raised: reconcile again."""
    if (item.get("status") or {}) == status:
        return item
    return await context.client.update_status(resource, {**item, "status": status})
