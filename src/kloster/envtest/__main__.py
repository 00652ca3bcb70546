"""kube-apiserver where etcd is not Kloster's, or there is none: API server and store in one process.

Run by `shim` in its own place: ``python -m kloster.envtest VERSION FLAGS…``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop

from kloster.aio.signals import stop_event
from kloster.apiserver.http.listeners import AddressInUse, raise_descriptor_limit
from kloster.apiserver.observability import logging
from kloster.envtest import etcd
from kloster.envtest.flags import FlagError
from kloster.envtest.options import OptionsError
from kloster.envtest.plane import Plane, until
from kloster.kinds.catalog import parse_version

ALONE = "W the etcd of --etcd-servers is not Kloster's: state is kept in memory and ends with this process"


async def serve(version: str, arguments: list[str]) -> None:
    """Until a signal. Raises FlagError, OptionsError, AddressInUse, ValueError."""
    stop = stop_event()
    plane = Plane(parse_version(version))
    server = await plane.serve(version, arguments, Path.cwd())
    for warning in (ALONE, *(f"W {one}" for one in server.options.warnings)):
        print(warning, file=sys.stderr, flush=True)
    await until(stop, etcd.parent())
    await server.close()
    await plane.close()


def main() -> int:
    logging.configure(level="warning")
    raise_descriptor_limit()
    try:
        uvloop.run(serve(sys.argv[1], sys.argv[2:]))
    except FlagError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except (OptionsError, AddressInUse, ValueError) as error:
        print(f'E "command failed" err="{error}"', file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
