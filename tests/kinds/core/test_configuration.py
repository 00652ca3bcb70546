"""Sizes of ConfigMaps and Secrets, and what people store in them that is not JSON."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from kloster.kinds.core import configmaps, secrets

MIB = 1024 * 1024


def texts(found: Any) -> list[str]:
    return [str(error) for error in found]


@pytest.mark.parametrize(
    ("extra", "findings"),
    [(0, []), (1, ["[]: Too long: may not be more than 1048576 bytes"])],
    ids=["fits", "too-long"],
)
def test_size_of_a_config_map(extra: int, findings: list[str]) -> None:
    binary = base64.b64encode(b"x" * 100).decode()
    config = {"metadata": {}, "data": {"a": "é" * 50 + "x" * (MIB - 200 + extra)}, "binaryData": {"b": binary}}
    assert texts(configmaps.STRATEGY.validate(config)) == findings


@pytest.mark.parametrize(
    ("size", "findings"),
    [(MIB, []), (MIB + 1, ["data: Too long: may not be more than 1048576 bytes"])],
    ids=["fits", "too-long"],
)
def test_size_of_a_secret(size: int, findings: list[str]) -> None:
    secret = {"metadata": {}, "type": "Opaque", "data": {"a": base64.b64encode(b"x" * size).decode()}}
    assert texts(secrets.STRATEGY.validate(secret)) == findings


@pytest.mark.parametrize("length", range(7))
def test_decoded_length(length: int) -> None:
    assert configmaps.decoded_length(base64.b64encode(b"x" * length).decode()) == length


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{}", None),
        ("null", None),
        ("", "unexpected end of JSON input"),
        ('{"a"', "unexpected end of JSON input"),
        ("x", "invalid character 'x' looking for beginning of value"),
        ("{'a': 1}", r"invalid character '\'' looking for beginning of object key string"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a": 1 "b": 2}', "invalid character '\"' after object key:value pair"),
        ("{} x", "invalid character 'x' after top-level value"),
        ('"text"', "json: cannot unmarshal string into Go value of type map[string]interface {}"),
        ("5", "json: cannot unmarshal number into Go value of type map[string]interface {}"),
    ],
)
def test_docker_configuration(content: str, problem: str | None) -> None:
    data = {".dockerconfigjson": base64.b64encode(content.encode()).decode()}
    secret = {"metadata": {}, "type": "kubernetes.io/dockerconfigjson", "data": data}
    field = f"data[.dockerconfigjson]: Invalid value: {json.dumps('<secret contents redacted>')}"
    assert texts(secrets.STRATEGY.validate(secret)) == ([] if problem is None else [f"{field}: {problem}"])


def test_text_replaces_data_and_is_not_kept() -> None:
    secret = {"metadata": {}, "data": {"a": "AA==", "b": "AA=="}, "stringData": {"a": "é", "c": ""}}
    secrets.STRATEGY.default(secret)
    assert secret == {"metadata": {}, "type": "Opaque", "data": {"a": "w6k=", "b": "AA==", "c": ""}}
