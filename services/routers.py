# -*- test-case-name: cocained.test.test_services_routers -*-
"""
Routers: clients that choose members of routing groups themselves, and follow the
rings of a locator (protocol.md §3.5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cocained.errors import Category, CocainedError, NodeCode
from cocained.rpc.arguments import Signature
from cocained.rpc.codec import pack
from cocained.rpc.headers import Header
from cocained.rpc.session import Session
from cocained.rpc.streams import Downstream, Upstream
from cocained.services.groups import Rings

#: Most routers at a time: a proxy is one at each node that it talks to, and is sent
#: all rings.  As many as nodes may listen.
ROUTER_LIMIT = 4096

_NOTHING = Signature([])
_NO_VALUES = pack([])


class TooManyRouters(CocainedError):
    """As many routers follow the rings as may."""

    category = Category.NODE
    code = NodeCode.RESOURCE


class Router:
    """
    One router.  While it does not read it is told nothing, and the rings that
    there are then when it does.

    :param routers: all of them.
    :param session: its connection.
    :param channel: where it listens.
    :param headers: of its request.
    :raises InvalidTrace: see :class:`~cocained.rpc.streams.Upstream`.
    """

    def __init__(
        self, routers: Routers, session: Session, channel: int, headers: list[Header]
    ) -> None:
        self.upstream = Upstream(session, channel, headers, _packed_before)
        self._routers = routers
        self._session = session

    def tell(self) -> None:
        """Tell all rings."""
        if self._session.congested:
            self._session.hold(self)
        else:
            self.upstream.write(self._routers.packed)

    def leave(self) -> None:
        """It is told nothing more."""
        self.upstream.closed = True
        self._session.let_go(self)

    # Source, for the session

    def halt(self) -> None:
        """There is nothing to stop: rings replace each other."""

    def release(self) -> None:
        """The client reads again."""
        if self._session.connected:
            self.upstream.write(self._routers.packed)


class Routers:
    """
    All routers, by the uuids that they give themselves.

    :param rings: gives those that there are.
    """

    def __init__(self, rings: Callable[[], Rings]) -> None:
        self._rings = rings
        self._routers: dict[str, Router] = {}
        self._packed: bytes | None = None

    @property
    def packed(self) -> bytes:
        """The rings as they travel; packed once for everybody."""
        if self._packed is None:
            self._packed = pack([self._rings()])
        return self._packed

    def follow(
        self, name: str, session: Session, channel: int, headers: list[Header]
    ) -> Downstream:
        """
        Tell the rings to one more router, now and after each change.

        A second stream of a router silently replaces the first.

        :returns: for what it sends meanwhile.
        :raises TooManyRouters: see :data:`ROUTER_LIMIT`.
        :raises InvalidTrace: the headers hold a bad trace.
        """
        former = self._routers.get(name)
        if former is None and len(self._routers) >= ROUTER_LIMIT:
            raise TooManyRouters(
                f"{ROUTER_LIMIT} routers follow the rings of this node already, the"
                " limit; let some of them follow another node"
            )
        router = Router(self, session, channel, headers)
        if former is not None:
            former.leave()
        self._routers[name] = router
        router.tell()

        def forget() -> bool:
            if self._routers.get(name) is router:
                del self._routers[name]
            router.leave()
            return True

        return Downstream(session, channel, {0: (_NOTHING, forget)}, forget)

    def tell(self) -> None:
        """Rings may have changed."""
        self._packed = None
        # One whose connection breaks leaves meanwhile.
        for router in list(self._routers.values()):
            router.tell()

    def close(self) -> None:
        """End all streams."""
        routers, self._routers = self._routers, {}
        for router in routers.values():
            router.upstream.close()
            router.leave()


def _packed_before(values: list[Any]) -> bytes:
    packed: bytes = values[0] if values else _NO_VALUES
    return packed
