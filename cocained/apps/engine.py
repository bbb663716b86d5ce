# -*- test-case-name: cocained.test.test_apps_engine -*-
"""
The UNIX socket at which the workers of one app call.
"""

from __future__ import annotations

import contextlib
import itertools
import os

from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory
from typing_extensions import override

from cocained.apps.speech import Handshake
from cocained.door import PATH_LIMIT
from cocained.errors import SpoolError
from cocained.rpc.wire import SessionProtocol, Wiring, cancelled

#: Tells those apart that cannot have the plain path; no number comes twice.
_successors = itertools.count(2)


def check_path(path: str) -> None:
    """
    See whether a socket can have that path.

    :raises SpoolError: it is too long.
    """
    if len(os.fsencode(path)) > PATH_LIMIT:
        raise SpoolError(
            f"the path of the app's socket is longer than {PATH_LIMIT} bytes:"
            f" {path}; set a shorter paths.runtime or give the app a shorter name"
        )


def free_path(directory: str, app: str) -> str:
    """
    Choose where the workers of an app call.

    It is ``APP.PID`` (protocol.md §8.1), unless the app was running before and
    its last workers are still ending: who stops to listen at a path removes it,
    and must not remove that of its successor.

    :param directory: the node's ``paths.runtime``.
    """
    path = os.path.join(directory, f"{app}.{os.getpid()}")
    return next_path(directory, app) if os.path.lexists(path) else path


def next_path(directory: str, app: str) -> str:
    """
    Give a path that no other release of the app has, nor had.

    :param directory: as :func:`free_path` has it.
    """
    return os.path.join(directory, f"{app}.{os.getpid()}.{next(_successors)}")


class Engine:
    """
    A listening socket.

    :param wiring: of the node's connections.
    :param path: where; what is there is replaced.
    :param root: takes the handshakes.
    :param limit: most connections at a time.
    :raises SpoolError: it cannot listen there.
    """

    def __init__(self, wiring: Wiring, path: str, root: Handshake, limit: int) -> None:
        self._path = path
        self._factory = _Factory(wiring, root, limit)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            self._port: IListeningPort = wiring.reactor.listenUNIX(
                path, self._factory, mode=0o600
            )
        except (OSError, CannotListenError) as error:
            raise SpoolError(f"cannot listen at {path} for workers: {error}") from error

    async def close(self) -> None:
        """Listen no more, and end all connections."""
        await maybeDeferred(self._port.stopListening)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        for protocol in list(self._factory.connections):
            protocol.session.hang_up(cancelled())


class _Factory(Factory):
    noisy = False

    def __init__(self, wiring: Wiring, root: Handshake, limit: int) -> None:
        self._wiring = wiring
        self._root = root
        self._limit = limit
        self.connections: set[SessionProtocol] = set()

    @override
    def buildProtocol(self, addr: IAddress | None) -> SessionProtocol | None:
        if len(self.connections) >= self._limit:
            return None
        protocol = SessionProtocol(self._wiring, self._root, hold_itself=False)
        protocol.factory = self
        protocol.on_lost = self.connections.discard
        self.connections.add(protocol)
        return protocol
