"""What expressions of admission can name: the object, the old one, the request, the namespace, params, the authorizer,
and the variables of their policy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from kloster.apimachinery.cel import types, versions
from kloster.apimachinery.cel.declarations import Environment
from kloster.apimachinery.cel.functions import authorization
from kloster.apimachinery.cel.types import Field, Structure, Type

VARIABLES = "kubernetes.variables"
_TEXTS = types.list_of(types.STRING)
_LABELS = types.map_of(types.STRING, types.STRING)


def _structure(name: str, /, **fields: Type) -> Structure:
    return Structure(name, {each: Field(kind, each) for each, kind in fields.items()})


_KIND = _structure("kubernetes.GroupVersionKind", group=types.STRING, version=types.STRING, kind=types.STRING)
_RESOURCE = _structure(
    "kubernetes.GroupVersionResource", group=types.STRING, version=types.STRING, resource=types.STRING
)
_USER = _structure(
    "kubernetes.UserInfo",
    username=types.STRING,
    uid=types.STRING,
    groups=_TEXTS,
    extra=types.map_of(types.STRING, _TEXTS),
)
_REQUEST = _structure(
    "kubernetes.AdmissionRequest",
    kind=types.struct(_KIND.name),
    resource=types.struct(_RESOURCE.name),
    subResource=types.STRING,
    requestKind=types.struct(_KIND.name),
    requestResource=types.struct(_RESOURCE.name),
    requestSubResource=types.STRING,
    name=types.STRING,
    namespace=types.STRING,
    operation=types.STRING,
    userInfo=types.struct(_USER.name),
    dryRun=types.BOOL,
    options=types.DYN,
)
_CONDITION = _structure(
    "kubernetes.NamespaceCondition",
    status=types.STRING,
    type=types.STRING,
    lastTransitionTime=types.TIMESTAMP,
    message=types.STRING,
    reason=types.STRING,
)
_NAMESPACE_SPEC = _structure("kubernetes.NamespaceSpec", finalizers=_TEXTS)
_NAMESPACE_STATUS = _structure(
    "kubernetes.NamespaceStatus", conditions=types.list_of(types.struct(_CONDITION.name)), phase=types.STRING
)
_NAMESPACE_METADATA = _structure(
    "kubernetes.NamespaceMetadata",
    name=types.STRING,
    generateName=types.STRING,
    namespace=types.STRING,
    labels=_LABELS,
    annotations=_LABELS,
    UID=types.STRING,
    creationTimestamp=types.TIMESTAMP,
    deletionGracePeriodSeconds=types.INT,
    deletionTimestamp=types.TIMESTAMP,
    generation=types.INT,
    resourceVersion=types.STRING,
    finalizers=_TEXTS,
)
_NAMESPACE = _structure(
    "kubernetes.Namespace",
    metadata=types.struct(_NAMESPACE_METADATA.name),
    spec=types.struct(_NAMESPACE_SPEC.name),
    status=types.struct(_NAMESPACE_STATUS.name),
)
_STRUCTURES = {
    each.name: each
    for each in (
        *(_KIND, _RESOURCE, _USER, _REQUEST, _CONDITION, _NAMESPACE),
        *(_NAMESPACE_SPEC, _NAMESPACE_STATUS, _NAMESPACE_METADATA),
    )
}
#: In the order in which evaluation hands them over.
NAMES = ("object", "oldObject", "namespaceObject", "request", "variables")
_AUTHORIZER = ("authorizer", "authorizer.requestResource")


@lru_cache(maxsize=64)
def of(minor: int, *, params: bool, authorizer: bool) -> Environment:
    """Without the variables of a policy."""
    variables: dict[str, Type] = {
        "object": types.DYN,
        "oldObject": types.DYN,
        "namespaceObject": types.struct(_NAMESPACE.name),
        "request": types.struct(_REQUEST.name),
    }
    if params:
        variables["params"] = types.DYN
    if authorizer:
        variables["authorizer"] = authorization.AUTHORIZER
        variables["authorizer.requestResource"] = authorization.RESOURCE
    return Environment(versions.library(minor), variables, _STRUCTURES)


def with_variables(base: Environment, known: Mapping[str, Type]) -> Environment:
    """With the variables that have been declared so far."""
    made = Structure(VARIABLES, {name: Field(kind, name) for name, kind in known.items()})
    return Environment(
        base.library,
        {**base.variables, "variables": types.struct(VARIABLES)},
        {**base.structures, VARIABLES: made},
    )
