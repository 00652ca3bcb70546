"""Structured logs: one line a record, JSON for machines or coloured text for people, never a secret.

What is logged is decided where it is logged; that nothing secret gets out is decided here once more, since logs
travel further than anybody thinks: values under telling names are replaced, and so is what looks like a credential
anywhere in a text.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor

HIDDEN = "[hidden]"

_NAMES = re.compile(r"(?i)(token|secret|password|passwd|authorization|credential|private_?key|client_?key|cookie)")
_TEXTS = re.compile(
    r"eyJ[\w-]{5,}\.[\w-]+\.[\w-]*"  # a JWT
    r"|(?i:(?<=bearer )\S+|(?<=basic )\S{8,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
    re.DOTALL,
)

_HARMLESS = frozenset({"secret_name", "token_id", "credential_id"})
"""Names that only sound secret."""


def configure(
    format: Literal["json", "console"] = "console", level: str = "info", stream: TextIO | None = None
) -> None:
    """Set up logging for the process; call once, at start. Records of the standard library take the same way."""
    output = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        hide_secrets,
    ]
    if format == "json":
        render: Processor = structlog.processors.JSONRenderer(serializer=_json)
    else:
        render = structlog.dev.ConsoleRenderer(
            colors=output.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(number)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _json(record: Any, **options: Any) -> str:
    return orjson.dumps(record, default=options.get("default", repr)).decode()


def hide_secrets(_: Any, __: str, record: EventDict) -> EventDict:
    """Replace what is, or looks, secret."""
    return {name: _hidden(name, value) for name, value in record.items()}


def _hidden(name: str, value: Any) -> Any:
    if isinstance(name, str) and _NAMES.search(name) and name not in _HARMLESS and value is not None:
        return HIDDEN
    if isinstance(value, str):
        return _TEXTS.sub(HIDDEN, value)
    if isinstance(value, bytes):
        return _TEXTS.sub(HIDDEN, value.decode("utf-8", "replace"))
    if isinstance(value, MutableMapping):
        return {key: _hidden(key, one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden("", one) for one in value]
    return value
