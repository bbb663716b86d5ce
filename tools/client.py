# -*- test-case-name: cocained.test.test_tools_client -*-
"""
One run of the tool: its connections, its output, its surroundings.

Commands are coroutines that take a :class:`Client` and nothing else of the
world, so that tests run them against services in memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from cocained.errors import CocainedError
from cocained.interfaces import IReactor
from cocained.rpc.calls import Stream
from cocained.rpc.client import Locator, RemoteService
from cocained.rpc.connection import NotConnected, TimedOut, address_text, limited
from cocained.rpc.outbox import Progress
from cocained.rpc.wire import Limits, Wiring
from cocained.tools.failures import (
    EXIT_DONE,
    ServiceError,
    Unreachable,
    is_unknown_service,
)
from cocained.tools.output import Output
from cocained.tools.store import Store

#: Seconds that a node may take no byte of an upload.  Generous: the command
#: has a limit of its own.
WRITE_STALL = 120.0

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """
    What the command line and the files say.

    :param host: of the locator.
    :param port: of the locator.
    :param timeout: seconds for one call.
    :param as_json: whether to print for scripts.
    :param verbose: how many ``-v``.
    """

    host: str
    port: int
    timeout: float
    as_json: bool = False
    verbose: int = 0


@dataclass
class Surroundings:
    """
    What a run touches besides the network; tests put their own in place.

    :param edit: shows a text in the user's editor and gives the new one, or
        ``None`` when it was not saved.
    :param read_stdin: fires with the next bytes of standard input, ``b""`` at
        its end.
    :param now: seconds since the epoch.
    """

    edit: Callable[[str], str | None]
    read_stdin: Callable[[], Awaitable[bytes]]
    now: Callable[[], float] = field(default=time.time)


class Client:
    """
    The node's services, connected as they are used.

    :param reactor: sockets and time.
    :param settings: where the node is.
    :param output: where to print.
    :param surroundings: editor, standard input, wall clock.

    :ivar status: with which the tool ends, if nothing fails.
    """

    def __init__(
        self,
        reactor: IReactor,
        settings: Settings,
        output: Output,
        surroundings: Surroundings,
    ) -> None:
        self.settings = settings
        self.output = output
        self.surroundings = surroundings
        self.status = EXIT_DONE
        self._reactor = reactor
        self._wiring = Wiring(reactor, Limits(write_stall=WRITE_STALL))
        self._services: dict[str, RemoteService] = {}
        self.locator = Locator(
            self._wiring, settings.host, settings.port, settings.timeout
        )
        self._services["locator"] = self.locator.service

    @property
    def clock(self) -> IReactorTime:
        """The reactor's time."""
        return self._reactor

    @cached_property
    def store(self) -> Store:
        """Documents and archives."""
        return Store(self)

    def service(self, name: str) -> RemoteService:
        """A service of the node by name."""
        if name not in self._services:
            self._services[name] = RemoteService(
                self._wiring, self.locator, name, self.settings.timeout
            )
        return self._services[name]

    async def call(
        self,
        service: str,
        method: str,
        *args: Any,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Any:
        """
        Call a method.

        :returns: the value as it was decoded.
        :raises Unreachable: there is no node.
        :raises ServiceError: the service, or the way to it, failed.
        """
        return await self.explain(
            service,
            self.service(service).call(
                method, *args, timeout=timeout, progress=progress
            ),
        )

    async def stream(self, service: str, method: str, *args: Any) -> Stream:
        """Open a stream; raises as :meth:`call` does."""
        return await self.explain(service, self.service(service).stream(method, *args))

    async def explain(self, service: str, waited: Awaitable[T]) -> T:
        """
        Wait, and say of a failure who failed.

        :raises Unreachable, ServiceError: in place of what was raised.
        """
        try:
            return await waited
        except NotConnected as error:
            if error.peer == "service 'locator'":
                address = address_text(self.locator.address)
                # Each reason begins with the address, which is said already.
                reasons = [f.removeprefix(f"{address}: ") for f in error.failures]
                raise Unreachable(address, "; ".join(reasons)) from error
            hint = "the node announces it, but its port cannot be reached from here"
            raise ServiceError(service, error, hint) from error
        except TimedOut as error:
            hint = "--timeout gives it more time"
            raise ServiceError(service, error, hint) from error
        except CocainedError as error:
            hint = ""
            if is_unknown_service(error):
                # A locator is there if it says so: it lacks what it was asked for.
                lacks = "such service" if service == "locator" else repr(service)
                hint = (
                    f"the node at {address_text(self.locator.address)} has no"
                    f" {lacks}: is it in the node's configuration, or is it an"
                    " app that has to be started, or a routing group with a member"
                    " that is not there?"
                )
            raise ServiceError(service, error, hint) from error

    def limited(self, deferred: Deferred[T], seconds: float, what: str) -> Deferred[T]:
        """Give up a wait after some seconds."""
        return limited(deferred, seconds, self._reactor, what)

    async def breathe(self) -> None:
        """Let signals and sockets have their turn during long work."""
        await deferLater(self._reactor, 0)

    async def close(self) -> None:
        """Let all connections go, when what was sent has left."""
        closing = [service.close() for service in self._services.values()]
        for closed in closing:
            await closed


def router_name(now: float) -> str:
    """A name for a routing stream that no other tool uses (tools.md §2.1)."""
    return f"tools:{os.uname().nodename}_{os.getpid()}_{now}"
