"""ClusterTrustBundles: sets of trust anchors (v1 since 1.37)."""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, lifecycle, metadata, names
from kloster.kinds.certificates import pem, signers
from kloster.kinds.strategy import Strategy

_PATH = "spec.trustBundle"
_LARGEST = 1024 * 1024


def _signer(bundle: Object) -> str:
    return checks.text((bundle.get("spec") or {}).get("signerName"))


def _validate(bundle: Object) -> list[FieldError]:
    found = _name(checks.text(bundle["metadata"].get("name")), _signer(bundle))
    if signer := _signer(bundle):
        found.extend(signers.validate("spec.signerName", signer))
    # An update that leaves the anchors alone is not checked again (_validate_update).
    return [*found, *_anchors(bundle)] if lifecycle.is_new(bundle) else found


def _name(name: str, signer: str) -> list[FieldError]:
    """The bundle of a signer carries the signer in its name, ``example.com:signer:name``."""
    prefix = f"{signer.replace('/', ':')}:" if signer else ""
    if not signer and ":" in name:
        texts = ['ClusterTrustBundle without signer name must not have ":" in its name']
    elif not name.startswith(prefix):
        texts = [f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"]
    else:
        texts = names.subdomain(name.removeprefix(prefix))
    return checks.complaints("metadata.name", name, texts)


def _anchors(bundle: Object) -> list[FieldError]:
    text = _text(bundle).encode()
    if len(text) > _LARGEST:
        return [errors.too_long(_PATH, _LARGEST)]
    return checks.complaints(_PATH, "<value omitted>", pem.anchors_problems(text))


def _text(bundle: Object) -> str:
    return checks.text((bundle.get("spec") or {}).get("trustBundle"))


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    found = [] if _text(new) == _text(old) else _anchors(new)
    return [*found, *metadata.immutable(_signer(new), _signer(old), "spec.signerName")]


def _cells(bundle: Object, _now: float) -> list[Any]:
    return [bundle["metadata"]["name"], _signer(bundle) or "<none>"]


STRATEGY = Strategy(
    validate=_validate,
    validate_update=_validate_update,
    name="any",
    unconditional_update=False,
    cells=_cells,
    fields={"spec.signerName": _signer},
)
