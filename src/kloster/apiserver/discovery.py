"""Discovery: which groups, versions and resources there are, in the legacy and the aggregated form.

What is built in is a version's data and encoded once for all its clusters; a cluster with custom resources gets its
own document, kept until its set of resources changes (`Resources.generation`). The aggregated form has an ETag, so
that a client that asks again with it gets 304 and no body.

Source: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache

import orjson

from kloster.apimachinery import Object, errors
from kloster.apimachinery.versions import version_priority
from kloster.apiserver import answers, negotiation
from kloster.apiserver.call import Call
from kloster.apiserver.cluster import ServedCluster
from kloster.apiserver.resources import Served
from kloster.client.transport import Response
from kloster.kinds.catalog import Catalog

_AGGREGATED = "APIGroupDiscoveryList"
_GROUP = "apidiscovery.k8s.io"
_LAST_BETA = 33
_PATHS = (
    "/.well-known/openid-configuration",
    "/api",
    "/api/v1",
    "/apis",
    "/apis/",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/",
    "/openid/v1/jwks",
    "/readyz",
    "/version",
)


def _only_get(call: Call) -> None:
    """Raises StatusError 405. /apis, groups and versions of custom resources take any method, HEAD included."""
    if call.request.method != "GET":
        raise errors.method_not_allowed()


def serve(call: Call) -> Response:
    """The answer to a path at or below /api or /apis that names no resource."""
    parts = call.target.path.strip("/").split("/")
    root = parts[0]
    if root not in ("api", "apis"):
        return answers.not_found_text(call)
    if parts == ["api"]:
        _only_get(call)
    if len(parts) == 1:
        version = _aggregated_version(call)
        return _aggregated(call, root, version) if version else _roots(call, root)
    groups = _groups(call.cluster)
    if root == "api":
        core = next(group for group in groups if not _name(group))
        if parts[1] != "v1" or len(parts) > 2:
            raise errors.path_not_found()
        _only_get(call)
        return answers.value(call, _resource_list(call.cluster, "", core["versions"][0]))
    group = next((group for group in groups if _name(group) == parts[1]), None)
    if group is None:
        return answers.not_found_text(call)
    if len(parts) == 2:
        return answers.value(call, {"kind": "APIGroup", "apiVersion": "v1", **_group(group)})
    for version in group["versions"]:
        if version["version"] == parts[2] and len(parts) == 3:
            if parts[1] in call.cluster.resources.built_in.groups:
                _only_get(call)
            return answers.value(call, _resource_list(call.cluster, parts[1], version))
    if parts[1] not in call.cluster.resources.built_in.groups:
        return answers.not_found_text(call)
    raise errors.path_not_found()


def paths(call: Call) -> list[str]:
    """What / lists."""
    found = list(_PATHS)
    for group in _groups(call.cluster):
        name = _name(group)
        if name:
            found.append(f"/apis/{name}")
            found += [f"/apis/{name}/{version['version']}" for version in group["versions"]]
    return sorted(found)


def _name(group: Object) -> str:
    return str(group.get("metadata", {}).get("name", ""))


# --- the groups of a cluster, as aggregated discovery items -------------------------------------------------------


def _groups(cluster: ServedCluster) -> Sequence[Object]:
    """All groups in order, the core group (without a name) first."""
    custom = cluster.resources.custom
    shared = _built_in(cluster.catalog)
    return _merged(shared, [served for part in custom.values() for served in part]) if custom else shared


@lru_cache(maxsize=16)
def _built_in(catalog: Catalog) -> tuple[Object, ...]:
    return tuple(_ordered(group) for root in ("/api", "/apis") for group in catalog.discovery[root])


def _ordered(group: Object) -> Object:
    """A recorded group with its keys in upstream's order."""
    return {
        "metadata": group.get("metadata") or {},
        "versions": [
            {
                "version": version["version"],
                "resources": [_resource(resource) for resource in version["resources"]],
                "freshness": "Current",
            }
            for version in group["versions"]
        ],
    }


def _resource(resource: Object) -> Object:
    found = {
        "resource": resource["resource"],
        "responseKind": _kind(resource.get("responseKind") or {}),
        "scope": resource["scope"],
        "singularResource": resource.get("singularResource", ""),
        "verbs": resource["verbs"],
    }
    for name in ("shortNames", "categories"):
        if resource.get(name):
            found[name] = resource[name]
    if resource.get("subresources"):
        found["subresources"] = [
            {
                "subresource": part["subresource"],
                "responseKind": _kind(part.get("responseKind") or {}),
                **({"acceptedTypes": part["acceptedTypes"]} if part.get("acceptedTypes") else {}),
                "verbs": part["verbs"],
            }
            for part in resource["subresources"]
        ]
    return found


def _kind(kind: Object) -> Object:
    return {name: kind.get(name, "") for name in ("group", "version", "kind")}


def _merged(shared: Sequence[Object], custom: Sequence[Served]) -> Sequence[Object]:
    """With the custom resources: their groups follow in alphabetical order, their versions in order of priority."""
    added: dict[str, dict[str, list[Object]]] = {}
    for served in sorted(custom, key=lambda served: (served.group, served.plural)):
        added.setdefault(served.group, {}).setdefault(served.version, []).append(_custom(served))
    groups = []
    for group in shared:
        versions = added.pop(_name(group), None)
        groups.append({**group, "versions": _with_versions(group["versions"], versions)} if versions else group)
    for name in sorted(added):
        groups.append({"metadata": {"name": name}, "versions": _with_versions((), added[name])})
    return groups


