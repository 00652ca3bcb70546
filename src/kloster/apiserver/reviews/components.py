"""componentstatuses: an old list of the control plane's parts. Here they are one process, which answers."""

from __future__ import annotations

from kloster.apimachinery import Object, errors
from kloster.apiserver import answers
from kloster.apiserver.call import Call
from kloster.client.transport import Response

_NAMES = ("scheduler", "controller-manager", "etcd-0")


def serve(call: Call) -> Response:
    name = call.target.name
    if name:
        if name not in _NAMES:
            raise errors.not_found("", "componentstatus", name)
        return answers.value(call, {"kind": "ComponentStatus", "apiVersion": "v1", **_status(name)})
    items = [_status(name) for name in _NAMES]
    return answers.value(call, {"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": items})


def _status(name: str) -> Object:
    return {"metadata": {"name": name}, "conditions": [{"type": "Healthy", "status": "True", "message": "ok"}]}
