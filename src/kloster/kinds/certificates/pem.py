"""PEM blocks as Go reads them: text around a block is skipped, a block may have headers.

Source: https://pkg.go.dev/encoding/pem
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509

_BLOCK = re.compile(
    rb"^-----BEGIN (?P<type>[^\n-]*)-----[ \t]*\r?\n(?P<body>.*?)^-----END (?P=type)-----[ \t]*\r?$",
    re.DOTALL | re.MULTILINE,
)
CERTIFICATE = "CERTIFICATE"
REQUEST = "CERTIFICATE REQUEST"


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its type, whether it has headers, its bytes."""

    type: str
    has_headers: bool
    data: bytes


def blocks(text: bytes) -> Iterator[Block]:
    for match in _BLOCK.finditer(text):
        head, separator, body = match["body"].partition(b"\n\n")
        has_headers = bool(separator) and b":" in head
        encoded = body if has_headers else match["body"]
        try:
            data = base64.b64decode(b"".join(encoded.split()), validate=True)
        except binascii.Error:
            continue
        yield Block(match["type"].decode(errors="replace"), has_headers, data)


def request_problem(text: bytes) -> str:
    """What is wrong with a certificate request: its encoding, its content, or its signature."""
    block = next(blocks(text), None)
    if block is None or block.type != REQUEST:
        return "PEM block type must be CERTIFICATE REQUEST"
    try:
        request = x509.load_der_x509_csr(block.data)
    except ValueError as error:
        return f"asn1: structure error: {error}"
    return "" if request.is_signature_valid else "x509: invalid signature"


def certificates_problem(text: bytes) -> str:
    """What is wrong with a chain of issued certificates."""
    found = list(blocks(text))
    for block in found:
        if block.type != CERTIFICATE:
            return f'only CERTIFICATE PEM blocks are allowed, found "{block.type}"'
        if block.has_headers:
            return "no PEM block headers are permitted"
        try:
            x509.load_der_x509_certificate(block.data)
        except ValueError as error:
            return f"x509: malformed certificate: {error}"
    return "" if found else "must contain at least one CERTIFICATE PEM block"


def anchors_problems(text: bytes) -> list[str]:
    """What is wrong with a set of trust anchors; entries are counted from 0."""
    problems = []
    entries: dict[bytes, list[int]] = {}
    for index, block in enumerate(blocks(text)):
        if problem := _anchor_problem(block):
            problems.append(f"entry {index} {problem}")
        else:
            entries.setdefault(block.data, []).append(index)
    if problems:
        return problems
    if not entries:
        return ["at least one trust anchor must be provided"]
    repeated = (indices for indices in entries.values() if len(indices) > 1)
    return [f"duplicate trust anchor (indices [{' '.join(map(str, indices))}])" for indices in repeated]


def _anchor_problem(block: Block) -> str:
    if block.type != CERTIFICATE:
        return f"has bad block type: {block.type}"
    if block.has_headers:
        return "has PEM block headers"
    try:
        certificate = x509.load_der_x509_certificate(block.data)
    except ValueError:
        return "does not parse as X.509"
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return "does not have the CA bit set"
    return "" if constraints.ca else "does not have the CA bit set"
