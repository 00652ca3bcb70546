"""Bootstrap tokens: who comes with one, and which Secrets make none."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from kloster.aio.clock import VirtualClock, rfc3339
from kloster.apiserver.authentication.bootstrap_tokens import BootstrapTokens
from kloster.client.transport import Request

TOKEN = "abcdef.0123456789abcdef"
DATA = {"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"}
CLOCK = VirtualClock()


def secret(type: str = "bootstrap.kubernetes.io/token", metadata: dict[str, Any] | None = None, **more: str) -> Any:
    data = {**DATA, **{name.replace("_", "-"): value for name, value in more.items()}}
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}
    return {"metadata": metadata or {}, "type": type, "data": encoded}


def groups(found: Any, token: str = TOKEN) -> tuple[str, ...] | None:
    known = BootstrapTokens(lambda name: found if name == "bootstrap-token-abcdef" else None, CLOCK)
    user = known(Request("GET", "/api", headers={"authorization": f"Bearer {token}"}))
    if user is None:
        return None
    assert user.name == "system:bootstrap:abcdef"
    return user.groups


def test_the_bearer_is_known() -> None:
    assert groups(secret()) == ("system:bootstrappers", "system:authenticated")
    extra = secret(auth_extra_groups="system:bootstrappers:b,system:bootstrappers:a")
    assert groups(extra) == (
        "system:bootstrappers",
        "system:bootstrappers:a",
        "system:bootstrappers:b",
        "system:authenticated",
    )
    assert groups(secret(expiration=rfc3339(CLOCK.now() + 60))) is not None


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(None, id="no secret"),
        pytest.param(secret(type="Opaque"), id="another type"),
        pytest.param(secret(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), id="being deleted"),
        pytest.param(secret(token_secret="0123456789abcdeg"), id="another secret"),
        pytest.param(secret(token_id="abcdeg"), id="another id"),
        pytest.param(secret(usage_bootstrap_authentication="false"), id="not for authentication"),
        pytest.param(secret(expiration=rfc3339(CLOCK.now() - 1)), id="over"),
        pytest.param(secret(expiration="soon"), id="an end that nobody can read"),
        pytest.param(secret(auth_extra_groups="system:masters"), id="a group that it may not give"),
        pytest.param(secret(auth_extra_groups="system:bootstrappers:a,system:masters"), id="one of its groups"),
    ],
)
def test_nobody_is_known(found: Any) -> None:
    assert groups(found) is None


@pytest.mark.parametrize("token", ["abcdef.0123456789abcdef0", "ABCDEF.0123456789abcdef", "abcdef", "a.b.c", ""])
def test_other_tokens_are_left_to_others(token: str) -> None:
    assert groups(secret(), token) is None
