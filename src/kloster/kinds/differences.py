"""The unified diff that upstream appends when it refuses a change of an immutable spec.

Upstream dumps its internal types there; we show the fields as the API names them. Only the shape is the same.
"""

from __future__ import annotations

import difflib
import json
from typing import Any

_LONGEST = 2000
"""Lines that are compared: difflib takes quadratic time in the worst case, and the specs are a tenant's."""


def diff(old: Any, new: Any) -> str:
    before, after = (json.dumps(value, indent=1, ensure_ascii=False).splitlines() for value in (old, new))
    if max(len(before), len(after)) > _LONGEST:
        return ""
    lines = difflib.unified_diff(before, after, lineterm="", n=3)
    return "".join(f"{line}\n" for line in list(lines)[2:])
