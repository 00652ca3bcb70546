"""A transport with prepared answers, for tests of what uses a client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from kloster.client.transport import Request, Response


def answer(body: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(status, {"content-type": "application/json"}, orjson.dumps(body))


class RecordedTransport:
    """Answers each ``METHOD path`` with its prepared response and keeps what was asked in `requests`.

    A list of responses is used up one by one; the last one stays. What was not prepared is answered with 404, as
    plain text, like a path that a server does not have.
    """

    def __init__(self, answers: Mapping[str, Response | list[Response]]) -> None:
        self._answers = {key: list(value) if isinstance(value, list) else [value] for key, value in answers.items()}
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        prepared = self._answers.get(f"{request.method} {request.path}")
        if not prepared:
            return Response(404, {"content-type": "text/plain"}, b"404 page not found\n")
        return prepared.pop(0) if len(prepared) > 1 else prepared[0]

    async def aclose(self) -> None:
        """Nothing is held."""