def _with_versions(present: Sequence[Object], added: dict[str, list[Object]]) -> list[Object]:
    versions = []
    for version in present:
        more = added.pop(version["version"], [])
        versions.append({**version, "resources": [*version["resources"], *more]} if more else version)
    for name in sorted(added, key=version_priority, reverse=True):
        versions.append({"version": name, "resources": added[name], "freshness": "Current"})
    return versions


_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_VERBS_TERMINATING = ("delete", "deletecollection", "get", "list", "watch")


def _custom(served: Served) -> Object:
    kind = served.kind
    own = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    found: Object = {
        "resource": kind.plural,
        "responseKind": own,
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(_VERBS_TERMINATING if served.terminating else _VERBS),
    }
    if kind.short_names:
        found["shortNames"] = list(kind.short_names)
    if kind.categories:
        found["categories"] = list(kind.categories)
    if kind.subresources:
        found["subresources"] = [
            {
                "subresource": part.name,
                "responseKind": {
                    "group": part.group or kind.group,
                    "version": part.version or kind.version,
                    "kind": part.kind or kind.kind,
                },
                "verbs": list(part.verbs),
            }
            for part in kind.subresources.values()
        ]
    return found


# --- legacy -------------------------------------------------------------------------------------------------------


def _roots(call: Call, root: str) -> Response:
    if root == "api":
        address = call.cluster.settings.external_address
        body: Object = {
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
        }
    else:
        listed = [_group(group) for group in _groups(call.cluster) if _name(group)]
        body = {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
    return answers.value(call, body)


def _group(group: Object) -> Object:
    name = _name(group)
    versions = [
        {"groupVersion": f"{name}/{version['version']}", "version": version["version"]} for version in group["versions"]
    ]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _resource_list(cluster: ServedCluster, group: str, version: Object) -> Object:
    name = version["version"]
    group_version = f"{group}/{name}" if group else name
    head: Object = {"kind": "APIResourceList"}
    if group:
        head["apiVersion"] = "v1"
    listed = [item for resource in version["resources"] for item in _api_resources(cluster, group, name, resource)]
    return {**head, "groupVersion": group_version, "resources": listed}


def _api_resources(cluster: ServedCluster, group: str, version: str, resource: Object) -> Iterator[Object]:
    """A resource and its subresources as APIResources."""
    plural, namespaced = resource["resource"], resource["scope"] == "Namespaced"
    served = cluster.resources.lookup(group, version, plural)
    item: Object = {
        "name": plural,
        "singularName": resource["singularResource"],
        "namespaced": namespaced,
        **_foreign(resource["responseKind"], group, version),
        "verbs": resource["verbs"],
    }
    for name in ("shortNames", "categories"):
        if name in resource:
            item[name] = resource[name]
    if served is not None and served.kind.storage_hash:
        item["storageVersionHash"] = served.kind.storage_hash
    yield item
    for part in resource.get("subresources", ()):
        yield {
            "name": f"{plural}/{part['subresource']}",
            "singularName": "",
            "namespaced": namespaced,
            **_foreign(part["responseKind"], group, version),
            "verbs": part["verbs"],
        }


def _foreign(kind: Object, group: str, version: str) -> Object:
    """group and version only where they differ from the list's."""
    if kind["version"] and (kind["group"], kind["version"]) != (group, version):
        return {"group": kind["group"], "version": kind["version"], "kind": kind["kind"]}
    return {"kind": kind["kind"]}


# --- aggregated ---------------------------------------------------------------------------------------------------


def _aggregated_version(call: Call) -> str:
    """The version of aggregated discovery that is asked for before anything else; empty for the legacy form."""
    for clause in negotiation.parse_accept(call.request.headers.get("accept", "")):
        parameters = clause.parameters
        if parameters.get("as") == _AGGREGATED and parameters.get("g") == _GROUP:
            version = parameters.get("v", "")
            minor = call.cluster.catalog.number
            if version == "v2" or (version == "v2beta1" and minor <= _LAST_BETA):
                return version
        elif not parameters.get("as"):
            return ""
    return ""


def _aggregated(call: Call, root: str, version: str) -> Response:
    body, etag = _document(call.cluster, root, version)
    headers = answers.headers(call, f"application/json;g={_GROUP};v={version};as={_AGGREGATED}")
    headers |= {"cache-control": "public", "etag": etag, "vary": "Accept"}
    if call.request.headers.get("if-none-match") == etag:
        headers.pop("content-type")
        return Response(304, headers)
    return Response(200, headers, body)


def _document(cluster: ServedCluster, root: str, version: str) -> tuple[bytes, str]:
    """(document, ETag): shared unless the cluster has custom resources."""
    if root == "api" or not cluster.resources.custom:
        return _shared_document(cluster.catalog, root, version)
    key = f"discovery {root} {version}"
    known = cluster.memo.get(key)
    if known is None or known[0] != cluster.resources.generation:
        known = (cluster.resources.generation, _encode([group for group in _groups(cluster) if _name(group)], version))
        cluster.memo[key] = known
    found: tuple[bytes, str] = known[1]
    return found


@lru_cache(maxsize=64)
def _shared_document(catalog: Catalog, root: str, version: str) -> tuple[bytes, str]:
    core = root == "api"
    return _encode([group for group in _built_in(catalog) if core is not bool(_name(group))], version)


def _encode(groups: Sequence[Object], version: str) -> tuple[bytes, str]:
    document = {"kind": _AGGREGATED, "apiVersion": f"{_GROUP}/{version}", "metadata": {}, "items": list(groups)}
    body = orjson.dumps(document)
    return body, f'"{hashlib.sha512(body).hexdigest().upper()}"'
