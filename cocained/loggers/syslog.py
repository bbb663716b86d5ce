# -*- test-case-name: cocained.test.test_loggers_syslog -*-
"""
The logger ``syslog``: datagrams to the system's log.

A datagram socket can be made never to wait, so no thread is needed: what does
not go out at once is dropped and counted.  The local socket gets the short
form that the C library sends, another machine gets RFC 5424.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import threading
from typing import Annotated, Literal

import msgspec
from typing_extensions import override

from cocained.errors import ConfigError
from cocained.interfaces import INode
from cocained.loggers.format import Record, json_line, stamp, text_body
from cocained.loggers.writer import LineArgs, LineLogger

#: Bytes of a datagram: what every RFC 5424 receiver should take (§6.1).
MAX_REMOTE = 2048

#: Bytes of a local datagram: the default of the usual daemons.
MAX_LOCAL = 8192

#: Seconds between two attempts to reach a socket that is not there.
RETRY = 1.0

#: Port of a UDP address that names none.
PORT = 514

Facility = Literal[
    "user",
    "daemon",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
]

_FACILITIES = {"user": 1, "daemon": 3} | {f"local{n}": 16 + n for n in range(8)}

_SEVERITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


class SyslogArgs(LineArgs, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """Arguments of the logger type ``syslog``."""

    identity: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[A-Za-z0-9._/-]{1,48}$",
            description="Name of the program in the log.",
        ),
    ] = "cocained"
    facility: Annotated[
        Facility, msgspec.Meta(description="Which part of the system speaks.")
    ] = "daemon"
    address: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            description="Path of a UNIX datagram socket, with a slash in it; or a "
            "numeric address with or without a port for UDP, such as 192.0.2.1:514 "
            "or [2001:db8::1]:514.",
        ),
    ] = "/dev/log"


def parse_address(text: str) -> tuple[str, int] | str:
    """
    Read where datagrams go.

    :returns: a path, or a numeric address and a port.
    :raises ConfigError: neither.
    """
    if "/" in text:
        return text
    host, port = text, str(PORT)
    if text.startswith("["):
        host, end, rest = text[1:].partition("]")
        # Without its end, or with more than a port behind it, it is no number.
        port = (rest.removeprefix(":") or port) if end else ""
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        address = ipaddress.ip_address(host)
        number = int(port)
        if not 0 < number < 65536:
            raise ValueError(port)
    except ValueError:
        raise ConfigError(
            f"{text[:256]!r} is no path and no numeric address such as "
            "192.0.2.1:514; names are not looked up",
            path="address",
        ) from None
    return str(address), number


class SyslogLogger(LineLogger[SyslogArgs]):
    """
    Sends each event as one datagram, and never waits.

    :raises ConfigError: the address cannot be read.
    """

    Args = SyslogArgs

    def __init__(self, node: INode, name: str, args: SyslogArgs) -> None:
        super().__init__(node, name, args)
        self._address = parse_address(args.address)
        self._facility = _FACILITIES[args.facility] * 8
        self._hostname = socket.gethostname() or "-"
        self._socket: socket.socket | None = None
        self._retry_at = 0.0
        self._lost = 0
        self._reason = ""
        self._stopped = False
        self._lock = threading.Lock()

    @override
    def stop(self) -> None:
        self._stopped = True
        self._disconnect()

    @override
    def reopen(self) -> None:
        """Connect anew with the next event."""
        self._retry_at = 0.0
        self._disconnect()

    @override
    def _emit(self, record: Record) -> None:
        # Any thread may log.
        with self._lock:
            self._emit_locked(record)

    def _emit_locked(self, record: Record) -> None:
        if self._lost:
            text = f"{self._lost} log lines were lost: {self._reason}"
            if not self._send(self._datagram(self._notice(text))):
                self._lose()
                return
            self._lost = 0
        if not self._send(self._datagram(record)):
            self._lose()

    def _lose(self) -> None:
        self._lost += 1
        self.dropped += 1

    def _datagram(self, record: Record) -> bytes:
        limit = MAX_LOCAL if isinstance(self._address, str) else MAX_REMOTE
        priority = self._facility + _SEVERITIES[record.level]
        identity, pid = self.args.identity, os.getpid()
        if isinstance(self._address, str):
            head = f"<{priority}>{identity}[{pid}]: "
        else:
            head = (
                f"<{priority}>1 {stamp(record.time)} {self._hostname} "
                f"{identity} {pid} - - "
            )
        room = limit - len(head)
        if self.args.format == "json":
            return (head + json_line(record, room)).encode()
        body = text_body(record).encode("utf-8", "replace")
        if len(body) > room:
            mark = f"…[{len(body)} bytes]".encode()
            body = body[: room - len(mark)].decode("utf-8", "ignore").encode() + mark
        return head.encode() + body

    def _send(self, datagram: bytes) -> bool:
        """Send now or not at all."""
        # Twice: a daemon that was started anew has a new socket.
        for _ in range(2):
            try:
                connected = self._connected()
                if connected is None:
                    return False
                connected.send(datagram)
                return True
            except BlockingIOError as error:
                self._reason = os.strerror(error.errno or errno.EAGAIN)
                return False
            except OSError as error:
                self._reason = os.strerror(error.errno or errno.EIO)
                self._disconnect()
        self._retry_at = self.node.reactor.seconds() + RETRY
        return False

    def _connected(self) -> socket.socket | None:
        if self._socket is None:
            if self._stopped or self.node.reactor.seconds() < self._retry_at:
                return None
            address = self._address
            family = socket.AF_UNIX
            if not isinstance(address, str):
                family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            fresh = socket.socket(family, socket.SOCK_DGRAM)
            try:
                fresh.setblocking(False)
                fresh.connect(address)
            except OSError:
                fresh.close()
                raise
            self._socket = fresh
        return self._socket

    def _disconnect(self) -> None:
        old, self._socket = self._socket, None
        if old is not None:
            old.close()
