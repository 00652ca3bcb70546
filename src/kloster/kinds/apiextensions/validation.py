"""What a CustomResourceDefinition must be like.

Findings name the places of upstream's internal form, as upstream does: what is the same in all versions (and so
whatever stands in the only version) is told at the top, as ``spec.validation.openAPIV3Schema``, ``spec.subresources``,
``spec.additionalPrinterColumns`` and ``spec.selectableFields``.

Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import orjson

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, forbidden_field, invalid_value, not_supported, required
from kloster.apimachinery.rules import definitions as rules
from kloster.apimachinery.structural import checks as schemas
from kloster.apimachinery.structural.model import Structural
from kloster.kinds import checks, conditions, metadata, names
from kloster.kinds.admissionregistration import webhooks
from kloster.kinds.apiextensions import embedded, status

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_SHARED = ("schema", "subresources", "additionalPrinterColumns", "selectableFields")
_AT_ROOT = [
    "description",
    "type",
    "format",
    "title",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "multipleOf",
    "required",
    "items",
    "properties",
    "externalDocs",
    "example",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
]
_AT_ROOT_SHOWN = (
    "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern "
    "MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields "
    "XValidations]"
)


def validate(definition: Object, minor: int) -> Iterator[FieldError]:
    """Findings about a definition, in Kubernetes 1.`minor`."""
    yield from _name(definition)
    yield from _spec(definition["spec"], minor)
    yield from _status(definition)
    yield from _approval(definition)
    if definition["spec"].get("preserveUnknownFields"):
        text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        yield invalid_value("spec.preserveUnknownFields", True, text)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    """Findings about what a definition was changed in."""
    spec, before = new["spec"], old["spec"]
    if conditions.is_true((old.get("status") or {}).get("conditions"), "Established"):
        yield from metadata.immutable(spec.get("scope"), before.get("scope"), "spec.scope")
        yield from metadata.immutable(spec["names"].get("kind"), before["names"].get("kind"), "spec.names.kind")
    yield from metadata.immutable(spec.get("group"), before.get("group"), "spec.group")
    yield from metadata.immutable(spec["names"].get("plural"), before["names"].get("plural"), "spec.names.plural")


def validate_status(new: Object, _old: Object) -> Iterator[FieldError]:
    """Findings about a written status."""
    yield from _names((new.get("status") or {}).get("acceptedNames") or {}, "status.acceptedNames")


def _name(definition: Object) -> Iterator[FieldError]:
    spec = definition["spec"]
    name = definition["metadata"].get("name", "")
    if "resourceVersion" in definition["metadata"]:
        return  # an update: the name was good once, and what it is made of cannot change
    if name and name != f"{spec['names'].get('plural', '')}.{spec.get('group', '')}":
        yield invalid_value("metadata.name", name, 'must be spec.names.plural+"."+spec.group')


def _schema(version: Object) -> Object | None:
    found: Object | None = (version.get("schema") or {}).get("openAPIV3Schema")
    return found


# --- the spec -----------------------------------------------------------------------------------------------------


def _spec(spec: Object, minor: int) -> Iterator[FieldError]:
    group, versions = checks.text(spec.get("group")), spec.get("versions") or []
    if not group:
        yield required("spec.group")
    elif texts := names.subdomain(group):
        yield invalid_value("spec.group", group, ",".join(texts))
    elif "." not in group:
        yield invalid_value("spec.group", group, "should be a domain with at least one dot")
    scope = checks.text(spec.get("scope"))
    if not scope:
        yield required("spec.scope")
    elif scope not in ("Cluster", "Namespaced"):
        yield not_supported("spec.scope", scope, ("Cluster", "Namespaced"))
    shared = {name: value for name in _SHARED if (value := _shared(versions, name)) is not None}
    if _schema(shared) is None:
        for index, version in enumerate(versions):
            if "schema" in shared or _schema(version) is None:
                yield required(f"spec.versions[{index}].schema.openAPIV3Schema")
    yield from _versions(versions, shared, minor)
    yield from _required_names(spec["names"])
    yield from _names(spec["names"], "spec.names")
    has_status = any(_has_status(version) for version in versions)
    yield from _parts(shared, "spec", has_status, minor)
    yield from _conversion(spec)


def _shared(versions: list[Object], name: str) -> Any:
    """What is the same in all versions."""
    if not versions or not versions[0].get(name):
        return None
    first = versions[0][name]
    return first if all(version.get(name) == first for version in versions) else None


def _has_status(version: Object) -> bool:
    return (version.get("subresources") or {}).get("status") is not None


def _versions(versions: list[Object], shared: Object, minor: int) -> Iterator[FieldError]:
    listed = [version.get("name", "") for version in versions]
    for index, version in enumerate(versions):
        at = f"spec.versions[{index}]"
        name = checks.text(version.get("name"))
        if texts := names.label_1035(name):
            yield invalid_value(f"{at}.name", name, ",".join(texts))
            if name and not index:  # the internal form has the first version's name at the top, too
                yield invalid_value("spec.version", name, ",".join(texts))
        yield from _deprecation(version, at)
        own = {name: value for name in _SHARED if name not in shared and (value := version.get(name)) is not None}
        yield from _parts(own, at, _has_status(version), minor)
    if len(set(listed)) != len(listed):
        yield invalid_value("spec.versions", _shown(versions, shared), "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        text = "must have exactly one version marked as storage version"
        yield invalid_value("spec.versions", _shown(versions, shared), text)


_INTERNAL = ("name", "served", "storage", "deprecated", "deprecationWarning", *_SHARED)


def _shown(versions: list[Object], shared: Object) -> list[Object]:
    """Versions as upstream's internal form shows them."""
    empty = {"name": "", "served": False, "storage": False, "deprecated": False}
    return [
        {
            name[0].upper() + name[1:]: None if name in shared else version.get(name, empty.get(name))
            for name in _INTERNAL
        }
        for version in versions
    ]


