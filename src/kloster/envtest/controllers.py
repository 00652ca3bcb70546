"""kube-controller-manager's controllers for an API server of envtest, for suites that ask for them.

Upstream's envtest has none, so deployments make no pods there and namespaces never end. With
``--kloster-controllers=*`` (or names, as kube-controller-manager's ``--controllers`` takes them) they do.
"""

from __future__ import annotations

from collections.abc import Sequence

from kloster.client.client import Client
from kloster.client.inprocess import InProcessTransport
from kloster.client.sources import LiveSource
from kloster.client.transport import User
from kloster.controllers import select
from kloster.envtest.options import OptionsError
from kloster.envtest.server import NAME, ApiServer
from kloster.runtime.api import Context
from kloster.runtime.dispatcher import Dispatcher
from kloster.runtime.recorder import EventRecorder

MASTER = User("system:kube-controller-manager", groups=("system:masters", "system:authenticated"), assigns=True)


async def attach(server: ApiServer, patterns: Sequence[str]) -> None:
    """Run them until the server ends. Raises OptionsError for a name that there is not."""
    try:
        chosen = select(patterns)
    except ValueError as error:
        raise OptionsError(f"--kloster-controllers: {error}") from error
    dispatcher = Dispatcher(server.clock)
    await dispatcher.__aenter__()
    server.ending.append(lambda: dispatcher.__aexit__(None, None, None))
    served = server.served
    client = Client(InProcessTransport(server.handler, MASTER), user_agent="kloster")
    recorder = EventRecorder(client, server.clock, dispatcher.spawn, component="kloster")
    settings = {
        "ca_bundle": server.options.serving[0].decode(),
        "cluster_domain": served.settings.cluster_domain,
        "service_cidr": served.settings.service_cidr,
        "version": served.catalog.git_version,
        "minor": server.minor,
    }
    context = Context(NAME, client, LiveSource(served.view), recorder, server.clock, settings)
    attachment = dispatcher.attach(context, chosen)
    server.ending.append(lambda: dispatcher.detach(attachment))
