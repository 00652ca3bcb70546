"""FlowSchemas: which requests belong to which priority level.

Source: https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, lifecycle, names
from kloster.kinds.flowcontrol import levels
from kloster.kinds.strategy import Strategy

_DEFAULT_PRECEDENCE = 1000
_HIGHEST_PRECEDENCE = 10000
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}


def _default(schema: Object) -> None:
    defaulting.empty(defaulting.struct(schema, "spec"), matchingPrecedence=_DEFAULT_PRECEDENCE)


def _validate(schema: Object) -> list[FieldError]:
    spec, name = schema.get("spec") or {}, checks.text(schema["metadata"].get("name"))
    found = _precedence("spec.matchingPrecedence", spec.get("matchingPrecedence") or 0, name)
    if (method := spec.get("distinguisherMethod")) is not None:
        kind = checks.text(method.get("type"))
        if kind not in ("ByNamespace", "ByUser"):
            shown = {"Type": kind}
            found.append(errors.not_supported("spec.distinguisherMethod.type", shown, ["ByNamespace", "ByUser"]))
    level = checks.text((spec.get("priorityLevelConfiguration") or {}).get("name"))
    if level:
        found.extend(checks.complaints("spec.priorityLevelConfiguration.name", level, names.subdomain(level)))
    else:
        found.append(errors.required("spec.priorityLevelConfiguration.name", "must reference a priority level"))
    for index, rule in enumerate(spec.get("rules") or ()):
        found.extend(_rule(f"spec.rules[{index}]", rule))
    return [
        *found,
        *levels.mandatory("spec", name, spec, levels.SCHEMAS, levels.FLOW_SCHEMA),
        *levels.validate_conditions(schema),
    ]


def _precedence(path: str, value: int, name: str) -> list[FieldError]:
    texts = []
    if value <= 0:
        texts.append("must be a positive value")
    if value > _HIGHEST_PRECEDENCE:
        texts.append(f"must not be greater than {_HIGHEST_PRECEDENCE}")
    if value == 1 and name != levels.EXEMPT:
        texts.append("only the schema named 'exempt' may have matchingPrecedence 1")
    return checks.complaints(path, value, texts)


def _rule(path: str, rule: Object) -> list[FieldError]:
    subjects = rule.get("subjects") or []
    found = []
    for index, subject in enumerate(subjects):
        found.extend(_subject(f"{path}.subjects[{index}]", subject))
    if not subjects:
        found.append(errors.required(f"{path}.subjects", "subjects must contain at least one value"))
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        text = "at least one of resourceRules and nonResourceRules has to be non-empty"
        found.append(errors.required(path, text))
    for index, item in enumerate(rule.get("resourceRules") or ()):
        found.extend(_resource_rule(f"{path}.resourceRules[{index}]", item))
    for index, item in enumerate(rule.get("nonResourceRules") or ()):
        found.extend(_url_rule(f"{path}.nonResourceRules[{index}]", item))
    return found


def _subject(path: str, subject: Object) -> list[FieldError]:
    kind = checks.text(subject.get("kind"))
    own = _SUBJECTS.get(kind)
    if own is None:
        return checks.supported(f"{path}.kind", kind, _SUBJECTS)
    given = subject.get(own)
    if given is None:
        found = [errors.required(f"{path}.{own}", f"{own} is required when subject kind is '{kind}'")]
    else:
        found = _subject_name(f"{path}.{own}", given, own)
    for other, field in _SUBJECTS.items():
        if field != own and subject.get(field) is not None:
            text = f"{field} is forbidden when subject kind is not '{other}'"
            found.append(errors.forbidden_field(f"{path}.{field}", text))
    return found


def _subject_name(path: str, subject: Object, field: str) -> list[FieldError]:
    name, namespace = checks.text(subject.get("name")), checks.text(subject.get("namespace"))
    found = [] if name else [errors.required(f"{path}.name")]
    if field != "serviceAccount":
        return found
    if name not in ("", "*"):
        found.extend(checks.complaints(f"{path}.name", name, names.subdomain(name)))
    if namespace:
        found.extend(checks.complaints(f"{path}.namespace", namespace, names.label(namespace)))
    else:
        found.append(errors.required(f"{path}.namespace", "must specify namespace for service account"))
    return found


def _verbs(path: str, verbs: list[str]) -> list[FieldError]:
    if not verbs:
        return [errors.required(path, "verbs must contain at least one value")]
    if "*" in verbs:
        return _alone(path, verbs, "verbs")
    if not set(verbs) <= set(_VERBS):
        return [errors.not_supported(path, verbs, _VERBS)]
    return []


def _alone(path: str, values: list[str], noun: str) -> list[FieldError]:
    if len(values) > 1 and "*" in values:
        return [errors.invalid_value(path, values, f"if '*' is present, must not specify other {noun}")]
    return []


def _resource_rule(path: str, rule: Object) -> list[FieldError]:
    groups, resources, namespaces = (rule.get(name) or [] for name in ("apiGroups", "resources", "namespaces"))
    found = _verbs(f"{path}.verbs", rule.get("verbs") or [])
    if not groups:
        found.append(errors.required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    found.extend(_alone(f"{path}.apiGroups", groups, "api groups"))
    if not resources:
        found.append(errors.required(f"{path}.resources", "resource rules must supply at least one resource"))
    found.extend(_alone(f"{path}.resources", resources, "resources"))
    if not namespaces and not rule.get("clusterScope"):
        text = "resource rules that are not cluster scoped must supply at least one namespace"
        return [*found, errors.required(f"{path}.namespaces", text)]
    if "*" in namespaces:
        return [*found, *_alone(f"{path}.namespaces", namespaces, "namespaces")]
    intro = "each member of this list must be '*' or a DNS-1123 label; "
    for index, namespace in enumerate(namespaces):
        texts = (f"{intro}{text}" for text in names.label(namespace))
        found.extend(checks.complaints(f"{path}.namespaces[{index}]", namespace, texts))
    return found


def _url_rule(path: str, rule: Object) -> list[FieldError]:
    urls = rule.get("nonResourceURLs") or []
    found = _verbs(f"{path}.verbs", rule.get("verbs") or [])
    at = f"{path}.nonResourceURLs"
    if not urls:
        return [*found, errors.required(at, "nonResourceURLs must contain at least one value")]
    if "*" in urls:
        return [*found, *_alone(at, urls, "non-resource URLs")]
    for index, url in enumerate(urls):
        if text := _url_problem(url):
            found.append(errors.invalid_value(f"{at}[{index}]", url, text))
    return found


def _url_problem(url: str) -> str:
    if not url:
        return "must not be empty"
    if url == "/":
        return ""
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    stars = url.count("*")
    if stars > 1 or (stars == 1 and not url.endswith("/*")):
        return "wildcard can only do suffix matching"
    return ""


def _cells(schema: Object, now: float) -> list[Any]:
    spec = schema.get("spec") or {}
    method = spec.get("distinguisherMethod")
    dangling = "?"
    for condition in (schema.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Dangling":
            dangling = checks.text(condition.get("status"))
            break
    return [
        schema["metadata"]["name"],
        checks.text((spec.get("priorityLevelConfiguration") or {}).get("name")),
        spec.get("matchingPrecedence") or 0,
        "<none>" if method is None else checks.text(method.get("type")),
        table.age(schema, now),
        dangling,
    ]


def _row_order(schema: Object) -> tuple[int, str]:
    """In the order in which they are tried."""
    return (schema.get("spec") or {}).get("matchingPrecedence") or 0, schema["metadata"]["name"]


STRATEGY = Strategy(
    default=_default,
    prepare_create=lifecycle.clear_status,
    prepare_update=lifecycle.keep_status,
    prepare_status=levels.keep_everything_else,
    validate=_validate,
    validate_status=levels.validate_status,
    generation=True,
    status=True,
    cells=_cells,
    row_order=_row_order,
)
