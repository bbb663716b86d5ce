# -*- test-case-name: cocained.test.test_descriptors -*-
"""
Descriptors that the reactor watches: pipes, and the ends of processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from twisted.internet.abstract import FileDescriptor
from twisted.python.failure import Failure
from typing_extensions import override

from cocained.interfaces import IReactor


class Readable(FileDescriptor):
    """
    A descriptor that calls a function when there is something to read.

    It is watched from now on, and owned: :meth:`close` closes it.

    :param reactor: watches it.
    :param descriptor: what is watched; does not block.
    :param ready: called whenever there is something to read.
    """

    def __init__(
        self, reactor: IReactor, descriptor: int, ready: Callable[[], None]
    ) -> None:
        super().__init__(reactor)
        self._descriptor = descriptor
        self._ready = ready
        self.connected = True
        reactor.addReader(self)

    @override
    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        self._ready()

    @override
    def connectionLost(self, reason: Failure) -> None:
        self.close()

    def close(self) -> None:
        """Watch no more, and close the descriptor."""
        if self.connected:
            self.connected = False
            self.reactor.removeReader(self)
            os.close(self._descriptor)
