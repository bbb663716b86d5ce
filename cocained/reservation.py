# -*- test-case-name: cocained.test.test_reservation -*-
"""
Ports that are kept free of listeners, for those who want them untouched.
"""

from __future__ import annotations

import socket


class Reservation:
    """
    A TCP port that nobody else gets, and at which nobody listens.

    The socket is bound and that is all: whoever connects is refused, unless the
    kernel is told to do something else with such connections.  Addresses are
    not shared, not even with what an earlier connection has left behind.

    :param interface: numeric address.
    :param number: the port, or 0 for the system's choice.
    :raises OSError: it cannot be had.
    """

    def __init__(self, interface: str, number: int) -> None:
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            if interface == "::":
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self._socket.bind((interface, number))
            self.number: int = self._socket.getsockname()[1]
        except OSError:
            self._socket.close()
            raise

    def release(self) -> None:
        """Let others have the port."""
        self._socket.close()
