"""What makes a StatefulSet's pod itself: name, labels, host name, volumes. Pure.

https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#pod-identity
"""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.workloads import ownership, podcontrol

REVISION_LABEL = "controller-revision-hash"
NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"


def ordinal(stateful_set: Object, pod: Object) -> int:
    """The number at the end of the pod's name; -1 if the name is not one of the set's."""
    parent, _, number = str(pod["metadata"]["name"]).rpartition("-")
    return int(number) if parent == stateful_set["metadata"]["name"] and number.isascii() and number.isdigit() else -1


def start(stateful_set: Object) -> int:
    return int((stateful_set["spec"].get("ordinals") or {}).get("start") or 0)


def replicas(stateful_set: Object) -> int:
    return int(stateful_set["spec"].get("replicas", 1))


def is_wanted(stateful_set: Object, number: int) -> bool:
    """Whether the ordinal is in the range that spec asks for."""
    first = start(stateful_set)
    return first <= number < first + replicas(stateful_set)


def revision(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get(REVISION_LABEL, ""))


def claim_names(stateful_set: Object, number: int) -> dict[str, str]:
    """Name of the volume → name of the claim."""
    name = stateful_set["metadata"]["name"]
    return {
        template["metadata"]["name"]: f"{template['metadata']['name']}-{name}-{number}"
        for template in stateful_set["spec"].get("volumeClaimTemplates") or ()
    }


def new_pod(stateful_set: Object, template: Object, number: int, revision_name: str) -> Object:
    name = f"{stateful_set['metadata']['name']}-{number}"
    pod = podcontrol.pod_from_template(template, stateful_set, name=name)
    metadata = pod["metadata"]
    metadata["generateName"] = f"{stateful_set['metadata']['name']}-"
    metadata["labels"] = {**(metadata.get("labels") or {}), **_labels(name, number), REVISION_LABEL: revision_name}
    spec = {**pod["spec"], "hostname": name}
    service = stateful_set["spec"].get("serviceName")
    if service:
        spec["subdomain"] = service
    claims = claim_names(stateful_set, number)
    if claims:
        volumes: list[Object] = [
            {"name": volume, "persistentVolumeClaim": {"claimName": claim}} for volume, claim in claims.items()
        ]
        volumes += [volume for volume in spec.get("volumes") or () if volume["name"] not in claims]
        spec["volumes"] = volumes
    return {**pod, "spec": spec}


def _labels(name: str, number: int) -> dict[str, str]:
    return {NAME_LABEL: name, INDEX_LABEL: str(number)}


def missing_labels(stateful_set: Object, pod: Object) -> dict[str, str]:
    """Identity labels that an adopted pod lacks."""
    wanted = _labels(pod["metadata"]["name"], ordinal(stateful_set, pod))
    labels = pod["metadata"].get("labels") or {}
    return {key: value for key, value in wanted.items() if labels.get(key) != value}


def new_claims(stateful_set: Object, number: int) -> list[Object]:
    """The claims that a pod of that ordinal needs."""
    names = claim_names(stateful_set, number)
    made: list[Object] = []
    for template in stateful_set["spec"].get("volumeClaimTemplates") or ():
        metadata = template["metadata"]
        labels = {**(metadata.get("labels") or {}), **(stateful_set["spec"]["selector"].get("matchLabels") or {})}
        claim: Object = {"name": names[metadata["name"]], "namespace": stateful_set["metadata"]["namespace"]}
        if labels:
            claim["labels"] = labels
        if metadata.get("annotations"):
            claim["annotations"] = metadata["annotations"]
        owners = claim_owners(stateful_set, None, False)
        if owners:
            claim["ownerReferences"] = owners
        made.append(
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": claim, "spec": template.get("spec") or {}}
        )
    return made


def claim_owners(stateful_set: Object, pod: Object | None, condemned: bool) -> list[Object]:
    """Who owns a claim by persistentVolumeClaimRetentionPolicy: the set, the pod that is scaled away, or nobody."""
    policy = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    if condemned and pod is not None and policy.get("whenScaled") == "Delete":
        return [ownership.controller_reference(pod)]
    if policy.get("whenDeleted") == "Delete":
        return [ownership.controller_reference(stateful_set)]
    return []
