"""kube-apiserver's flags, parsed once into what an API server here is made of.

Three ways with a flag that upstream has: it is honoured; it is accepted with a warning, where leaving its effect out
only means less (tracing); it is refused, where leaving it out would change who gets in (`_REFUSED`). A flag
that upstream lacks is unknown. Error texts are upstream's.
"""

from __future__ import annotations

import csv
import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kloster.apiserver import pki
from kloster.apiserver.audit.log import STANDARD_OUTPUT
from kloster.apiserver.audit.policy import Policy, PolicyError
from kloster.apiserver.audit.policy import parse as parse_policy
from kloster.client.transport import User
from kloster.envtest import flags
from kloster.envtest.flags import FlagError

MODES = ("AlwaysAllow", "AlwaysDeny", "ABAC", "Webhook", "RBAC", "Node")
PLUGINS = flags.words(
    """
    AlwaysAdmit AlwaysDeny AlwaysPullImages CertificateApproval CertificateSigning CertificateSubjectRestriction
    ClusterTrustBundleAttest DefaultIngressClass DefaultStorageClass DefaultTolerationSeconds DenyServiceExternalIPs
    EventRateLimit ExtendedResourceToleration ImagePolicyWebhook LimitPodHardAntiAffinityTopology LimitRanger
    MutatingAdmissionPolicy MutatingAdmissionWebhook NamespaceAutoProvision NamespaceExists NamespaceLifecycle
    NodeDeclaredFeatureValidator NodeRestriction OwnerReferencesPermissionEnforcement PersistentVolumeClaimResize
    PodNodeSelector PodSecurity PodTolerationRestriction PodTopologyLabels Priority ResourceQuota RuntimeClass
    ServiceAccount StorageObjectInUseProtection TaintNodesByCondition ValidatingAdmissionPolicy
    ValidatingAdmissionWebhook
    """
)
_REFUSED = {
    "authentication-config": "it would change who is let in",
    "authentication-token-webhook-config-file": "it would change who is let in",
    "oidc-issuer-url": "it would change who is let in",
    "authorization-config": "it would change who may do what",
    "authorization-policy-file": "it would change who may do what",
    "authorization-webhook-config-file": "it would change who may do what",
    "service-account-signing-endpoint": "tokens are signed with --service-account-signing-key-file",
    "tls-sni-cert-key": "one serving certificate is supported",
    "admission-control": "use --enable-admission-plugins and --disable-admission-plugins",
    "encryption-provider-config": "state is kept in memory, unencrypted",
}
_IGNORED = flags.words(
    """
    admission-control-config-file audit-log-compress audit-log-maxage audit-webhook-config-file cors-allowed-origins
    egress-selector-config-file emulated-version enable-bootstrap-token-auth feature-gates proxy-client-cert-file
    requestheader-client-ca-file runtime-config strict-transport-security-directives tracing-config-file
    service-account-max-token-expiration
    """
)
"""Flags whose effect is missing: whoever sets one is told."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


@dataclass(frozen=True, slots=True)
class Audit:
    """An audit log. `path` is None for standard output; the rest as `audit.log.AuditLog`'s."""

    policy: Policy
    path: Path | None
    size: int
    backups: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What one kube-apiserver is told.

    advertise     the address that the cluster is told
    serving       (certificate chain, private key), PEM
    client_ca     PEM; empty: no client certificates
    static        bearer token → user (--token-auth-file)
    signing_key   PEM of the key that signs service-account tokens; `verifying`: further keys that verify them
    modes         authorization modes, in order
    plugins_off   admission plugins that do not run
    controllers   as kube-controller-manager's --controllers; empty: none
    audit         what the audit log holds; None: there is none
    """

    bind: str
    port: int
    serving: tuple[bytes, bytes]
    client_ca: str
    static: dict[str, User]
    anonymous: bool
    issuers: tuple[str, ...]
    audiences: tuple[str, ...]
    signing_key: bytes
    verifying: tuple[pki.TokenPublicKey, ...]
    modes: tuple[str, ...]
    plugins_off: frozenset[str]
    service_cidr: str
    node_ports: tuple[int, int]
    event_ttl: float
    external_address: str
    advertise: str
    controllers: tuple[str, ...] = ()
    audit: Audit | None = None
    warnings: tuple[str, ...] = field(default=(), compare=False)


class OptionsError(Exception):
    """The flags do not make an API server. The text is what kube-apiserver would say as its last line."""


def parse(arguments: Sequence[str], directory: Path, now: float) -> Options:
    """From a command line that is relative to `directory`. Reads files, and makes a serving certificate if there is
    none. Raises FlagError, OptionsError."""
    given = flags.kube_apiserver(arguments)
    return _Reader(given, directory, now).options()


class _Reader:
    """Reads one command line; what is only worth a warning is gathered on the way."""

    def __init__(self, given: dict[str, list[str]], directory: Path, now: float) -> None:
        self._given = given
        self._directory = directory
        self._now = now
        self._warnings: list[str] = []

    def options(self) -> Options:
        for name, reason in _REFUSED.items():
            if self._text(name):
                raise OptionsError(f"--{name} is not supported by Kloster: {reason}")
        self._warnings += [f"--{name} has no effect in Kloster" for name in sorted(_IGNORED & self._given.keys())]
        self._complain()
        modes = self._modes()
        bind = self._bind()
        advertise = self._text("advertise-address") or _advertised(bind)
        port = self._port()
        return Options(
            bind=bind,
            port=port,
            serving=self._serving(bind),
            client_ca=self._read("client-ca-file").decode(),
            static=self._static(),
            anonymous=self._text("anonymous-auth", "true") == "true" and "AlwaysAllow" not in modes,
            issuers=tuple(self._given["service-account-issuer"]),
            audiences=tuple(self._list("api-audiences")),
            signing_key=self._signing_key(),
            verifying=tuple(self._verifying()),
            modes=modes,
            plugins_off=self._plugins_off(),
            service_cidr=self._service_cidr(),
            node_ports=self._node_ports(),
            event_ttl=self._duration("event-ttl", 3600.0),
            external_address=f"{self._text('external-hostname') or advertise}:{port}",
            advertise=advertise,
            controllers=self._controllers(),
            audit=self._audit(),
            warnings=tuple(self._warnings),
        )

    def _complain(self) -> None:
        """What kube-apiserver demands; all complaints at once, as upstream tells them."""
        found = []
        if not self._list("etcd-servers"):
            found.append("--etcd-servers must be specified")
        if not self._given.get("service-account-issuer"):
            found.append("service-account-issuer is a required flag")
        if not self._given.get("service-account-key-file") and not self._text("service-account-signing-key-file"):
            found.append(
                "either `--service-account-key-file` or `--service-account-signing-endpoint` must be set, "
                "--service-account-signing-key-file and --service-account-issuer are required flags"
            )
        elif not self._text("service-account-signing-key-file"):
            found.append("--service-account-signing-key-file and --service-account-issuer are required flags")
        found += [
            f'authorization-mode "{mode}" is not a valid mode'
            for mode in self._list("authorization-mode")
            if mode not in MODES
        ]
        if found:
            raise OptionsError(found[0] if len(found) == 1 else f"[{', '.join(found)}]")

    # -- single values ------------------------------------------------------------------------------------------------

    def _text(self, name: str, default: str = "") -> str:
        return self._given.get(name, [default])[-1]

    def _list(self, name: str) -> list[str]:
        """A flag that may be repeated and whose values may be separated by commas."""
        return [one for value in self._given.get(name, ()) for one in value.split(",") if one]

    def _path(self, text: str) -> Path:
        return self._directory / text

    def _read(self, name: str) -> bytes:
        text = self._text(name)
        return _content(self._path(text), name) if text else b""

    def _duration(self, name: str, default: float) -> float:
        text = self._text(name)
        if not text:
            return default
        parts = _DURATION.findall(text)
        if "".join(number + unit for number, unit in parts) != text:
            raise FlagError(f'invalid argument "{text}" for "--{name}" flag: time: invalid duration "{text}"')
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)

    # -- the parts ----------------------------------------------------------------------------------------------------

    def _port(self) -> int:
        text = self._text("secure-port", "6443")
        if not (text.isascii() and text.isdigit()):
            detail = f'strconv.ParseInt: parsing "{text}": invalid syntax'
            raise FlagError(f'invalid argument "{text}" for "--secure-port" flag: {detail}')
        if not 1 <= int(text) <= 65535:
            detail = "must be a valid port number between 1 and 65535, inclusive. It cannot be turned off with 0"
            raise OptionsError(f"--secure-port {text} {detail}")
        return int(text)

    def _bind(self) -> str:
        text = self._text("bind-address", "0.0.0.0")
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            detail = f"failed to parse IP: {text!r}".replace("'", '"')
            raise FlagError(f'invalid argument "{text}" for "--bind-address" flag: {detail}') from None

    def _modes(self) -> tuple[str, ...]:
        modes = tuple(self._list("authorization-mode")) or ("AlwaysAllow",)
        for mode in ("ABAC", "Webhook"):
            if mode in modes:
                raise OptionsError(f"--authorization-mode={mode} is not supported by Kloster")
        if "Node" in modes:
            self._warnings.append("--authorization-mode=Node allows nothing in Kloster: there are no kubelets")
        return modes

    def _plugins_off(self) -> frozenset[str]:
        off, on = self._list("disable-admission-plugins"), self._list("enable-admission-plugins")
        for flag, names in (("enable", on), ("disable", off)):
            unknown = [name for name in names if name not in PLUGINS]
            if unknown:
                raise OptionsError(f'{flag}-admission-plugins plugin "{unknown[0]}" is unknown')
        both = sorted(set(on) & set(off))
        if both:
            listed = ", ".join(both)
            raise OptionsError(f"[{listed}] in enable-admission-plugins and disable-admission-plugins overlapped")
        return frozenset(off)

    def _controllers(self) -> tuple[str, ...]:
        return tuple(self._list("kloster-controllers"))

    def _audit(self) -> Audit | None:
        file, path = self._text("audit-policy-file"), self._text("audit-log-path")
        sizes = [self._whole(f"audit-log-{one}") for one in ("maxsize", "maxbackup")]
        if not file:
            return None
        try:
            policy = parse_policy(self._path(file).read_bytes())
        except OSError as error:
            text = f'failed to read file path "{file}": open {file}: {(error.strerror or str(error)).lower()}'
            raise OptionsError(f"loading audit policy file: {text}") from error
        except PolicyError as error:
            raise OptionsError(f"loading audit policy file: {error}: from file {file}") from error
        self._warnings += [f"Audit policy contains errors: {one}" for one in policy.warnings]
        if not path:
            return None
        return Audit(policy, None if path == STANDARD_OUTPUT else self._path(path), sizes[0] << 20, sizes[1])

    def _whole(self, name: str) -> int:
        """A number that counts something."""
        text = self._text(name, "0")
        if not (text.isascii() and text.isdigit()):
            detail = f'strconv.ParseInt: parsing "{text}": invalid syntax'
            raise FlagError(f'invalid argument "{text}" for "--{name}" flag: {detail}')
        return int(text)

    def _service_cidr(self) -> str:
        ranges = self._list("service-cluster-ip-range") or ["10.0.0.0/24"]
        if len(ranges) > 1:
            self._warnings.append(f"--service-cluster-ip-range: services are given addresses of {ranges[0]} alone")
        try:
            return str(ipaddress.ip_network(ranges[0], strict=False))
        except ValueError:
            raise OptionsError("service-cluster-ip-range is not a valid cidr") from None

    def _node_ports(self) -> tuple[int, int]:
        text = self._text("service-node-port-range", "30000-32767")
        found = re.fullmatch(r"(\d+)[-+](\d+)", text)
        if found is None or int(found[1]) > 65535:
            detail = "expected hyphen notation: portrange[min-max]"
            raise FlagError(f'invalid argument "{text}" for "--service-node-port-range" flag: {detail}')
        first, second = int(found[1]), int(found[2])
        return first, first + second if "+" in text else second

    def _serving(self, bind: str) -> tuple[bytes, bytes]:
        if self._text("tls-cert-file"):
            return self._read("tls-cert-file"), self._read("tls-private-key-file")
        folder = self._path(self._text("cert-dir", "/var/run/kubernetes"))
        certificate, key = folder / "apiserver.crt", folder / "apiserver.key"
        if not (certificate.exists() and key.exists()):
            names = dict.fromkeys((socket.gethostname(), "localhost", "127.0.0.1", bind, "kubernetes.default.svc"))
            pair = pki.Authority.create("kloster", self._now).serving(tuple(names), self._now)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                certificate.write_bytes(pair.certificate)
                key.touch(mode=0o600)
                key.write_bytes(pair.key)
            except OSError as error:
                raise OptionsError(f"error creating self-signed certificates: {error}") from error
            self._warnings.append(f"Generated self-signed cert ({certificate}, {key})")
        return _content(certificate, "cert-dir"), _content(key, "cert-dir")

    def _signing_key(self) -> bytes:
        name = "service-account-signing-key-file"
        try:
            pem = self._path(self._text(name)).read_bytes()
        except OSError as error:
            raise OptionsError(f"failed to parse service-account-issuer-key-file: {_told(error, name)}") from error
        try:
            pki.TokenKey.load(pem)
        except ValueError as error:
            raise OptionsError(f"failed to parse service-account-issuer-key-file: {error}") from error
        return pem

    def _verifying(self) -> list[pki.TokenPublicKey]:
        """Keys may be private, public or in a certificate, several in a file."""
        found: list[pki.TokenPublicKey] = []
        for text in self._given.get("service-account-key-file", ()):
            found += public_keys(_content(self._path(text), "service-account-key-file"))
        return found

    def _static(self) -> dict[str, User]:
        """--token-auth-file: lines of token,user,uid,"group1,group2"."""
        lines = csv.reader(self._read("token-auth-file").decode().splitlines())
        found = {}
        for line in lines:
            if len(line) < 3:
                raise OptionsError(
                    f"token file must have at least 3 columns (token, user name, user uid), found {len(line)}"
                )
            groups = tuple(one.strip() for one in line[3].split(",")) if len(line) > 3 and line[3] else ()
            found[line[0]] = User(line[1], line[2], groups)
        return found


def public_keys(pem: bytes) -> list[pki.TokenPublicKey]:
    """All public keys in `pem`. Raises OptionsError if there is none."""
    found: list[pki.TokenPublicKey] = []
    key: object
    for block in re.findall(rb"-----BEGIN [^-]+-----.*?-----END [^-]+-----", pem, re.DOTALL):
        try:
            if b"CERTIFICATE" in block[:40]:
                key = x509.load_pem_x509_certificate(block).public_key()
            elif b"PRIVATE" in block[:40]:
                private = serialization.load_pem_private_key(block, password=None)
                assert isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
                key = private.public_key()
            else:
                key = serialization.load_pem_public_key(block)
        except (ValueError, AssertionError):
            continue
        if isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            found.append(key)
    if not found:
        raise OptionsError("data does not contain any valid RSA or ECDSA public keys")
    return found


def _advertised(bind: str) -> str:
    """Upstream tells the address that it is bound to, or this machine's own where that is of no use to others."""
    address = ipaddress.ip_address(bind)
    if not (address.is_loopback or address.is_unspecified):
        return bind
    family, somewhere = (socket.AF_INET, "192.0.2.1") if address.version == 4 else (socket.AF_INET6, "2001:db8::1")
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((somewhere, 9))  # sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            return bind if address.is_loopback else "127.0.0.1"


def _content(path: Path, flag: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OptionsError(f"--{flag}: {_told(error, str(path))}") from error


def _told(error: OSError, name: str) -> str:
    return f"open {error.filename or name}: {(error.strerror or str(error)).lower()}"
