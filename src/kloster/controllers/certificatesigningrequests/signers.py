"""What the signers of kubernetes.io sign: who a certificate may name, and what it may be used for.

Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
KNOWN = frozenset({CLIENT, KUBELET_CLIENT, KUBELET_SERVING})

_NODE = "system:node:"
_OPTIONAL = "key encipherment"


def problem(signer: str, request: x509.CertificateSigningRequest, usages: Sequence[str]) -> str:
    """Why the signer does not sign the request; empty: it does."""
    if signer == CLIENT:
        return _client(usages)
    return _kubelet(request, usages, serving=signer == KUBELET_SERVING)


def common_name(request: x509.CertificateSigningRequest) -> str:
    found = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[-1].value) if found else ""


def _client(usages: Iterable[str]) -> str:
    for usage in usages:
        if usage not in ("digital signature", _OPTIONAL, "client auth"):
            return f"invalid usage for client certificate: {usage}"
    return "" if "client auth" in usages else "missing required usage for client certificate: client auth"


def _kubelet(request: x509.CertificateSigningRequest, usages: Sequence[str], *, serving: bool) -> str:
    organizations = [one.value for one in request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if organizations != ["system:nodes"]:
        return "subject organization is not system:nodes"
    found = _named(request, serving=serving)
    if found:
        return found
    purpose = "server auth" if serving else "client auth"
    required = {"digital signature", _OPTIONAL, purpose}
    fits = set(usages) in (required, required - {_OPTIONAL})
    unfit = f"usages did not match [{' '.join(sorted(required))}]"
    unnamed = "" if common_name(request).startswith(_NODE) else f"subject common name does not begin with {_NODE}"
    if serving:
        return unfit if not fits else unnamed
    return unnamed or ("" if fits else unfit)


def _named(request: x509.CertificateSigningRequest, *, serving: bool) -> str:
    """What is wrong with the alternative names: a server has some by which it is reached, a client has none."""
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    by_kind = {
        "DNS": names.get_values_for_type(x509.DNSName),
        "Email": names.get_values_for_type(x509.RFC822Name),
        "IP": names.get_values_for_type(x509.IPAddress),
        "URI": names.get_values_for_type(x509.UniformResourceIdentifier),
    }
    if serving and not by_kind["DNS"] and not by_kind["IP"]:
        return "DNS or IP subjectAltName is required"
    allowed = ("DNS", "IP") if serving else ()
    for kind, values in by_kind.items():
        if values and kind not in allowed:
            return f"{kind} subjectAltNames are not allowed"
    return ""
