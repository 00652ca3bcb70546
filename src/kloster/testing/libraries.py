"""A cluster's credentials in the forms in which client libraries take them.

The libraries are not dependencies of Kloster: they are looked for when one is asked for, and are the caller's.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kloster.testing.errors import TestingError

_operating = threading.Lock()
"""Held while an operator runs in a thread of this process."""
_LOCATION = "KUBE_CONFIG_DEFAULT_LOCATION"


class Libraries:
    """What `Cluster` gives to client libraries."""

    kubeconfig: Path
    kubeconfig_dict: dict[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of this process, with KUBECONFIG for this cluster: for commands and operators."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    @contextlib.contextmanager
    def in_environment(self) -> Iterator[None]:
        """KUBECONFIG is this cluster's in this process, as long as the block runs."""
        loader = sys.modules.get("kubernetes.config.kube_config")
        before, known = os.environ.get("KUBECONFIG"), getattr(loader, _LOCATION, None)
        os.environ["KUBECONFIG"] = str(self.kubeconfig)
        if loader is not None:  # the official client reads the variable once, when it is imported
            setattr(loader, _LOCATION, str(self.kubeconfig))
        try:
            yield
        finally:
            if before is None:
                os.environ.pop("KUBECONFIG", None)
            else:
                os.environ["KUBECONFIG"] = before
            if loader is not None:
                setattr(loader, _LOCATION, known)

    def client_configuration(self) -> Any:
        """``kubernetes.client.Configuration`` of the official client: ``ApiClient(cluster.client_configuration())``."""
        configuration = library("kubernetes.client").Configuration()
        library("kubernetes.config").load_kube_config_from_dict(
            self.kubeconfig_dict, client_configuration=configuration, persist_config=False
        )
        return configuration

    def lightkube(self, *, client: str = "Client", **options: Any) -> Any:
        """A ``lightkube.Client`` (or ``AsyncClient``); options are its own."""
        config = library("lightkube.config.kubeconfig").KubeConfig.from_dict(self.kubeconfig_dict)
        return getattr(library("lightkube"), client)(config=config, **options)

    def kr8s(self, **options: Any) -> Any:
        """A ``kr8s`` API object (synchronous); options are those of ``kr8s.api``."""
        return library("kr8s").api(kubeconfig=str(self.kubeconfig), **options)

    @contextlib.contextmanager
    def kopf(self, *arguments: str, timeout: float = 30.0) -> Iterator[Any]:
        """Run an operator, in a thread of this process, as long as the block runs: ``kopf run -A --verbose FILE``.

        arguments   of ``kopf run``, such as the operator's file, ``"-n", "default"``; without a namespace it is ``-A``
        timeout     seconds that it may take to end
        Gives the ``kopf.testing.KopfRunner``; afterwards its ``output`` is what the operator has logged. An operator
        that fails makes the block fail. What is printed in the block is in `output`, too: kopf's runner has it so.

        One at a time: kopf and the official client have one set of handlers and credentials for the whole process, so
        that the first operator would work on the second one's cluster.
        """
        everywhere = () if {"-n", "--namespace", "-A", "--all-namespaces"} & set(arguments) else ("-A",)
        runner = library("kopf.testing").KopfRunner(
            ["run", *everywhere, "--standalone", *map(str, arguments)], timeout=timeout
        )
        if not _operating.acquire(blocking=False):
            raise TestingError(
                "an operator runs in this process already, and kopf has one set of handlers and credentials for all; "
                'run another one as a process: subprocess.Popen(["kopf", "run", "-A", …], env=cluster.environment)'
            )
        try:
            with self.in_environment(), runner:
                yield runner
        finally:
            _operating.release()
        if runner.exit_code:
            raise TestingError(f"the operator ended with exit code {runner.exit_code}:\n{runner.output[-3000:]}")


def library(name: str) -> Any:
    """The module. Raises TestingError if the library is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing = name.partition(".")[0]
        raise TestingError(f"{missing} is not installed here; install it: pip install {missing}") from error
