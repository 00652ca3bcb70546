"""The order of API versions' names.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#version-priority
"""

from __future__ import annotations


def version_priority(version: str) -> tuple[int, int, int, str]:
    """Sorts versions as Kubernetes does: v2 over v1 over v1beta1 over v1alpha1 over anything else."""
    rest = version.removeprefix("v")
    if rest == version:
        return (0, 0, 0, version)
    for rank, word in ((1, "alpha"), (2, "beta")):
        major, found, minor = rest.partition(word)
        if found:
            if major.isdigit() and minor.isdigit():
                return (rank, int(major), int(minor), "")
            return (0, 0, 0, version)
    return (3, int(rest), 0, "") if rest.isdigit() else (0, 0, 0, version)
