"""What can go wrong between a client and a cluster, apart from the answers of the API itself.

ConnectionFailed    no answer: refused, reset, timed out, TLS failed. Retryable
ConfigError         a kubeconfig cannot be used as it is. Terminal
"""

from __future__ import annotations


class ClientError(Exception):
    """Base of what this package raises besides `kloster.apimachinery.errors.StatusError`."""


class ConnectionFailed(ClientError):
    """No answer arrived. Whether a write took place is not known: read before repeating it."""


class ConfigError(ClientError):
    """A kubeconfig lacks something, or holds something that is not understood."""
