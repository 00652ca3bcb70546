"""What role bindings share: subjects, the reference to a role, defaults and table cells.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

from functools import partial
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, metadata, names
from kloster.kinds.strategy import Strategy

GROUP = "rbac.authorization.k8s.io"


def _default(binding: Object) -> None:
    defaulting.empty(defaulting.struct(binding, "roleRef"), apiGroup=GROUP)
    for subject in binding.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            defaulting.empty(subject, apiGroup=GROUP)


def _validate(binding: Object, roles: tuple[str, ...], namespaced: bool) -> list[FieldError]:
    """`roles` are the kinds that may be referred to."""
    ref = binding.get("roleRef") or {}
    found = checks.supported("roleRef.apiGroup", checks.text(ref.get("apiGroup")), [GROUP])
    found.extend(checks.supported("roleRef.kind", checks.text(ref.get("kind")), roles))
    if name := checks.text(ref.get("name")):
        found.extend(checks.complaints("roleRef.name", name, names.path_segment(name)))
    else:
        found.append(errors.required("roleRef.name"))
    for index, subject in enumerate(binding.get("subjects") or ()):
        found.extend(_subject(subject, namespaced, f"subjects[{index}]"))
    return found


def _subject(subject: Object, namespaced: bool, path: str) -> list[FieldError]:
    name, kind, group = (checks.text(subject.get(key)) for key in ("name", "kind", "apiGroup"))
    found = [] if name else [errors.required(f"{path}.name")]
    if kind == "ServiceAccount":
        if name:
            found.extend(checks.complaints(f"{path}.name", name, names.subdomain(name)))
        if group:
            found.append(errors.not_supported(f"{path}.apiGroup", group, [""]))
        if not namespaced and not subject.get("namespace"):
            found.append(errors.required(f"{path}.namespace"))
    elif kind in ("User", "Group"):
        found.extend(checks.supported(f"{path}.apiGroup", group, [GROUP]))
    else:
        found.append(errors.not_supported(f"{path}.kind", kind, ["ServiceAccount", "User", "Group"]))
    return found


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    if metadata.same(new.get("roleRef"), old.get("roleRef")):
        return []
    ref = new.get("roleRef") or {}
    shown = {"APIGroup": ref.get("apiGroup"), "Kind": ref.get("kind"), "Name": ref.get("name")}
    return [errors.invalid_value("roleRef", shown, "cannot change roleRef")]


def _cells(binding: Object, now: float) -> list[Any]:
    ref = binding.get("roleRef") or {}
    role = f"{checks.text(ref.get('kind'))}/{checks.text(ref.get('name'))}"
    subjects: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in binding.get("subjects") or ():
        name = checks.text(subject.get("name"))
        if subject.get("kind") == "ServiceAccount":
            name = f"{checks.text(subject.get('namespace'))}/{name}"
        if (listed := subjects.get(checks.text(subject.get("kind")))) is not None:
            listed.append(name)
    return [
        binding["metadata"]["name"],
        role,
        table.age(binding, now),
        *(", ".join(each) for each in subjects.values()),
    ]


def strategy(roles: tuple[str, ...], *, namespaced: bool) -> Strategy:
    """The strategy of bindings that may refer to `roles`. An update is checked as a whole again, as upstream's."""
    validate = partial(_validate, roles=roles, namespaced=namespaced)
    return Strategy(
        default=_default,
        validate=validate,
        validate_update=lambda new, old: [*validate(new), *_validate_update(new, old)],
        name="path",
        create_on_update=True,
        cells=_cells,
    )
