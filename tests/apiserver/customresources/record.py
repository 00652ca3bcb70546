"""Records what a real server answers: ``python -m tests.apiserver.customresources.record KUBECONFIG [NAME…]``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.apiserver.customresources import sequences
from tests.differential.model import Session, shown
from tests.differential.record import RealServer


def record(server: RealServer, name: str) -> None:
    namespace = f"custom-{name}-{int(time.time())}"
    headers = {"content-type": "application/json"}
    server.send("POST", "/api/v1/namespaces", headers, b'{"metadata":{"name":"%s"}}' % namespace.encode())
    session = Session(namespace)
    answers = []
    try:
        for label, step in sequences.load(name):
            time.sleep(step.wait)
            answer = server.send(step.method, session.fill(step.path), session.headers(step), session.body(step))
            answers.append({"name": label, **sequences.normal(session, step, answer, sequences.has_owners(name))})
    finally:
        server.send("DELETE", f"/api/v1/namespaces/{namespace}", {}, b"")
    (sequences.HERE / "golden" / f"{name}.json").write_text(shown(answers) + "\n")
    print(f"{name}: {len(answers)} answers")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for each in sys.argv[2:] or sequences.NAMES:
        record(RealServer(Path(sys.argv[1])), each)
