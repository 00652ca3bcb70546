"""From a `Response` to bytes: status line, headers, framing, compression."""

from __future__ import annotations

from http import HTTPStatus

import orjson
from isal import igzip

from kloster.apimachinery.errors import StatusError
from kloster.client.transport import Response

# Go's names for the codes, where they differ from Python's.
_PHRASES = {413: "Request Entity Too Large", 414: "Request URI Too Long", 416: "Requested Range Not Satisfiable"}

_LINES = {
    version: {
        status.value: f"HTTP/1.{version} {status.value} {_PHRASES.get(status.value, status.phrase)}\r\n"
        for status in HTTPStatus
    }
    for version in (0, 1)
}
_LINES[1][422] = "HTTP/1.1 422 Unprocessable Entity\r\n"
_LINES[0][422] = "HTTP/1.0 422 Unprocessable Entity\r\n"

GZIP_THRESHOLD = 128 * 1024
"""Bodies above this are compressed for clients that accept it (upstream's APIResponseCompression)."""

GZIP_LEVEL = 1
IN_THREAD = 1024 * 1024
"""Bodies above this are compressed in a thread: the event loop belongs to all tenants."""


def status_line(status: int, minor: int) -> str:
    return _LINES[minor].get(status) or f"HTTP/1.{minor} {status} status code {status}\r\n"


def head(status: int, headers: dict[str, str], framing: str, date: str, minor: int = 1) -> bytes:
    """The response head. `framing` is what the connection adds (Content-Length, Connection, ...), complete lines.

    A line break in a value would end the header and start another: it becomes a space, as in Go's net/http.
    """
    line = _LINES[minor].get(status) or status_line(status, minor)
    block = ""
    for name, value in headers.items():
        block += f"{name}: {value}\r\n"
    if block.count("\n") != len(headers) or block.count("\r") != len(headers):
        block = "".join([f"{_one_line(name)}: {_one_line(value)}\r\n" for name, value in headers.items()])
    return f"{line}{block}Date: {date}\r\n{framing}\r\n".encode()


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")


def accepts_gzip(accept: str) -> bool:
    """Whether Accept-Encoding names gzip and does not rule it out."""
    for part in accept.split(","):
        name, _, parameters = part.partition(";")
        if name.strip().lower() == "gzip":
            weight = parameters.replace(" ", "")
            return not (weight.startswith("q=0") and not weight.strip("q=0.") and weight != "q=")
    return False


def wants_gzip(response: Response, headers: dict[str, str]) -> bool:
    """Whether to compress a whole body for a request with `headers`."""
    accept = headers.get("accept-encoding", "")
    return (
        len(response.body) > GZIP_THRESHOLD
        and bool(accept)
        and "Content-Encoding" not in response.headers
        and accepts_gzip(accept)
    )


def compress(body: bytes) -> bytes:
    compressed: bytes = igzip.compress(body, GZIP_LEVEL, mtime=0)
    return compressed


def mark_gzip(response: Response, compressed: bytes) -> Response:
    """The same response with a compressed body. The original may be shared, so it is left alone."""
    headers = dict(response.headers)
    headers["Content-Encoding"] = "gzip"
    vary = headers.get("Vary")
    headers["Vary"] = f"{vary}, Accept-Encoding" if vary else "Accept-Encoding"
    return Response(response.status, headers, compressed)


def failure(error: StatusError) -> Response:
    """The response for an API error."""
    headers = {"Cache-Control": "no-cache, private", "Content-Type": "application/json"}
    if error.retry_after:
        headers["Retry-After"] = str(error.retry_after)
    return Response(error.code, headers, orjson.dumps(error.status()) + b"\n")
