# -*- test-case-name: cocained.test.live.test_gateways_nftables -*-
"""
Servers that say who they are, and clients that remember it.

Sockets stay on the host where they were made, so clients and servers of several
hosts of a lab live in threads of one process.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from contextlib import AbstractContextManager

from cocained.testing.lab import Host

#: Seconds that a connection or an answer may take.
ANSWER_TIMEOUT = 10.0


def _on(host: Host | None) -> AbstractContextManager[None]:
    return contextlib.nullcontext() if host is None else host.inside()


class NamedServer:
    """
    Says its name to whoever connects, and then whatever it hears.

    :param name: what it says.
    :param address: where it listens.
    :param host: on which host of a lab, if it is not this machine.
    """

    def __init__(self, name: str, address: str, host: Host | None = None) -> None:
        self.name = name
        self._address = address
        self._host = host
        self.port = 0
        self._connections: list[socket.socket] = []
        self._listen()

    @property
    def endpoint(self) -> tuple[str, int]:
        return self._address, self.port

    def _listen(self) -> None:
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        with _on(self._host):
            self._socket = socket.create_server(
                (self._address, self.port), family=family, backlog=256
            )
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, args=(self._socket,), daemon=True).start()

    def _serve(self, server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(
                target=self._answer, args=(connection,), daemon=True
            ).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.sendall(f"{self.name}\n".encode())
            while data := connection.recv(65536):
                connection.sendall(data)

    def refuse(self) -> None:
        """Accept no more connections; those that there are live on."""
        # Wakes the thread, which closing alone does not.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def accept(self) -> None:
        """Accept connections again, at the same port."""
        self._listen()

    def close(self) -> None:
        """End everything."""
        with contextlib.suppress(OSError):
            self.refuse()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Conversation:
    """
    One connection of a client.

    :param endpoint: where to.
    :param host: from which host of a lab, if not from this machine.

    :ivar server: the name of who answered.
    :raises OSError: nobody did.
    """

    def __init__(self, endpoint: tuple[str, int], host: Host | None = None) -> None:
        with _on(host):
            self._socket = socket.create_connection(endpoint, ANSWER_TIMEOUT)
        try:
            self._file = self._socket.makefile("rwb")
            self.server = self._file.readline().decode().strip()
            if not self.server:
                raise ConnectionResetError("closed without a word")
        except BaseException:
            self._socket.close()
            raise

    def echo(self, word: str) -> str:
        """Say something, and give the answer."""
        self._file.write(f"{word}\n".encode())
        self._file.flush()
        return self._file.readline().decode().strip()

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()


def count(
    number: int, endpoint: tuple[str, int], host: Host | None = None
) -> Counter[str]:
    """Connect so many times, one after the other, and say who answered."""
    found: Counter[str] = Counter()
    for _ in range(number):
        conversation = Conversation(endpoint, host)
        found[conversation.server] += 1
        conversation.close()
    return found
