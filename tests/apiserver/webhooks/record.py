"""Records what a real server asks webhooks: ``python -m tests.apiserver.webhooks.record KUBECONFIG [CASE…]``.

Each case has a namespace of its own, to which its webhooks are confined; everything is deleted afterwards.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.apiserver.webhooks import model
from tests.apiserver.webhooks.model import Case, Webhooks
from tests.differential.record import RealServer

SEEN = 1.5
"""Seconds after which the server knows of a configuration."""


def send(server: RealServer, method: str, path: str, body: Any = None, kind: str = "") -> tuple[int, str, bytes]:
    media = kind or ("application/merge-patch+json" if method == "PATCH" else "application/json")
    data = b"" if body is None else json.dumps(body).encode()
    answer = server.send(method, path, {"content-type": media, "user-agent": "webhooks/1.0"}, data)
    warning = answer.headers.get("warning", "").encode("latin-1").decode()
    return answer.status, warning, answer.body


def record(server: RealServer, webhooks: Webhooks, case: Case) -> dict[str, Any]:
    made = []
    send(server, "POST", "/api/v1/namespaces", {"metadata": {"name": case.namespace}})
    account = f"/api/v1/namespaces/{case.namespace}/serviceaccounts/default"
    while send(server, "GET", account)[0] == 404:
        time.sleep(0.1)
    try:
        for one in case.setup:
            method, _, path = case.fill(one["request"]).partition(" ")
            status, _, body = send(server, method, path, case.fill(one.get("body")), one.get("type", ""))
            assert status < 400, (case.name, path, body.decode())
        time.sleep(0.3)
        for path, document in case.configurations(webhooks.url, webhooks.bundle):
            status, _, body = send(server, "POST", path, document)
            assert status < 400, (case.name, body.decode())
            made.append(f"{path}/{document['metadata']['name']}")
        time.sleep(SEEN)
        webhooks.begin(case)
        answers = []
        for webhooks.step, one in enumerate(case.do):
            method, _, path = case.fill(one["request"]).partition(" ")
            found = send(server, method, path, case.fill(one.get("body")), one.get("type", ""))
            answers.append(model.answered(*found))
        return {"asked": model.asked(webhooks, case), "answers": answers}
    finally:
        for path in made:
            send(server, "DELETE", path)
        for one in case.setup:
            path = case.fill(one["request"]).partition(" ")[2].partition("?")[0]
            if one.get("cluster"):
                send(server, "DELETE", f"{path}/{case.fill(one['body'])['metadata']['name']}")
        send(server, "DELETE", f"/api/v1/namespaces/{case.namespace}")


def main() -> None:
    server, wanted = RealServer(Path(sys.argv[1])), sys.argv[2:]
    known = json.loads(model.GOLDEN.read_text()) if model.GOLDEN.exists() else {}
    with model.serving() as webhooks:
        for case in model.load():
            if not wanted or case.name in wanted:
                known[case.name] = record(server, webhooks, case)
                print(case.name, [answer["status"] for answer in known[case.name]["answers"]], flush=True)
    names = [case.name for case in model.load()]
    kept = {name: known[name] for name in names if name in known}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    model.GOLDEN.write_text(text.replace('},{"', '},\n{"') + "\n")


if __name__ == "__main__":
    main()
