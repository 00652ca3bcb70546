"""Certificates with their keys, for OpenSSL's binding, which reads them from files only."""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path


def load_pair(context: ssl.SSLContext, pem: bytes) -> None:
    """Load certificate and private key (PEM, one after the other). Raises SSLError if they do not fit.

    The file is anonymous memory where there is such a thing, so that no key touches a disk; elsewhere a private one
    that is gone at once.
    """
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        descriptor = os.memfd_create("kloster-tls", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, pem)
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name)
