"""A small operator of kopf, for `test_libraries`."""

from __future__ import annotations

from typing import Any

import kopf


@kopf.on.create("example.com", "v1", "widgets")
def created(body: kopf.Body, patch: kopf.Patch, **_: Any) -> None:
    patch.status["message"] = f"size {body['spec']['size']}"
