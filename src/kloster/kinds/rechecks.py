"""How often upstream looks at an object's metadata when the object is updated.

The registry checks what has changed in metadata for every kind. Upstream's validation of a kind then checks that once
more or not, and the new metadata by itself one to three times. A finding is shown once in the text of the answer, but
as often among its causes as it was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kloster.apimachinery.errors import FieldError

_OFTEN: dict[tuple[int, int], str] = {
    (0, 1): "policy/poddisruptionbudgets /events",
    (0, 2): """
        admissionregistration.k8s.io/mutatingwebhookconfigurations
        admissionregistration.k8s.io/mutatingadmissionpolicies
        admissionregistration.k8s.io/mutatingadmissionpolicybindings
        admissionregistration.k8s.io/validatingadmissionpolicies
        admissionregistration.k8s.io/validatingadmissionpolicybindings
        admissionregistration.k8s.io/validatingwebhookconfigurations
        discovery.k8s.io/endpointslices
        flowcontrol.apiserver.k8s.io/flowschemas flowcontrol.apiserver.k8s.io/prioritylevelconfigurations
        /limitranges
    """,
    (0, 3): "storage.k8s.io/csinodes storage.k8s.io/volumeattachments /persistentvolumes",
    (1, 2): """
        apiregistration.k8s.io/apiservices apps/controllerrevisions batch/jobs
        certificates.k8s.io/certificatesigningrequests
        networking.k8s.io/ingressclasses networking.k8s.io/ingresses networking.k8s.io/ipaddresses
        networking.k8s.io/networkpolicies node.k8s.io/runtimeclasses
        resource.k8s.io/deviceclasses resource.k8s.io/resourceclaims resource.k8s.io/resourceclaimtemplates
        storage.k8s.io/csistoragecapacities storage.k8s.io/storageclasses
        /configmaps /endpoints /namespaces /nodes /pods /replicationcontrollers /secrets /serviceaccounts
    """,
    (1, 3): """
        rbac.authorization.k8s.io/clusterrolebindings rbac.authorization.k8s.io/clusterroles
        rbac.authorization.k8s.io/rolebindings rbac.authorization.k8s.io/roles
        storage.k8s.io/volumeattributesclasses /persistentvolumeclaims
    """,
}
_USUAL = (1, 1)
_TIMES = {kind: times for times, kinds in _OFTEN.items() for kind in kinds.split()}


def of_update(kind: str, changed: Sequence[FieldError], whole: Sequence[FieldError]) -> Iterator[FieldError]:
    """The further findings on metadata for a kind (its storage id): those on what `changed`, those on the `whole`."""
    again, alone = _TIMES.get(kind, _USUAL)
    for _ in range(again):
        yield from changed
    for _ in range(alone):
        yield from whole