def _deprecation(version: Object, at: str) -> Iterator[FieldError]:
    warning = version.get("deprecationWarning")
    if warning is None:
        return
    path = f"{at}.deprecationWarning"
    if not version.get("deprecated"):
        yield invalid_value(path, warning, "can only be set for deprecated versions")
        return
    if len(warning.encode()) > 256:
        yield invalid_value(path, warning, "must be <= 256 characters long")
    if not warning:
        yield invalid_value(path, warning, "must not be an empty string")
    for char in warning:
        if not char.isprintable():
            place = len(warning[: warning.index(char)].encode())
            text = "must only contain printable UTF-8 characters; non-printable character found at index"
            yield invalid_value(path, warning, f"{text} {place}")
            break


def _parts(own: Object, at: str, has_status: bool, minor: int) -> Iterator[FieldError]:
    """The parts of a version, or those that all versions share."""
    schema = _schema(own)
    if schema is not None:
        place = f"{at}.{'validation' if at == 'spec' else 'schema'}.openAPIV3Schema"
        yield from _root(schema, place, has_status)
        yield from _known.findings(schema, place, minor)
    scale = (own.get("subresources") or {}).get("scale")
    if scale is not None:
        yield from _scale(scale, f"{at}.subresources.scale")
    for index, column in enumerate(own.get("additionalPrinterColumns") or ()):
        yield from _column(column, f"{at}.additionalPrinterColumns[{index}]")
    fields = own.get("selectableFields")
    if fields and schema is not None:
        yield from schemas.selectable(fields, Structural(schema), f"{at}.selectableFields")


