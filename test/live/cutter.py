# -*- test-case-name: cocained.test.live.test_storages_redis -*-
"""
A way to a server that is cut in the middle.
"""

from __future__ import annotations

import contextlib
import socket
import threading

from cocained.test.live.support import LOOPBACK


class Cutter:
    """
    Passes connections on to a port, and cuts each after so many bytes.

    :param port: where the server is.
    :ivar allowance: bytes towards the server after which a connection is reset;
        ``None`` for none.
    :ivar cuts: how often that has happened.
    """

    def __init__(self, port: int) -> None:
        self.allowance: int | None = None
        self.cuts = 0
        self._port = port
        self._server = socket.create_server((LOOPBACK, 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                server = socket.create_connection((LOOPBACK, self._port))
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for pair in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._relay, args=pair, daemon=True).start()

    def _relay(
        self, source: socket.socket, target: socket.socket, is_request: bool
    ) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                left = self.allowance
                if is_request and left is not None and passed + len(data) > left:
                    # Some of it arrives, as it does when a cable is pulled.
                    target.sendall(data[: max(0, left - passed)])
                    self.cuts += 1
                    break
                passed += len(data)
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
