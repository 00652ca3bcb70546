"""Admission: what changes or refuses writes beyond a kind's own rules. The table below is the whole of it.

Each plugin is one module, named after upstream's plugin. `mutate` runs before the kind prepares and validates the
object, `validate` after, then `allocate` and `charge`. Order matters and is upstream's.

Source: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from kloster.apiserver.admission import (
    certificates,
    default_tolerations,
    defaults,
    definitions,
    escalation,
    limit_ranger,
    namespace_lifecycle,
    nodes,
    pod_security,
    priority,
    resource_quota,
    runtime_class,
    service_account,
    service_allocation,
    storage_protection,
    validating_policies,
)
from kloster.apiserver.admission.api import Attempt, Plugin
from kloster.stores.api import Operation

PLUGINS: tuple[Plugin, ...] = (
    namespace_lifecycle.PLUGIN,
    limit_ranger.PODS,
    limit_ranger.CLAIMS,
    service_account.PLUGIN,
    nodes.PLUGIN,
    pod_security.NAMESPACES,
    pod_security.PODS,
    pod_security.TEMPLATES,
    priority.PODS,
    priority.CLASSES,
    default_tolerations.PLUGIN,
    defaults.STORAGE,
    defaults.INGRESS,
    storage_protection.PLUGIN,
    runtime_class.PLUGIN,
    certificates.REQUEST,
    certificates.DECISION,
    escalation.PLUGIN,
    service_allocation.PLUGIN,
    definitions.PLUGIN,
    definitions.OBJECTS,
    validating_policies.PLUGIN,
    resource_quota.CREATED,
    resource_quota.PODS,
    resource_quota.SERVICES,
    resource_quota.CLAIMS,
)


def _concerned(attempt: Attempt) -> tuple[Plugin, ...]:
    off = attempt.cluster.settings.plugins_off
    return _plugins_for(attempt.operation, attempt.served.id, attempt.subresource, off)


@lru_cache(maxsize=1024)
def _plugins_for(operation: str, resource: str, subresource: str, off: frozenset[str]) -> tuple[Plugin, ...]:
    return tuple(plugin for plugin in PLUGINS if plugin.concerns(operation, resource, subresource, off))


def mutate(attempt: Attempt) -> None:
    for plugin in _concerned(attempt):
        plugin.mutate(attempt)


def validate(attempt: Attempt) -> None:
    for plugin in _concerned(attempt):
        plugin.validate(attempt)


def allocate(attempt: Attempt) -> bool:
    """Whether any plugin allocates for this kind, and so may have changed the object."""
    concerned = [plugin for plugin in _concerned(attempt) if plugin.allocates]
    for plugin in concerned:
        plugin.allocate(attempt)
    return bool(concerned)


def charge(attempt: Attempt) -> None:
    for plugin in _concerned(attempt):
        plugin.charge(attempt)


def released(attempt: Attempt) -> Sequence[Operation]:
    """Further operations when the object of `attempt` goes: what had been allocated for it, and charged."""
    charged = resource_quota.released(attempt)
    if not attempt.served.kind.builtin:
        return [*definitions.released(attempt), *charged]
    return [*service_allocation.released(attempt), *charged] if attempt.served.id == "/services" else charged
