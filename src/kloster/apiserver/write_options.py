"""The parameters of create, update and patch, checked as upstream checks them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError, forbidden_field, not_supported, required
from kloster.apiserver.call import Call
from kloster.kinds import metadata

_VALIDATION = ("", "Ignore", "Strict", "Warn")
_MANAGER_LIMIT = 128


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """The parameters of a write. `validation` is Ignore, Warn or Strict; `manager` and `given` (the validation) as they
    were given."""

    dry_run: bool = False
    manager: str = ""
    validation: str = "Warn"
    force: bool = False
    given: str = ""

    def told(self, operation: str) -> Object:
        """The options as admission webhooks are told them: CreateOptions or UpdateOptions."""
        return {
            "kind": "CreateOptions" if operation == "CREATE" else "UpdateOptions",
            "apiVersion": "meta.k8s.io/v1",
            **({"dryRun": ["All"]} if self.dry_run else {}),
            **({"fieldManager": self.manager} if self.manager else {}),
            **({"fieldValidation": self.given} if self.given else {}),
        }


def parse(call: Call, kind: str, apply_patch: bool = False) -> WriteOptions:
    """Reads and checks the parameters. `kind` is CreateOptions, UpdateOptions or PatchOptions. Raises 422."""
    query = call.request.query
    if not query and not apply_patch:
        return _PLAIN
    dry_run = [value for key, value in query if key == "dryRun"]
    manager = call.request.param("fieldManager")
    validation = call.request.param("fieldValidation")
    force = any(key == "force" for key, _ in query)
    found: list[FieldError] = []
    if kind == "PatchOptions":
        if apply_patch and not manager:
            found.append(required("fieldManager", "is required for apply patch"))
        if force and not apply_patch:
            found.append(forbidden_field("force", "may not be specified for non-apply patch"))
    found.extend(metadata.validate_field_manager(manager, "fieldManager"))
    found.extend(check_dry_run(dry_run))
    if validation not in _VALIDATION:
        found.append(not_supported("fieldValidation", validation, _VALIDATION))
    if found:
        raise errors.invalid("meta.k8s.io", kind, "", found)
    return WriteOptions(bool(dry_run), manager, validation or "Warn", call.flag("force"), validation)


_PLAIN = WriteOptions()


def check_dry_run(values: Sequence[str]) -> Iterable[FieldError]:
    if any(value != "All" for value in values):
        yield not_supported("dryRun", list(values), ("All",))


def manager_of(call: Call, options: WriteOptions) -> str:
    """The field manager: as given, otherwise the first part of the user agent."""
    if options.manager:
        return options.manager
    agent = call.request.headers.get("user-agent", "").partition("/")[0]
    if not agent.isprintable():
        agent = "".join(char for char in agent if char.isprintable())
    return agent[:_MANAGER_LIMIT]
