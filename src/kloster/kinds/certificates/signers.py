"""Names of certificate signers: ``example.com/name``.

Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#signers
"""

from __future__ import annotations

from kloster.apimachinery import errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, names

_LONGEST_PATH = 253 + 63 + 1


def validate(path: str, name: str) -> list[FieldError]:
    if not name:
        return [errors.required(path)]
    domain, slash, rest = name.partition("/")
    if not slash or "/" in rest:
        text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [errors.invalid_value(path, name, text)]
    found = [errors.too_long(path, 253)] if len(domain.encode()) > 253 else []
    found.extend(_parts(path, domain, names.label))
    if "." not in domain:
        text = "should be a domain with at least two segments separated by dots"
        found.append(errors.invalid_value(path, domain, text))
    found.extend(_parts(path, rest, names.subdomain))
    if len(rest.encode()) > _LONGEST_PATH:
        found.append(errors.too_long(path, _LONGEST_PATH))
    return found


def _parts(path: str, value: str, check: names.Check) -> list[FieldError]:
    """Only the first wrong part is reported."""
    for part in value.split("."):
        if texts := check(part):
            return checks.complaints(path, value, (f'validating label "{part}": {text}' for text in texts))
    return []
