"""Records what a real server makes of the objects in tests/golden/objects/inputs.yaml, in protobuf.

``python -m tools.reference.golden_protobuf KUBECONFIG``. One dry run an object, base64 a line, beside the answers in
JSON that ``golden`` recorded. What every request makes anew (UID, time, suffixes of names) is put in from there: all
of it has a fixed length, so the messages keep their shape.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path

import yaml
from tools.reference.golden import resource_path
from tools.reference.kubeconfig import Server

from kloster.apimachinery.protobuf import leaves

_FOLDER = Path(__file__).parents[2] / "tests" / "golden" / "objects"
_ACCEPT = "application/vnd.kubernetes.protobuf"
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIMES = re.compile(rb"(?<=[\x22\x42]\x08)\x08.{5}\x10\x00(?=\x32\x08FieldsV1|[^\x32])", re.DOTALL)
_TOKEN = re.compile(rb"kube-api-access-[a-z0-9]{5}")


def main() -> None:
    server = Server(Path(sys.argv[1]))
    minor = ".".join(server.get("/version")["gitVersion"].removeprefix("v").split(".")[:2])
    known = (_FOLDER / f"{minor}.json").read_bytes().splitlines()
    lines = []
    for item, answer in zip(yaml.safe_load_all((_FOLDER / "inputs.yaml").read_text()), known, strict=True):
        path = resource_path(server, item)
        found = server.request("POST", f"{path}?dryRun=All&fieldManager=golden", item, accept=_ACCEPT)
        lines.append(base64.b64encode(_as_known(found, answer)))
    (_FOLDER / f"{minor}.protobuf").write_bytes(b"\n".join(lines) + b"\n")
    print(f"{len(lines)} answers")


def _as_known(found: bytes, answer: bytes) -> bytes:
    """The message with the UID, the time and the suffixes of the answer in JSON."""
    metadata = json.loads(answer)["metadata"]
    when = metadata.get("creationTimestamp") or metadata["managedFields"][0]["time"]
    for time in set(_TIMES.findall(found)):
        found = found.replace(time, leaves.encode_time(when))
    if "uid" in metadata:
        own = next(text for text in _UUID.findall(found) if text not in answer)
        found = found.replace(own, metadata["uid"].encode())
    for new, old in zip(_TOKEN.findall(found), _TOKEN.findall(answer), strict=False):
        found = found.replace(new, old)
    return found


if __name__ == "__main__":
    main()