class _KnownSchemas:
    """Remembers which schemas were found good, by their content: many clusters install the same definitions, and the
    walk through a large schema, with the compilation of its rules, takes a tenth of a second."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._good: OrderedDict[bytes, None] = OrderedDict()

    def findings(self, schema: Object, place: str, minor: int) -> list[FieldError]:
        digest = hashlib.blake2b(orjson.dumps([minor, schema]), digest_size=16).digest()
        if digest in self._good:
            self._good.move_to_end(digest)
            return []
        found = schemas.validate(schema, place, embedded.validate) or rules.validate(schema, place, minor)
        if not found:
            self._good[digest] = None
            if len(self._good) > self._limit:
                self._good.popitem(last=False)
        return found


_known = _KnownSchemas(4096)


def _root(schema: Object, at: str, has_status: bool) -> Iterator[FieldError]:
    if has_status:
        if schema.get("type") != "object":
            text = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
            yield invalid_value(f"{at}.type", schema.get("type") or "", text)
        elif set(schema) - set(_AT_ROOT):
            text = f"only {_AT_ROOT_SHOWN} fields are allowed at the root of the schema if the status subresource is "
            yield invalid_value(at, schema, f"{text}enabled")
    if schema.get("nullable"):
        yield forbidden_field(f"{at}.nullable", "nullable cannot be true at the root")


def _scale(scale: Object, at: str) -> Iterator[FieldError]:
    for name, prefix in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        path, value = f"{at}.{name}", checks.text(scale.get(name))
        if not value:
            yield required(path)
        elif not value.startswith("."):
            yield invalid_value(path, value, "must be a simple json path starting with .")
        elif not value.startswith(prefix):
            yield invalid_value(path, value, f"should be a json path under {prefix[:-1]}")
    path, value = f"{at}.labelSelectorPath", checks.text(scale.get("labelSelectorPath"))
    if value and not value.startswith("."):
        yield invalid_value(path, value, "must be a simple json path starting with .")
    elif value and not value.startswith((".spec.", ".status.")):
        yield invalid_value(path, value, "should be a json path under either .spec or .status")


def _column(column: Object, at: str) -> Iterator[FieldError]:
    kind, form = checks.text(column.get("type")), checks.text(column.get("format"))
    if not column.get("name"):
        yield required(f"{at}.name")
    if not kind:
        yield required(f"{at}.type", f"must be one of {','.join(_COLUMN_TYPES)}")
    elif kind not in _COLUMN_TYPES:
        yield invalid_value(f"{at}.type", kind, f"must be one of {','.join(_COLUMN_TYPES)}")
    if form and form not in _COLUMN_FORMATS:
        yield invalid_value(f"{at}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}")
    path = checks.text(column.get("jsonPath"))
    if not path:
        yield required(f"{at}.JSONPath")
    elif not path.startswith("."):
        yield invalid_value(f"{at}.JSONPath", path, "must be a simple json path starting with .")


# --- names and status ---------------------------------------------------------------------------------------------


def _required_names(given: Object) -> Iterator[FieldError]:
    for name in ("plural", "singular", "kind", "listKind"):
        if not given.get(name):
            yield required(f"spec.names.{name}")


def _names(given: Object, at: str) -> Iterator[FieldError]:
    for name in ("plural", "singular"):
        value = checks.text(given.get(name))
        if value and (texts := names.label_1035(value)):
            yield invalid_value(f"{at}.{name}", value, ",".join(texts))
    for name in ("kind", "listKind"):
        value = checks.text(given.get(name))
        if value and (texts := names.label_1035(value.lower())):
            text = f"may have mixed case, but should otherwise match: {','.join(texts)}"
            yield invalid_value(f"{at}.{name}", value, text)
    for index, value in enumerate(given.get("shortNames") or ()):
        if texts := names.label_1035(value):
            yield invalid_value(f"{at}.shortNames[{index}]", value, ",".join(texts))
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        yield invalid_value(f"{at}.listKind", given["listKind"], "kind and listKind may not be the same")
    for index, value in enumerate(given.get("categories") or ()):
        if texts := names.label_1035(value):
            yield invalid_value(f"{at}.categories[{index}]", value, ",".join(texts))


def _status(definition: Object) -> Iterator[FieldError]:
    found = definition.get("status") or {}
    yield from _names(found.get("acceptedNames") or {}, "status.acceptedNames")
    path, stored = "status.storedVersions", found.get("storedVersions") or []
    if not stored:
        yield invalid_value(path, None, "must have at least one stored version")
        return
    versions = definition["spec"].get("versions") or ()
    for version in versions:
        if version.get("storage") and version["name"] not in stored:
            yield invalid_value(path, stored, f"must have the storage version {version['name']}")
    present = {version["name"] for version in versions}
    for index, name in enumerate(stored):
        if name not in present:
            text = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} and removes "
                f"{name} from status.storedVersions"
            )
            yield invalid_value(f"{path}[{index}]", name, text)


def _approval(definition: Object) -> Iterator[FieldError]:
    if not status.is_protected(definition["spec"].get("group") or ""):
        return
    annotations = definition["metadata"].get("annotations")
    state, text = status.approval(annotations)
    at = f"metadata.annotations[{status.APPROVAL}]"
    if state == "missing":
        yield required(at, text)
    elif state == "invalid":
        yield invalid_value(at, (annotations or {}).get(status.APPROVAL, ""), text)


# --- conversion ---------------------------------------------------------------------------------------------------


def _conversion(spec: Object) -> Iterator[FieldError]:
    conversion = spec.get("conversion") or {}
    at, strategy = "spec.conversion", checks.text(conversion.get("strategy"))
    if strategy != "None" and spec.get("preserveUnknownFields"):
        yield invalid_value(f"{at}.strategy", strategy, "must be None if spec.preserveUnknownFields is true")
    if not strategy:
        yield required(f"{at}.strategy")
    elif strategy not in ("None", "Webhook"):
        yield not_supported(f"{at}.strategy", strategy, ("None", "Webhook"))
    webhook = conversion.get("webhook") or {}
    client, reviews = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    if strategy == "Webhook":
        yield from _client(client, f"{at}.webhookClientConfig")
        yield from _reviews(reviews, f"{at}.conversionReviewVersions")
        return
    text = "should not be set when strategy is not set to Webhook"
    if client is not None:
        yield forbidden_field(f"{at}.webhookClientConfig", text)
    if reviews:
        yield forbidden_field(f"{at}.conversionReviewVersions", text)


def _client(client: Object | None, at: str) -> Iterator[FieldError]:
    if client is None:
        yield required(at, "required when strategy is set to Webhook")
        return
    url, service = client.get("url"), client.get("service")
    if (url is None) is (service is None):
        yield required(at, "exactly one of url or service is required")
    elif url is not None:
        yield from webhooks.validate_url(f"{at}.url", url)
    elif service is not None:
        yield from webhooks.validate_service(f"{at}.service", service)


def _reviews(versions: list[str], at: str) -> Iterator[FieldError]:
    if not versions:
        yield required(at)
        return
    seen: set[str] = set()
    for index, version in enumerate(versions):
        if version in seen:
            yield invalid_value(f"{at}[{index}]", version, "duplicate version")
            continue
        seen.add(version)
        yield from (invalid_value(f"{at}[{index}]", version, text) for text in names.label_1035(version))
    if not seen & {"v1", "v1beta1"}:
        yield invalid_value(at, versions, "must include at least one of v1, v1beta1")
