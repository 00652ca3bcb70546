"""Which paths a request cannot change, whatever it says: upstream's reset fields.

The main resource of a kind with /status resets status, /status resets spec (and for some kinds parts of metadata). What
is reset is never owned through that request, and changing it is no conflict. The two subresources of pods that change
little name instead the only paths that can change.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from kloster.apimachinery.apply import fieldset
from kloster.apimachinery.apply.fieldset import FieldSet


@dataclass(frozen=True, slots=True, eq=False)
class Reset:
    """Paths that are reset, with everything below them; or the only ones that are not (`only`, a pattern)."""

    fields: FieldSet
    only: FieldSet | None = None

    def filter(self, tree: FieldSet) -> FieldSet:
        """What of `tree` the request can change."""
        if self.only is not None:
            return fieldset.include(tree, self.only)
        return fieldset.recursive_difference(tree, self.fields) if self.fields else tree


NOTHING = Reset({})


def _reset(*paths: str) -> Reset:
    return Reset(fieldset.from_paths(*(tuple(f"f:{name}" for name in path.split(".")) for path in paths)))


_MAIN = _reset("status")
_STATUS = _reset("spec")
_STATUS_AND_METADATA = _reset("spec", "metadata")
_RESIZE: FieldSet = {"*": {"f:resources": {}, "f:resizePolicy": {}}}

_SPECIAL: dict[tuple[str, str], Reset] = {
    ("admissionregistration.k8s.io/validatingadmissionpolicies", "status"): _STATUS_AND_METADATA,
    ("apiextensions.k8s.io/customresourcedefinitions", "status"): _STATUS_AND_METADATA,
    ("apiregistration.k8s.io/apiservices", "status"): _STATUS_AND_METADATA,
    ("flowcontrol.apiserver.k8s.io/flowschemas", "status"): _STATUS_AND_METADATA,
    ("flowcontrol.apiserver.k8s.io/prioritylevelconfigurations", "status"): _STATUS_AND_METADATA,
    ("internal.apiserver.k8s.io/storageversions", "status"): _STATUS_AND_METADATA,
    ("storage.k8s.io/volumeattachments", "status"): _STATUS_AND_METADATA,
    ("storagemigration.k8s.io/storageversionmigrations", "status"): _STATUS_AND_METADATA,
    ("apps/deployments", "status"): _reset("spec", "metadata.labels"),
    ("/pods", "status"): _reset("spec", "metadata.deletionTimestamp", "metadata.ownerReferences"),
    ("/pods", "ephemeralcontainers"): Reset({}, {"f:spec": {"f:ephemeralContainers": {}}}),
    ("/pods", "resize"): Reset({}, {"f:spec": {"f:containers": _RESIZE, "f:initContainers": _RESIZE}}),
    ("certificates.k8s.io/certificatesigningrequests", ""): _reset("spec", "status"),
    ("certificates.k8s.io/certificatesigningrequests", "status"): _reset("spec", "status.conditions"),
    ("certificates.k8s.io/certificatesigningrequests", "approval"): _reset("spec", "status.certificate"),
    ("certificates.k8s.io/podcertificaterequests", ""): NOTHING,
}


@lru_cache(maxsize=4096)
def of(resource: str, subresource: str = "", *, status: bool) -> Reset:
    """What a request resets. `resource` is ``group/plural``, `status` whether the kind has a /status subresource."""
    special = _SPECIAL.get((resource, subresource))
    if special is not None:
        return special
    if not status:
        return NOTHING
    if subresource == "status":
        return _STATUS
    return _MAIN if subresource in ("", "finalize") else NOTHING
