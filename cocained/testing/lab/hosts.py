# -*- test-case-name: cocained.test.live.test_lab -*-
"""
One host of a lab, as those see it who run something there.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from cocained.testing.lab.link import LatencyLink
from cocained.testing.lab.namespaces import Namespace, run
from cocained.testing.programs import LabError


class Host:
    """
    A host.

    :param name: as it was given.
    :param namespace: what it consists of.
    :param port: the bridge's interface that leads to it.
    :param address: of IPv4, numeric.
    :param address6: of IPv6, numeric.
    :param link: the slow cable that leads to it, if that is no ordinary one.
    """

    def __init__(
        self,
        name: str,
        namespace: Namespace,
        port: str,
        address: str,
        address6: str,
        link: LatencyLink | None,
    ) -> None:
        self.name = name
        self.namespace = namespace
        self.port = port
        self.address = address
        self.address6 = address6
        self._link = link

    def __repr__(self) -> str:
        return f"<Host {self.name} {self.address}>"

    def command(self, command: Sequence[str]) -> list[str]:
        """Give *command* as anybody can run it in this host."""
        return self.namespace.command(command)

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """
        Start a program here, in a session of its own.

        It is killed with the lab at the latest; to wait for it is the caller's.

        :param options: as :class:`subprocess.Popen` takes them.
        """
        options = {"stdin": subprocess.DEVNULL, "start_new_session": True, **options}
        return subprocess.Popen(self.command(command), **options)

    def run(self, command: Sequence[str], text: str = "") -> str:
        """
        Run a program here to its end.

        :returns: what it printed.
        :raises LabError: it failed.
        """
        return run(self.command(command), text)

    def inside(self) -> AbstractContextManager[None]:
        """Have the sockets that this thread makes in a block belong to this host."""
        return self.namespace.inside()

    def slow(self, delay: float, jitter: float = 0.0, loss: float = 0.0) -> None:
        """
        Change the cable of this host; see :meth:`.LatencyLink.change`.

        :raises LabError: it has an ordinary cable.
        """
        if self._link is None:
            raise LabError(
                f"host {self.name} has no slow cable; add it to the lab with slow=True"
            )
        self._link.change(delay, jitter, loss)
