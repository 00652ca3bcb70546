"""Types that the recorded ``types.json`` lacks: those of the aggregator (apiregistration.k8s.io), and of /version.

Same form as there: [JSON name, flags, Go type, protobuf number]. Names, order and numbers are those of upstream's
k8s.io/kube-aggregator/pkg/apis/apiregistration/v1.
"""

from __future__ import annotations

from typing import Any

_META = "apimachinery/pkg/apis/meta/v1"
_HERE = "kube-aggregator/pkg/apis/apiregistration/v1"

TYPES: dict[str, list[list[Any]]] = {
    f"{_HERE}.APIService": [
        ["", "i", f"{_META}.TypeMeta", 0],
        ["metadata", "e", f"{_META}.ObjectMeta", 1],
        ["spec", "e", f"{_HERE}.APIServiceSpec", 2],
        ["status", "e", f"{_HERE}.APIServiceStatus", 3],
    ],
    f"{_HERE}.APIServiceList": [
        ["", "i", f"{_META}.TypeMeta", 0],
        ["metadata", "e", f"{_META}.ListMeta", 1],
        ["items", "", f"[]{_HERE}.APIService", 2],
    ],
    f"{_HERE}.APIServiceSpec": [
        ["service", "e", f"*{_HERE}.ServiceReference", 1],
        ["group", "e", "string", 2],
        ["version", "e", "string", 3],
        ["insecureSkipTLSVerify", "e", "bool", 4],
        ["caBundle", "e", "bytes", 5],
        ["groupPriorityMinimum", "", "int32", 7],
        ["versionPriority", "", "int32", 8],
    ],
    f"{_HERE}.ServiceReference": [
        ["namespace", "e", "string", 1],
        ["name", "e", "string", 2],
        ["port", "e", "*int32", 3],
    ],
    f"{_HERE}.APIServiceStatus": [["conditions", "e", f"[]{_HERE}.APIServiceCondition", 1]],
    f"{_HERE}.APIServiceCondition": [
        ["type", "", "string", 1],
        ["status", "", "string", 2],
        ["lastTransitionTime", "e", f"{_META}.Time", 3],
        ["reason", "e", "string", 4],
        ["message", "e", "string", 5],
    ],
}

KINDS = {
    "apiregistration.k8s.io/v1/APIService": f"{_HERE}.APIService",
    "apiregistration.k8s.io/v1/APIServiceList": f"{_HERE}.APIServiceList",
}

INFO = "apimachinery/pkg/version.Info"


def info(definitions: dict[str, Any]) -> dict[str, list[list[Any]]]:
    """What /version tells: texts, of which later minors have more."""
    definition = definitions.get("io.k8s.apimachinery.pkg.version.Info")
    if definition is None:
        return {}
    required = definition["required"]
    names = [*required, *(name for name in definition["properties"] if name not in required)]
    return {INFO: [[name, "" if name in required else "e", "string", 0, ""] for name in names]}
