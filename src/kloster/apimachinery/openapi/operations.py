"""Operations: what can be asked of a resource, as paths of OpenAPI version 3.

One `Resource` brings the paths of its collection, of one object, of each subresource and, if it can be watched, the
deprecated ``/watch/`` paths. Each operation is built whole; parameters that all operations of a path share are then
moved to the path, as kube-openapi does it. Custom resources publish less: text only, no watch paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kloster.apimachinery.openapi.definitions import Form, reference
from kloster.apimachinery.schema.build import META

Operation = dict[str, Any]
Paths = dict[str, dict[str, Any]]
GroupVersionKind = tuple[str, str, str]

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
_TEXT = (JSON, YAML)
_TYPED = (JSON, PROTOBUF, YAML)
_STREAMS = (JSON, f"{JSON};stream=watch", PROTOBUF, f"{PROTOBUF};stream=watch", YAML)
_PATCHES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_LIST = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "shardSelector",
    "timeoutSeconds",
    "watch",
)
_DELETE = (
    "dryRun",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "orphanDependents",
    "propagationPolicy",
)
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_DEPRECATED = "deprecated: use the 'watch' parameter with a list operation instead"
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
_PLACES = {
    "name": "name of the {}",
    "namespace": "object name and auth scope, such as for teams and projects",
    "path": "path to the resource",
}


@dataclass(frozen=True, slots=True)
class Subresource:
    """`type` is the Go type of its body; empty for connections and logs. `methods` are those of a connection."""

    name: str
    kind: GroupVersionKind
    verbs: frozenset[str]
    type: str = ""
    methods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of one group and version. `type` and `list_type` are references to definitions.

    returns_deleted  DELETE answers with the object
    parameters       the known query parameters: name → ``TYPE TEXT``
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    verbs: frozenset[str]
    type: dict[str, str]
    list_type: dict[str, str]
    subresources: Sequence[Subresource] = ()
    returns_deleted: bool = False
    custom: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def gvk(self) -> GroupVersionKind:
        return self.group, self.version, self.kind

    @property
    def base(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


def identifier(group: str) -> str:
    """A group in identifiers: ``rbac.authorization.k8s.io`` → ``RbacAuthorization``."""
    return "".join(part.capitalize() for part in (group.removesuffix(".k8s.io") or "core").split("."))


def tag(group: str, version: str = "") -> str:
    name = identifier(group)
    return name[:1].lower() + name[1:] + (f"_{version}" if version else "")


def paths(resource: Resource) -> Paths:
    """All paths of a resource."""
    found: Paths = {}
    for path, method, operation in _operations(resource):
        found.setdefault(path, {})[method] = operation
    return {path: _hoisted(methods) for path, methods in sorted(found.items())}


def _hoisted(methods: dict[str, Operation]) -> dict[str, Any]:
    """The path with the parameters that all its operations share."""
    lists = [operation["parameters"] for operation in methods.values()]
    shared = [item for item in lists[0] if all(item in other for other in lists)]
    path: dict[str, Any] = {}
    for method in _METHODS:
        operation = methods.get(method)
        if operation is not None:
            own = [item for item in operation.pop("parameters") if item not in shared]
            path[method] = {
                **{key: operation[key] for key in ("tags", "description", "operationId")},
                **({"parameters": own} if own else {}),
                **operation,
            }
    if shared:
        path["parameters"] = shared
    return path


def _operations(resource: Resource) -> Iterator[tuple[str, str, Operation]]:
    make = _Maker(resource)
    everywhere = f"{resource.base}/{resource.plural}"
    collection = f"{resource.base}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else everywhere
    item = f"{collection}/{{name}}"
    verbs = resource.verbs
    if "list" in verbs:
        yield collection, "get", make.list(collection)
        if resource.namespaced:
            yield everywhere, "get", make.list(everywhere, everywhere=True)
    if "create" in verbs:
        yield collection, "post", make.create(collection)
    if "deletecollection" in verbs:
        yield collection, "delete", make.delete_collection(collection)
    if "get" in verbs:
        yield item, "get", make.get(item)
    if "update" in verbs:
        yield item, "put", make.update(item)
    if "delete" in verbs:
        yield item, "delete", make.delete(item)
    if "patch" in verbs:
        yield item, "patch", make.patch(item)
    for subresource in resource.subresources:
        yield from _of_subresource(make, f"{item}/{subresource.name}", subresource)
    if "watch" in verbs and not resource.custom:
        prefix = f"{resource.base}/watch"
        collection = collection.replace(resource.base, prefix, 1)
        yield collection, "get", make.watch_list(collection)
        if resource.namespaced:
            everywhere = f"{prefix}/{resource.plural}"
            yield everywhere, "get", make.watch_list(everywhere, everywhere=True)
        if "get" in verbs:
            yield f"{collection}/{{name}}", "get", make.watch(f"{collection}/{{name}}")


def _of_subresource(make: _Maker, path: str, sub: Subresource) -> Iterator[tuple[str, str, Operation]]:
    if sub.methods:
        for method in sub.methods:
            yield path, method.lower(), make.connect(path, sub, method)
            if sub.name == "proxy":
                deeper = path + "/{path}"
                yield deeper, method.lower(), make.connect(deeper, sub, method, "WithPath")
        return
    if sub.name == "log":
        yield path, "get", make.log(path, sub)
        return
    if "get" in sub.verbs:
        yield path, "get", make.get(path, sub)
    if "create" in sub.verbs:
        yield path, "post", make.create(path, sub)
    if "update" in sub.verbs:
        yield path, "put", make.update(path, sub)
    if "patch" in sub.verbs:
        yield path, "patch", make.patch(path, sub)


class _Maker:
    """Makes the operations of one resource."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.text = _TEXT if resource.custom else _TYPED
        self.bodies = _TEXT if resource.custom else ("*/*",)
        self.status = reference(Form.V3, f"{META}.Status")
        self.group_version = identifier(resource.group) + resource.version[:1].upper() + resource.version[1:]
        self.scoped = ("Namespaced" if resource.namespaced else "") + resource.kind

    # --- what all have in common -----------------------------------------------------------------------------------

    def operation(
        self,
        path: str,
        action: str,
        id: tuple[str, str],
        description: str,
        responses: dict[str, Any],
        query: Sequence[str],
        kind: GroupVersionKind | None = None,
        body: dict[str, Any] | None = None,
    ) -> Operation:
        """`id`: what stands before and after the group and version in the operation's identifier."""
        resource = self.resource
        group, version, name = kind or resource.gvk
        places = [_place(part[1:-1], name) for part in path.split("/") if part.startswith("{")]
        parameters = places + [self.query(key) for key in query if key in resource.parameters]
        return {
            "tags": [tag(resource.group, resource.version)],
            "description": description,
            "operationId": id[0] + self.group_version + id[1],
            "parameters": sorted(parameters, key=lambda item: (item["name"], item["in"])),
            **({"requestBody": body} if body else {}),
            "responses": {**responses, "401": {"description": "Unauthorized"}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": name},
        }

    def query(self, key: str) -> dict[str, Any]:
        """A query parameter; `key` may have the kind of its options in front."""
        type, _, text = self.resource.parameters[key].partition(" ")
        schema = {"type": type, "uniqueItems": True}
        return {"name": key.rpartition(".")[2], "in": "query", "description": text, "schema": schema}

    def of(self, sub: Subresource | None) -> tuple[dict[str, str], GroupVersionKind, str, str]:
        """(type of the body, its kind, end of identifiers, what is read or replaced)."""
        resource = self.resource
        if sub is None:
            return resource.type, resource.gvk, self.scoped, ""
        schema = reference(Form.V3, sub.type) if sub.type else resource.type
        return schema, sub.kind, self.scoped + sub.name[:1].upper() + sub.name[1:], f"{sub.name} of "

    # --- the operations --------------------------------------------------------------------------------------------

    def get(self, path: str, sub: Subresource | None = None) -> Operation:
        schema, kind, end, what = self.of(sub)
        text = f"read {what}the specified {self.resource.kind}"
        query = ("pretty", "resourceVersion") if self.resource.custom else ("pretty",)
        return self.operation(path, "get", ("read", end), text, _answers(self.text, schema, 200), query, kind)

    def list(self, path: str, everywhere: bool = False) -> Operation:
        resource = self.resource
        watched = "watch" in resource.verbs and not resource.custom
        text = f"{'list or watch' if watched else 'list'} objects of kind {resource.kind}"
        end = f"{resource.kind}ForAllNamespaces" if everywhere else self.scoped
        answers = _answers(_TEXT if resource.custom else _STREAMS, resource.list_type, 200)
        return self.operation(path, "list", ("list", end), text, answers, (*_LIST, "pretty"))

    def create(self, path: str, sub: Subresource | None = None) -> Operation:
        schema, kind, end, what = self.of(sub)
        article = _article(self.resource.kind)
        text = f"create {what}{article}{self.resource.kind}"
        answers = _answers(self.text, schema, 200, 201, 202)
        body = _body(self.bodies, schema, required=True)
        return self.operation(path, "post", ("create", end), text, answers, (*_WRITE, "pretty"), kind, body)

    def update(self, path: str, sub: Subresource | None = None) -> Operation:
        schema, kind, end, what = self.of(sub)
        text = f"replace {what}the specified {self.resource.kind}"
        answers, body = _answers(self.text, schema, 200, 201), _body(self.bodies, schema, required=True)
        return self.operation(path, "put", ("replace", end), text, answers, (*_WRITE, "pretty"), kind, body)

    def patch(self, path: str, sub: Subresource | None = None) -> Operation:
        schema, kind, end, what = self.of(sub)
        text = f"partially update {what}the specified {self.resource.kind}"
        custom = self.resource.custom
        answers = _answers(self.text, schema, 200) if custom else _answers(self.text, schema, 200, 201)
        body = _body(_PATCHES[:3] if custom else _PATCHES, reference(Form.V3, f"{META}.Patch"), required=True)
        query = ("dryRun", "PatchOptions.fieldManager", "fieldValidation", "force", "pretty")
        return self.operation(path, "patch", ("patch", end), text, answers, query, kind, body)

    def delete(self, path: str) -> Operation:
        resource = self.resource
        text = f"delete {_article(resource.kind)}{resource.kind}"
        schema = resource.type if resource.returns_deleted else self.status
        answers = _answers(self.text, schema, 200, 202)
        return self.operation(
            path, "delete", ("delete", self.scoped), text, answers, (*_DELETE, "pretty"), None, self.options()
        )

    def options(self) -> dict[str, Any]:
        return _body(self.bodies, reference(Form.V3, f"{META}.DeleteOptions"))

    def delete_collection(self, path: str) -> Operation:
        custom = self.resource.custom
        text = f"delete collection of {self.resource.kind}"
        narrowed = [key for key in _LIST if key not in ("allowWatchBookmarks", "watch")]
        query = (*_LIST, "pretty") if custom else (*narrowed, *_DELETE, "pretty")
        id = ("delete", f"Collection{self.scoped}")
        answers = _answers(self.text, self.status, 200)
        body = None if custom else self.options()
        return self.operation(path, "deletecollection", id, text, answers, query, None, body)

    def watch(self, path: str) -> Operation:
        filtered = ", filtered to a single item with the 'fieldSelector' parameter."
        text = f"watch changes to an object of kind {self.resource.kind}. {_DEPRECATED}{filtered}"
        return self.events(path, "watch", self.scoped, text)

    def watch_list(self, path: str, everywhere: bool = False) -> Operation:
        text = f"watch individual changes to a list of {self.resource.kind}. {_DEPRECATED}."
        end = f"{self.resource.kind}ListForAllNamespaces" if everywhere else f"{self.scoped}List"
        return self.events(path, "watchlist", end, text)

    def events(self, path: str, action: str, end: str, text: str) -> Operation:
        answers = _answers(_STREAMS, reference(Form.V3, f"{META}.WatchEvent"), 200)
        return self.operation(path, action, ("watch", end), text, answers, (*_LIST, "pretty"))

    def connect(self, path: str, sub: Subresource, method: str, suffix: str = "") -> Operation:
        resource = self.resource
        text = f"connect {method} requests to {sub.name} of {resource.kind}"
        end = method.capitalize() + self.scoped + sub.name[:1].upper() + sub.name[1:] + suffix
        query = [key for key in resource.parameters if key.startswith(f"{sub.kind[2]}.")]
        id = ("connect", end)
        operation = self.operation(
            path, "connect", id, text, _answers(("*/*",), {"type": "string"}, 200), query, sub.kind
        )
        operation["operationId"] = f"connect{self.group_version}{end}"
        return operation

    def log(self, path: str, sub: Subresource) -> Operation:
        resource = self.resource
        _, _, end, what = self.of(sub)
        text = f"read {what}the specified {resource.kind}"
        query = [key for key in resource.parameters if key.startswith("PodLogOptions.")]
        answers = _answers((*_TYPED, "text/plain"), {"type": "string"}, 200)
        return self.operation(path, "get", ("read", end), text, answers, (*query, "pretty"))


def _article(noun: str) -> str:
    """What stands before a kind: nothing before a plural."""
    if noun.endswith("s") and not noun.endswith("ss"):
        return ""
    return "an " if noun[:1].lower() in "aeiou" else "a "


def _place(name: str, kind: str) -> dict[str, Any]:
    """A parameter in the path."""
    schema = {"type": "string", "uniqueItems": True}
    return {"name": name, "in": "path", "description": _PLACES[name].format(kind), "required": True, "schema": schema}


_DESCRIPTIONS = {200: "OK", 201: "Created", 202: "Accepted"}


def _answers(media: Sequence[str], schema: dict[str, Any], *codes: int) -> dict[str, Any]:
    content = {name: {"schema": schema} for name in media}
    return {str(code): {"description": _DESCRIPTIONS[code], "content": content} for code in codes}


def _body(media: Sequence[str], schema: dict[str, Any], required: bool = False) -> dict[str, Any]:
    body: dict[str, Any] = {"content": {name: {"schema": schema} for name in media}}
    if required:
        body["required"] = True
    return body
