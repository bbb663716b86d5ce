# -*- test-case-name: tests.test_stream -*-
"""
Making connections: addresses, non-blocking connect, socket options.
"""

from __future__ import annotations

import socket
from errno import EINPROGRESS, EWOULDBLOCK
from os import strerror

from cocaine.detail.future import Future

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Seconds for one address. A dead host answers nothing at all, and the next
#: address of the list deserves its chance while the caller still waits.
CONNECT_TIMEOUT = 5.0
#: Keep-alive, as the published framework sets it: idle, interval, probes.
_KEEPALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 5))


def address_of(endpoint: Any) -> tuple[int, Any]:
    """
    Find the family and the address of an endpoint.

    :param endpoint: `(host, port)` as a locator gives it, host bytes or text,
        or the path of a UNIX socket, alone or as the host. A host name that is not numeric is looked
        up on the spot, which blocks; locators announce numeric ones.
    :raises OSError: when a name cannot be resolved
    :raises ValueError: when it is no endpoint at all
    """
    if isinstance(endpoint, bytes):
        endpoint = endpoint.decode()
    if isinstance(endpoint, str):
        return socket.AF_UNIX, endpoint
    try:
        host, port = endpoint[0], endpoint[1]
        host = host.decode() if isinstance(host, bytes) else str(host)
        port = int(port)
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{endpoint!r:.80} is not [host, port]") from error
    if host.startswith("/"):
        return socket.AF_UNIX, host
    if not 0 < port < 65536:
        raise ValueError(f"port {port} is out of range")
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return family, (host, port)
    # Bytes, because text would import the idna codec and its tables.
    found = socket.getaddrinfo(host.encode(), port, type=socket.SOCK_STREAM)
    return found[0][0], found[0][4]


def tune(sock: socket.socket) -> None:
    """Set no-delay and keep-alive on a TCP socket."""
    if sock.family == getattr(socket, "AF_UNIX", None):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def connect(loop: Any, endpoint: Any, timeout: float = CONNECT_TIMEOUT) -> Future:
    """
    Connect without blocking.

    :param timeout: seconds
    :returns: a future of the socket, or `OSError` or `ValueError`
    """
    future = Future(loop)
    try:
        family, address = address_of(endpoint)
        sock = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        future.set_exception(error)
        return future
    try:
        sock.setblocking(False)
        tune(sock)
        code = sock.connect_ex(address)
    except (OSError, OverflowError) as error:
        sock.close()
        future.set_exception(error)
        return future
    if code == 0:
        future.set_result(sock)
        return future
    if code not in (EINPROGRESS, EWOULDBLOCK):
        sock.close()
        future.set_exception(OSError(code, strerror(code)))
        return future

    def connected() -> None:
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            future.set_exception(OSError(code, strerror(code)))
        else:
            future.set_result(sock)

    def settled(_: Any) -> None:
        loop.remove_writer(sock)
        if future.exception() is not None:
            sock.close()

    loop.add_writer(sock, connected)
    future.add_done_callback(settled)
    future.expire_after(timeout, "connect")
    return future
