"""Certificate signing requests: who asked, when it was decided, and who may decide and sign for a signer.

CertificateApproval, CertificateSigning and CertificateSubjectRestriction of upstream, and what its strategy does with
the identity and the time that belong to the request.

Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#authorization
"""

from __future__ import annotations

import base64

from cryptography import x509
from cryptography.x509.oid import NameOID

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object, errors
from kloster.apiserver.admission.api import CREATE, UPDATE, Attempt, Plugin
from kloster.apiserver.ports import Target
from kloster.kinds.certificates import certificatesigningrequests as requests
from kloster.kinds.certificates import pem
from kloster.kinds.metadata import same

_REQUESTS = "certificates.k8s.io/certificatesigningrequests"
_GROUP, _PLURAL = "certificates.k8s.io", "certificatesigningrequests"
_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"
_MASTERS = "system:masters"


def _stamp(attempt: Attempt) -> None:
    requests.stamp_conditions(attempt.item, attempt.old or {}, rfc3339(attempt.cluster.clock.now()))


def _authorized(attempt: Attempt) -> None:
    """Approving and signing need a verb on the signer beside the update of the subresource."""
    old = attempt.old or {}
    if attempt.subresource == "status":
        changed = not same(_certificate(attempt.item), _certificate(old))
        verb = "sign" if changed else ""
    else:
        verb = "approve"
    if not verb:
        return
    signer = (old.get("spec") or {}).get("signerName", "")
    domain = signer.partition("/")[0]
    for name in (signer, f"{domain}/*"):
        target = Target(verb, "", True, _GROUP, "*", "signers", "", "", name)
        if attempt.cluster.authorizer.authorize(attempt.user, target).allowed:
            return
    action = {"sign": "sign", "approve": "approve"}[verb]
    text = f'user not permitted to {action} requests with signerName "{signer}"'
    raise errors.forbidden(_GROUP, _PLURAL, attempt.name, text)


def _certificate(request: Object) -> object:
    return (request.get("status") or {}).get("certificate")


def _restricted(attempt: Attempt) -> None:
    """Nobody is made a cluster administrator by certificate."""
    spec = attempt.item.get("spec") or {}
    if spec.get("signerName") != _CLIENT_SIGNER:
        return
    for block in pem.blocks(base64.b64decode(spec.get("request") or "")):
        try:
            found = x509.load_der_x509_csr(block.data)
        except ValueError:
            continue
        names = [attribute.value for attribute in found.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        if _MASTERS in names:
            text = f"use of {_CLIENT_SIGNER} signer with {_MASTERS} group is not allowed"
            raise errors.forbidden(_GROUP, _PLURAL, attempt.name, text)


def _requester(attempt: Attempt) -> None:
    user = attempt.user
    requests.set_requester(attempt.item, user.name, user.uid, user.groups, user.extra)


REQUEST = Plugin(
    name="CertificateSubjectRestriction",
    operations=frozenset({CREATE}),
    resources=frozenset({_REQUESTS}),
    validate=_restricted,
    allocate=_requester,
)
DECISION = Plugin(
    name="CertificateApproval",
    operations=frozenset({UPDATE}),
    resources=frozenset({_REQUESTS}),
    subresources=frozenset({"approval", "status"}),
    mutate=_stamp,
    validate=_authorized,
)
