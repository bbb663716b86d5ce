# -*- test-case-name: cocained.test.test_apps_service -*-
"""
The service under which clients reach one app (protocol.md §7).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import Protocol as Role

from zope.interface import implementer

from cocained.apps.invocation import Invocation
from cocained.component import Still
from cocained.interfaces import IBehindDoors, IDoor
from cocained.rpc.arguments import Signature, blob, integer, optional
from cocained.rpc.dispatch import Protocol
from cocained.rpc.graph import PRIMITIVE, STREAMING
from cocained.rpc.headers import Headers
from cocained.rpc.session import Session
from cocained.rpc.streams import Downstream
from cocained.rpc.view import View, forbidden


class Served(Role):
    """The app behind the service."""

    name: str

    @property
    def enqueue(self) -> Callable[[Session, int, Headers, bytes], Invocation]:
        """Takes an event."""

    def report(self) -> dict[str, Any]:
        """Say how the app is."""

    def control(self, wanted: int) -> None:
        """Keep so many workers; 0 is automatic."""


_AMOUNT = Signature([integer])
_NOTHING = Signature([])


def population_control(app: Served, session: Session, channel: int) -> Downstream:
    """Take numbers of workers from a client, until it says the end or goes away."""

    def write(wanted: int) -> bool:
        app.control(wanted)
        return False

    def automatic() -> bool:
        app.control(0)
        return True

    messages: dict[int, tuple[Signature, Callable[..., bool]]] = {
        0: (_AMOUNT, write),
        1: (_NOTHING, automatic),
        2: (_NOTHING, automatic),
    }
    return Downstream(session, channel, messages, lambda: app.control(0))


@implementer(IBehindDoors)
class AppService(Still):
    """
    Version 1: enqueue, info, control.

    :param app: what is served.
    """

    protocol = Protocol(version=1)

    def __init__(self, app: Served) -> None:
        self.name = app.name
        self._app = app

    def seen_from(self, door: IDoor, walled: bool) -> Any:
        """Others' workers may ask it; how it is run is none of their business."""
        return View(self, info=forbidden, control=forbidden) if walled else self

    @protocol.stream(
        0, blob, optional(blob, b""), dispatch=STREAMING, upstream=STREAMING
    )
    def enqueue(
        self,
        session: Session,
        channel: int,
        headers: Headers,
        event: bytes,
        tag: bytes,
    ) -> Invocation:
        # The tag pinned a worker before 0.12.3 and has been ignored since.
        return self._app.enqueue(session, channel, headers, event)

    @protocol.method(1)
    def info(self) -> dict[str, Any]:
        return self._app.report()

    @protocol.stream(2, dispatch=STREAMING, upstream=PRIMITIVE)
    def control(self, session: Session, channel: int, headers: Headers) -> Downstream:
        return population_control(self._app, session, channel)
