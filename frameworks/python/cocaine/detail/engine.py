# -*- test-case-name: tests.test_worker -*-
"""
The worker's connection to the engine: heartbeats, disowning, termination.
"""

from __future__ import annotations

import socket

from cocaine.detail.connect import address_of, tune
from cocaine.detail.future import Future
from cocaine.detail.machine import WorkerMachine
from cocaine.detail.stream import Stream
from cocaine.detail.watch import Watch
from cocaine.exceptions import DisconnectionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cocaine.worker import Worker

#: Seconds to reach the engine, which listens before it starts a worker.
CONNECT_TIMEOUT = 5.0
#: Seconds for the last bytes to leave when the worker ends.
FINISH_TIMEOUT = 1.0


def connect_engine(endpoint: str, hello: bytes) -> socket.socket:
    """
    Connect and send the greeting, blocking: there is nothing else to do yet.

    :param endpoint: the path of a UNIX socket; `host:port` works as well
    :param hello: handshake and heartbeat, one segment
    :raises DisconnectionError: when there is no engine
    """
    host, _, port = endpoint.rpartition(":")
    where: Any = endpoint
    if host and port.isdigit() and "/" not in endpoint:
        where = (host.strip("[]"), int(port))
    try:
        family, address = address_of(where)
        sock = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        raise DisconnectionError("engine", f"--endpoint {endpoint}: {error}") from error
    try:
        sock.settimeout(CONNECT_TIMEOUT)
        sock.connect(address)
        tune(sock)
        sock.sendall(hello)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise DisconnectionError("engine", f"--endpoint {endpoint}: {error}") from error
    return sock


class Engine:
    """
    Keeps the engine convinced, and notices when it is gone.

    :param owner: the worker, which runs handlers
    :param heartbeat: seconds between heartbeats
    :param disown: seconds to wait for the answer to one
    """

    def __init__(
        self, uuid: str, protocol: int, owner: Worker, heartbeat: float, disown: float
    ) -> None:
        self.machine = WorkerMachine(uuid, protocol, self)
        self._owner = owner
        self._heartbeat = heartbeat
        self._disown = disown
        self._watch = Watch(0)
        self._loop: Any = None
        self._stream: Stream | None = None
        self._stopped: Future | None = None
        self._timer: Any = None
        self._doubt: Any = None
        self._is_ending = False
        # Straight to the owner: invocations are what happens most.
        self.invoked = owner.invoked

    @property
    def is_used(self) -> bool:
        """Whether there is, or was, a connection."""
        return self._stream is not None

    def watch_for(self, seconds: float) -> None:
        """Set after how long a stuck loop is reported."""
        self._watch = Watch(seconds)

    def start(self, loop: Any, sock: Any) -> Future:
        """
        Serve on `loop`; the greeting has been sent.

        :returns: a future that is done when the worker has to end
        """
        self._loop = loop
        self._stopped = Future(loop)
        self._stream = self.machine.stream = Stream(loop, sock)
        self._stream.start(self.machine)
        self._expect_answer()
        return self._stopped

    def stop(self) -> None:
        """Send what is left and let go of everything."""
        self._watch.stop()
        for timer in (self._timer, self._doubt):
            if timer is not None:
                timer.cancel()
        self._timer = self._doubt = None
        if self._stream is not None:
            self._stream.finish(FINISH_TIMEOUT)

    def _expect_answer(self) -> None:
        self._watch.touch()
        if self._doubt is None:
            self._doubt = self._loop.call_later(self._disown, self._disowned)
        self._timer = self._loop.call_later(self._heartbeat, self._beat)

    def _beat(self) -> None:
        if self._stream is not None:
            self._stream.write(self.machine.heartbeat())
            self._expect_answer()

    def heartbeat_answered(self) -> None:
        """The engine is alive."""
        if self._doubt is not None:
            self._doubt.cancel()
            self._doubt = None

    def _disowned(self) -> None:
        self._end(
            f"the engine has not answered a heartbeat in {self._disown} s: disowned"
        )

    def lost(self, reason: str) -> None:
        """The connection to the engine is gone."""
        self._end(f"the connection to the engine is gone: {reason}")

    def _end(self, message: str) -> None:
        if self._stopped is not None and not self._stopped.done():
            self._owner.complain(message)
            self._stopped.set_result(None)

    def terminated(self, code: Any, reason: Any) -> None:
        """Answer with the same frame once the handlers are done, then end."""
        if self._is_ending:
            return
        self._is_ending = True

        def finish() -> None:
            if self._stream is not None and self._stopped is not None:
                self._stream.write(self.machine.terminate(code, reason))
                self._stopped.set_result(None)

        self._owner.drain(finish)
