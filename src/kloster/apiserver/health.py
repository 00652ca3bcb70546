"""/healthz, /livez, /readyz: whether this cluster's API works, in the shape that upstream's probes have.

The checks are upstream's names; here they all mean one thing: this process answers and the store is open.
"""

from __future__ import annotations

from kloster.apiserver import answers
from kloster.apiserver.call import Call
from kloster.client.transport import Response

ROOTS = ("/healthz", "/livez", "/readyz")
_NOT_LIVE = frozenset({"etcd-readiness", "informer-sync", "shutdown"})


def serve(call: Call) -> Response:
    root, _, single = call.target.path[1:].rstrip("/").partition("/")
    if f"/{root}" not in ROOTS:
        return answers.not_found_text(call)
    checks = _checks(call, root)
    if single:
        if single.startswith("poststarthook") or single in checks:
            return _plain(call, "ok") if single in checks else answers.not_found_text(call)
        return answers.not_found_text(call)
    excluded = {value for key, value in call.request.query if key == "exclude"}
    if not any(key == "verbose" for key, _ in call.request.query):
        return _plain(call, "ok")
    lines = [f"[+]{name} excluded: ok" if name in excluded else f"[+]{name} ok" for name in checks]
    unknown = sorted(excluded - set(checks))
    if unknown:
        listed = ", ".join(f'"{name}"' for name in unknown)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {listed}")
    lines.append(f"{root} check passed")
    return _plain(call, "\n".join(lines) + "\n")


def _checks(call: Call, root: str) -> list[str]:
    recorded = [line.removeprefix("[+]").removesuffix(" ok") for line in call.cluster.catalog.readyz]
    return [name for name in recorded if root == "readyz" or name not in _NOT_LIVE]


def _plain(call: Call, body: str) -> Response:
    return answers.text(call, body)
