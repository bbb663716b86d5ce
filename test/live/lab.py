# -*- test-case-name: cocained.test.live.test_gateways_nftables -*-
"""
Machines on one bridge: network namespaces, and sockets inside them.

Sockets stay where they were made, so clients and servers of several machines
live in threads of one process.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from cocained.test.live.support import missing

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()

#: Seconds that a connection or an answer may take.
ANSWER_TIMEOUT = 10.0


#: The packages of the programs that are needed here and beside.
PACKAGES = {
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "ipvsadm": "ipvsadm",
    "qemu-system-x86_64": "qemu-system-x86",
    "modprobe": "kmod",
    "cpio": "cpio",
    "busybox": "busybox-static",
}


def require(*programs: str) -> None:
    """
    See that these programs are here and that we are root.

    :raises SkipTest: or :exc:`AssertionError`, see :func:`.support.missing`.
    """
    if os.geteuid() != 0:
        raise missing("only root can make machines")
    for program in programs:
        if shutil.which(program) is None:
            raise missing(f"no {program}: install {PACKAGES[program]}")


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Let this thread be on another machine for a while; empty for this one."""
    if not namespace:
        yield
        return
    with (
        open("/proc/thread-self/ns/net") as here,
        open(f"/run/netns/{namespace}") as there,
    ):
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(here.fileno())


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class Lab:
    """
    Some machines on a bridge, which has a namespace of its own.

    Machine *n* of 1… has the addresses ``10.78.0.n`` and ``fd78::n``.
    """

    def __init__(self, machines: int) -> None:
        require("ip", "nft", "nsenter")
        prefix = f"ck{os.getpid()}n{next(_numbers)}"
        self._bridge = f"{prefix}b"
        self.names = [f"{prefix}h{number + 1}" for number in range(machines)]
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        self._stack.close()

    def _build(self) -> None:
        bridge = self._bridge
        self._add(bridge)
        _ip("-n", bridge, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        with inside(bridge):
            # A filter of this machine must not hear of frames on our bridge.
            for family in ("ip", "ip6"):
                knob = Path(f"/proc/sys/net/bridge/bridge-nf-call-{family}tables")
                if knob.exists():
                    knob.write_text("0")
        _ip("-n", bridge, "link", "set", "br0", "up")
        for number, name in enumerate(self.names, 1):
            self._add(name)
            port = f"p{number}"
            _ip(
                *("link", "add", port, "netns", bridge, "type", "veth"),
                *("peer", "name", "eth0", "netns", name),
            )
            _ip("-n", bridge, "link", "set", port, "master", "br0", "up")
            _ip("-n", name, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
            _ip(
                *("-n", name, "addr", "add", f"{self.address6(number)}/64"),
                *("dev", "eth0", "nodad"),
            )
            _ip("-n", name, "link", "set", "eth0", "up")

    def _add(self, name: str) -> None:
        _ip("netns", "add", name)
        self._stack.callback(_ip, "netns", "del", name)
        _ip("-n", name, "link", "set", "lo", "up")

    @staticmethod
    def address(number: int) -> str:
        """Give the address of a machine."""
        return f"10.78.0.{number}"

    @staticmethod
    def address6(number: int) -> str:
        """Give its address of the newer family."""
        return f"fd78::{number}"

    def name(self, number: int) -> str:
        """Give the name of a machine's namespace."""
        return self.names[number - 1]

    def run(self, number: int, *command: str, rules: str = "") -> str:
        """Run a command on a machine, and give its output."""
        return subprocess.run(
            ["nsenter", f"--net=/run/netns/{self.name(number)}", *command],
            check=True,
            capture_output=True,
            text=True,
            input=rules,
        ).stdout


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


class NamedServer:
    """
    Says its name to whoever connects, and then whatever it hears.

    :param name: what it says.
    :param host: where it listens.
    :param namespace: on which machine.
    :param port: at which port; 0 for any.
    """

    def __init__(
        self, name: str, host: str, namespace: str = "", port: int = 0
    ) -> None:
        self.name = name
        self._host = host
        self._namespace = namespace
        self.port = port
        self._connections: list[socket.socket] = []
        self._listen()

    @property
    def endpoint(self) -> tuple[str, int]:
        return self._host, self.port

    def _listen(self) -> None:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        with inside(self._namespace):
            self._socket = socket.create_server(
                (self._host, self.port), family=family, backlog=256
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
    :param namespace: from which machine.

    :ivar server: the name of who answered.
    :raises OSError: nobody did.
    """

    def __init__(self, endpoint: tuple[str, int], namespace: str = "") -> None:
        with inside(namespace):
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
