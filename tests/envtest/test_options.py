"""From flags to an API server: values, defaults, refusals."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.envtest.plane import Envtest

from kloster.apiserver import pki
from kloster.client.transport import User
from kloster.envtest import options
from kloster.envtest.flags import FlagError
from kloster.envtest.options import OptionsError

NOW = 1_700_000_000.0


@pytest.fixture
def made(tmp_path: Path) -> Envtest:
    return Envtest(tmp_path / "e", tmp_path)


def test_as_envtest_passes_them(made: Envtest) -> None:
    found = options.parse(made.flags(), made.folder, NOW)
    assert (found.bind, found.port, found.modes) == ("127.0.0.1", made.port, ("RBAC",))
    assert found.service_cidr == "10.0.0.0/24"
    assert found.issuers == (f"https://127.0.0.1:{made.port}/",)
    assert found.plugins_off == {"ServiceAccount"}
    assert found.client_ca == (made.folder / "client-cert-auth-ca.crt").read_text()
    assert found.serving[0] == (made.folder / "apiserver.crt").read_bytes()
    assert len(found.verifying) == 1
    assert (found.anonymous, found.event_ttl, found.node_ports) == (True, 3600.0, (30000, 32767))
    assert found.warnings == ()


def test_further_flags(made: Envtest) -> None:
    (made.folder / "tokens.csv").write_text('t1,ann,u1,"g1,g2"\nt2,bob,u2\n')
    found = options.parse(
        made.flags(
            authorization_mode="AlwaysAllow",
            event_ttl="1h30m",
            service_node_port_range="30000+10",
            token_auth_file="tokens.csv",
            audit_webhook_config_file="x",
            feature_gates="A=true",
            api_audiences="a,b",
        ),
        made.folder,
        NOW,
    )
    assert found.static == {"t1": User("ann", "u1", ("g1", "g2")), "t2": User("bob", "u2")}
    assert (found.anonymous, found.event_ttl, found.node_ports) == (False, 5400.0, (30000, 30010))
    assert found.audiences == ("a", "b")
    assert found.warnings == (
        "--audit-webhook-config-file has no effect in Kloster",
        "--feature-gates has no effect in Kloster",
    )


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        pytest.param({"etcd_servers": ""}, OptionsError, "--etcd-servers must be specified", id="no-etcd"),
        pytest.param(
            {"authorization_mode": "Foo"}, OptionsError, 'authorization-mode "Foo" is not a valid mode', id="mode"
        ),
        pytest.param(
            {"authorization_mode": "Webhook"},
            OptionsError,
            "--authorization-mode=Webhook is not supported by Kloster",
            id="webhook-mode",
        ),
        pytest.param(
            {"secure_port": "abc"},
            FlagError,
            'invalid argument "abc" for "--secure-port" flag: strconv.ParseInt: parsing "abc": invalid syntax',
            id="port",
        ),
        pytest.param(
            {"secure_port": "0"}, OptionsError, "--secure-port 0 must be a valid port number between 1", id="port-zero"
        ),
        pytest.param(
            {"service_account_signing_key_file": "none"},
            OptionsError,
            "failed to parse service-account-issuer-key-file: open DIR/none: no such file or directory",
            id="no-signing-key",
        ),
        pytest.param(
            {"disable_admission_plugins": "Nope"},
            OptionsError,
            'disable-admission-plugins plugin "Nope" is unknown',
            id="plugin",
        ),
        pytest.param(
            {"oidc_issuer_url": "https://x"},
            OptionsError,
            "--oidc-issuer-url is not supported by Kloster: it would change who is let in",
            id="oidc",
        ),
        pytest.param(
            {"event_ttl": "soon"},
            FlagError,
            'invalid argument "soon" for "--event-ttl" flag: time: invalid duration "soon"',
            id="duration",
        ),
        pytest.param(
            {"client_ca_file": "none"},
            OptionsError,
            "--client-ca-file: open DIR/none: no such file or directory",
            id="no-ca",
        ),
        pytest.param(
            {"service_cluster_ip_range": "x"}, OptionsError, "service-cluster-ip-range is not a valid cidr", id="cidr"
        ),
    ],
)
def test_refusals(made: Envtest, changes: dict[str, str], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text.replace("DIR", str(made.folder)))):
        options.parse(made.flags(**changes), made.folder, NOW)


def test_serving_certificate_is_made_where_there_is_none(made: Envtest, tmp_path: Path) -> None:
    found = options.parse(made.flags(cert_dir=str(tmp_path / "new")), made.folder, NOW)
    assert found.serving[0] == (tmp_path / "new" / "apiserver.crt").read_bytes()
    assert (tmp_path / "new" / "apiserver.key").stat().st_mode & 0o777 == 0o600
    assert found.warnings[0].startswith("Generated self-signed cert")


def test_keys_of_all_forms_verify() -> None:
    key = rsa.generate_private_key(65537, 2048)
    made = pki.TokenKey(key)
    found = options.public_keys(made.pem() + pki.TokenKey.create().public_pem() + b"garbage")
    assert [pki.algorithm(one) for one in found] == ["RS256", "ES256"]
    with pytest.raises(OptionsError, match="does not contain any valid"):
        options.public_keys(b"nothing")
