"""Bindings: an order to run a pod on a node. Never stored; the pod's subresource ``binding`` carries it out.

Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/binding-v1/
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, not_supported, required
from kloster.kinds.strategy import Strategy


def _validate(binding: Object) -> Iterable[FieldError]:
    target = binding.get("target") or {}
    if target.get("kind") not in (None, "", "Node"):
        yield not_supported("target.kind", target["kind"], ("Node", "<empty>"))
    if not target.get("name"):
        yield required("target.name")


STRATEGY = Strategy(validate=_validate, name="any")
