"""Annotations that once were fields: seccomp, AppArmor, tolerations, mirror pods, deletion cost.

Where a field has taken over, annotation and field must say the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, forbidden_field, invalid_value
from kloster.kinds.podspec import paths
from kloster.kinds.podspec.security import containers

MIRROR = "kubernetes.io/config.mirror"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"

_is_integer = re.compile(r"0|-?[1-9][0-9]{0,9}").fullmatch


def validate_annotations(annotations: Mapping[str, str] | None, spec: Object, path: str) -> Iterable[FieldError]:
    annotations = annotations or {}
    if MIRROR in annotations and not spec.get("nodeName"):
        text = "must set spec.nodeName if mirror pod annotation is set"
        yield invalid_value(f"{path}[{MIRROR}]", annotations[MIRROR], text)
    cost = annotations.get(DELETION_COST)
    if cost is not None and not (_is_integer(cost) and -(2**31) <= int(cost) < 2**31):
        yield invalid_value(f"{path}[{DELETION_COST}]", cost, "must be a 32bit integer")
    for key, value in annotations.items():
        if key == SECCOMP_POD or key.startswith(SECCOMP_CONTAINER):
            yield from _validate_seccomp(value, f"{path}.{key}")
    known = {container.get("name") for container, _ in containers(spec, "")}
    for key, value in annotations.items():
        if key.startswith(APP_ARMOR):
            name = key.removeprefix(APP_ARMOR)
            if name not in known:
                yield invalid_value(f"{path}[{key}]", name, "container not found")
            if value not in ("", "runtime/default", "unconfined") and not value.startswith("localhost/"):
                yield invalid_value(f"{path}[{key}]", value, f'invalid AppArmor profile name: "{value}"')


def _validate_seccomp(value: str, path: str) -> Iterable[FieldError]:
    if value in ("runtime/default", "docker/default", "unconfined"):
        return
    if value.startswith("localhost/"):
        yield from paths.validate_descending(value.removeprefix("localhost/"), path)
    else:
        yield invalid_value(path, value, "must be a valid seccomp profile")


def validate_match(annotations: Mapping[str, str] | None, spec: Object, path: str) -> Iterable[FieldError]:
    """Annotations and the fields that took their place agree."""
    annotations = annotations or {}
    context = spec.get("securityContext") or {}
    yield from _match(annotations.get(SECCOMP_POD), context.get("seccompProfile"), "seccomp", path)
    for container, at in containers(spec, path):
        own = container.get("securityContext") or {}
        value = annotations.get(f"{SECCOMP_CONTAINER}{container.get('name', '')}")
        yield from _match(value, own.get("seccompProfile"), "seccomp", at)
    if (spec.get("os") or {}).get("name") == "windows":
        return
    for container, at in containers(spec, path):
        own = container.get("securityContext") or {}
        value = annotations.get(f"{APP_ARMOR}{container.get('name', '')}")
        yield from _match(value, own.get("appArmorProfile") or context.get("appArmorProfile"), "apparmor", at)


_VALUES = {"Unconfined": ("unconfined",), "RuntimeDefault": ("runtime/default", "docker/default")}


def _match(value: str | None, profile: Object | None, word: str, path: str) -> Iterable[FieldError]:
    if value is None or profile is None:
        return
    at = f"{path}.securityContext.{'seccompProfile' if word == 'seccomp' else 'appArmorProfile'}"
    kind = profile.get("type")
    if kind == "Localhost":
        if not value.startswith("localhost/"):
            yield forbidden_field(f"{at}.type", f"{word} type in annotation and field must match")
        elif value.removeprefix("localhost/") != profile.get("localhostProfile"):
            yield forbidden_field(f"{at}.localhostProfile", f"{word} profile in annotation and field must match")
    elif kind in _VALUES and value not in _VALUES[kind]:
        yield forbidden_field(f"{at}.type", f"{word} type in annotation and field must match")


def validate_changes(new: Mapping[str, str] | None, old: Mapping[str, str] | None, path: str) -> Iterable[FieldError]:
    """What an update of a pod must not touch."""
    new, old = new or {}, old or {}
    for key, value in old.items():
        if new.get(key) == value:
            continue
        if key.startswith(APP_ARMOR):
            yield forbidden_field(f"{path}[{key}]", "may not remove or update AppArmor annotations")
        if key == MIRROR:
            yield forbidden_field(f"{path}[{key}]", "may not remove or update mirror pod annotation")
    for key in new:
        if key in old:
            continue
        if key.startswith(APP_ARMOR):
            yield forbidden_field(f"{path}[{key}]", "may not add AppArmor annotations")
        if key == MIRROR:
            yield forbidden_field(f"{path}[{key}]", "may not add mirror pod annotation")
