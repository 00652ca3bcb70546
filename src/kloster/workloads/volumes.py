"""The claims behind a pod's ephemeral volumes: what they are called and whose they are. Pure.

https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes
"""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.workloads.ownership import is_controlled_by


def claim_name(pod: Object, volume: Object) -> str:
    """The claim of an ephemeral volume of the pod."""
    return f"{pod['metadata']['name']}-{volume['name']}"


def claims_of(pod: Object) -> list[tuple[str, bool]]:
    """(name, is it for an ephemeral volume) of every claim that the pod's volumes stand for."""
    found: list[tuple[str, bool]] = []
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            found.append((volume["persistentVolumeClaim"]["claimName"], False))
        elif volume.get("ephemeral"):
            found.append((claim_name(pod, volume), True))
    return found


def is_made_for(claim: Object, pod: Object) -> bool:
    """Whether the claim was made for an ephemeral volume of this very pod."""
    return is_controlled_by(claim, pod)


def foreign_claim(claim: Object, pod: Object) -> str:
    """What is said of a claim that has the name of an ephemeral one and is none."""
    owned, owner = claim["metadata"], pod["metadata"]
    return (
        f"PVC {owned['namespace']}/{owned['name']} was not created for pod {owner['namespace']}/{owner['name']} "
        "(pod is not owner)"
    )
