"""What both webhook configurations share: defaults and validation of one webhook, table cells.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, names, selector
from kloster.kinds.admissionregistration import expressions, rules

_REVIEW_VERSIONS = ("v1", "v1beta1")
_QUIET = ("None", "NoneOnDryRun")
FORM = "; desired format: https://host[/path]"


def default(configuration: Object) -> None:
    for webhook in configuration.get("webhooks") or ():
        defaulting.absent(
            webhook,
            failurePolicy="Fail",
            matchPolicy="Equivalent",
            namespaceSelector={},
            objectSelector={},
            timeoutSeconds=10,
        )
        rules.default(webhook.get("rules"))
        if (service := (webhook.get("clientConfig") or {}).get("service")) is not None:
            defaulting.absent(service, port=443)


def validate(configuration: Object, minor: int) -> list[FieldError]:
    found = []
    seen = set()
    for index, webhook in enumerate(configuration.get("webhooks") or ()):
        path, name = f"webhooks[{index}]", checks.text(webhook.get("name"))
        found.extend(_webhook(path, webhook, minor))
        found.extend(_review_versions(f"{path}.admissionReviewVersions", webhook.get("admissionReviewVersions") or []))
        if name and name in seen:
            found.append(errors.duplicate(f"{path}.name", name))
        seen.add(name)
    return found


def _webhook(path: str, webhook: Object, minor: int) -> list[FieldError]:
    found = checks.fully_qualified_name(f"{path}.name", checks.text(webhook.get("name")))
    for index, rule in enumerate(webhook.get("rules") or ()):
        found.extend(rules.validate(f"{path}.rules[{index}]", rule))
    found.extend(checks.supported(f"{path}.failurePolicy", webhook.get("failurePolicy"), ["Fail", "Ignore"]))
    found.extend(checks.supported(f"{path}.matchPolicy", webhook.get("matchPolicy"), ["Equivalent", "Exact"]))
    effects, timeout = webhook.get("sideEffects"), webhook.get("timeoutSeconds")
    if effects is None:
        found.append(errors.required(f"{path}.sideEffects", f"must specify one of {', '.join(_QUIET)}"))
    else:
        found.extend(checks.supported(f"{path}.sideEffects", effects, _QUIET))
    if timeout is not None and not 1 <= timeout <= 30:
        text = "the timeout value must be between 1 and 30 seconds"
        found.append(errors.invalid_value(f"{path}.timeoutSeconds", timeout, text))
    for name in ("namespaceSelector", "objectSelector"):
        found.extend(selector.validate(webhook.get(name), f"{path}.{name}"))
    if (policy := webhook.get("reinvocationPolicy")) is not None:
        found.extend(checks.supported(f"{path}.reinvocationPolicy", policy, ["IfNeeded", "Never"]))
    found.extend(_client(f"{path}.clientConfig", webhook.get("clientConfig") or {}))
    conditions, seen = webhook.get("matchConditions"), expressions.seen_by({}, minor)
    found.extend(expressions.validate_match_conditions(f"{path}.matchConditions", conditions, seen))
    return found


def _review_versions(path: str, versions: list[str]) -> list[FieldError]:
    listed = ", ".join(_REVIEW_VERSIONS)
    if not versions:
        return [errors.required(path, f"must specify one of {listed}")]
    found, repeated = [], set(checks.repeated(versions))
    for index, version in enumerate(versions):
        if index in repeated:
            found.append(errors.invalid_value(f"{path}[{index}]", version, "duplicate version"))
        else:
            found.extend(checks.complaints(f"{path}[{index}]", version, names.label_1035(version)))
    if not set(versions) & set(_REVIEW_VERSIONS):
        found.append(errors.invalid_value(path, versions, f"must include at least one of {listed}"))
    return found


def _client(path: str, client: Object) -> list[FieldError]:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        return [errors.required(path, "exactly one of url or service is required")]
    if service is None:
        return validate_url(f"{path}.url", url or "")
    return validate_service(f"{path}.service", service)


def validate_url(path: str, url: str) -> list[FieldError]:
    """The address of a webhook outside the cluster."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return [errors.required(path, f'url must be a valid URL: parse "{url}": {error}{FORM}')]
    host = parts.netloc.rpartition("@")[2]
    found = []
    if parts.scheme != "https":
        found.append(errors.invalid_value(path, parts.scheme, f"'https' is the only allowed URL scheme{FORM}"))
    if not host:
        found.append(errors.invalid_value(path, host, f"host must be specified{FORM}"))
    if "@" in parts.netloc:
        user = parts.netloc.rpartition("@")[0]
        found.append(errors.invalid_value(path, user, "user information is not permitted in the URL"))
    if parts.fragment:
        found.append(errors.invalid_value(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        found.append(errors.invalid_value(path, parts.query, "query parameters are not permitted in the URL"))
    return found


def validate_service(path: str, service: Object) -> list[FieldError]:
    """The address of a webhook inside the cluster."""
    # Upstream passes name and namespace in the wrong order: each is reported as the other.
    found = []
    if not service.get("namespace"):
        found.append(errors.required(f"{path}.name"))
    if not service.get("name"):
        found.append(errors.required(f"{path}.namespace"))
    port = service.get("port", 443)
    if texts := names.port(port):
        found.append(errors.invalid_value(f"{path}.port", port, f"port is not valid: {', '.join(texts)}"))
    found.extend(_service_path(f"{path}.path", checks.text(service.get("path"))))
    return found


def _service_path(path: str, value: str) -> list[FieldError]:
    if value in ("", "/"):
        return []
    if value == "//":
        return [errors.invalid_value(path, value, "segment[0] may not be empty")]
    found = []
    if not value.startswith("/"):
        found.append(errors.invalid_value(path, value, "must start with a '/'"))
    for index, step in enumerate(value[1:].removesuffix("/").split("/")):
        if not step:
            found.append(errors.invalid_value(path, value, f"segment[{index}] may not be empty"))
            continue
        texts = (f"segment[{index}]: {text}" for text in names.subdomain(step))
        found.extend(checks.complaints(path, value, texts))
    return found


def cells(configuration: Object, now: float) -> list[Any]:
    count = len(configuration.get("webhooks") or ())
    return [configuration["metadata"]["name"], count, table.age(configuration, now)]
