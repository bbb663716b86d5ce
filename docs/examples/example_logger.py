# -*- test-case-name: cocained.test.test_docs_examples -*-
"""A logger of one's own: an object of JSON per datagram, to a collector."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from twisted.logger import ILogObserver, formatEvent
from zope.interface import implementer

from cocained.component import Component
from cocained.interfaces import LOG_SOURCE, ILogger, INode

#: Characters of a message: what is left of a datagram of 8 KiB in the worst case.
MESSAGE_LIMIT = 1024


class UdpArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of the UDP logger."""

    host: Annotated[str, msgspec.Meta(description="Numeric IPv4 address.")]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535, description="UDP port.")]


@implementer(ILogger, ILogObserver)
class UdpLogger(Component[UdpArgs]):
    """Type ``udp``."""

    Args = UdpArgs

    def __init__(self, node: INode, name: str, args: UdpArgs) -> None:
        super().__init__(node, name, args)
        self._socket: socket.socket | None = None
        #: datagrams that did not go out
        self.dropped = 0

    def start(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def stop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def reopen(self) -> None:
        """There is no file to open anew."""

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Never raise, never wait: a logger is no reason for a node to fail."""
        try:
            if self._socket is not None:
                address = (self.args.host, self.args.port)
                self._socket.sendto(datagram(event), address)
        except Exception:
            self.dropped += 1


def datagram(event: Mapping[str, Any]) -> bytes:
    """Pack an event; ASCII, so that no control character gets out."""
    level = event.get("log_level")
    source = event.get(LOG_SOURCE) or event.get("log_namespace", "")
    return json.dumps(
        {
            "time": event.get("log_time"),
            "level": level.name if level is not None else "info",
            "source": str(source)[:MESSAGE_LIMIT],
            "message": formatEvent(dict(event))[:MESSAGE_LIMIT],
        }
    ).encode()
