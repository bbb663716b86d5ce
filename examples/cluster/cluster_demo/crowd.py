# -*- test-case-name: cocained.test.live.test_cluster_demo -*-
"""
Clients of an app, each of which does what the published ones do.

::

    python -m cluster_demo.crowd SECONDS APP ADDRESS…

A client asks a locator where the app is, connects there and asks its requests,
one after the other.  When the connection breaks it asks anew, and another
locator if the first is not there.  For each request that was sent there is a line
of JSON: when it ended, in seconds; the milliseconds it took; who answered; why
nobody did.  The last line is ``null``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from cocained.errors import CocainedError
from cocained.interfaces import IReactor
from cocained.rpc.calls import END
from cocained.rpc.client import Locator, RemoteService
from cocained.rpc.wire import Wiring

#: Clients at one time.
CLIENTS = 12

#: Seconds between two requests of one of them.
PAUSE = 0.04

#: Requests until it asks a locator again, as one who comes new would.
STINT = 25

#: Seconds in which a locator and the app must be reached.
REACH_TIMEOUT = 1.0

#: Seconds for an answer.
ANSWER_TIMEOUT = 3.0


class Crowd:
    """
    All clients.

    :param reactor: the reactor.
    :param seconds: how long they ask.
    :param app: whose event of the same name they call.
    :param locators: addresses of hosts.
    """

    def __init__(
        self, reactor: IReactor, seconds: float, app: str, locators: Sequence[str]
    ) -> None:
        self._reactor = reactor
        self._wiring = Wiring(reactor)
        self._began = reactor.seconds()
        self._seconds = seconds
        self._app = app
        self._locators = locators

    @property
    def now(self) -> float:
        """Seconds since they began."""
        return self._reactor.seconds() - self._began

    def run(self) -> Deferred[Any]:
        """Ask; fires when all have ended."""
        clients = [self._ask_on(number) for number in range(CLIENTS)]
        return gatherResults([Deferred.fromCoroutine(each) for each in clients])

    async def _ask_on(self, turn: int) -> None:
        while self.now < self._seconds:
            turn += 1
            locator = Locator(self._wiring, self._locators[turn % len(self._locators)])
            service = RemoteService(self._wiring, locator, self._app)
            try:
                for _ in range(STINT):
                    await self._pause()
                    if self.now >= self._seconds or not await self._ask(service):
                        break
            finally:
                await service.close()
                await locator.close()

    async def _pause(self) -> None:
        await deferLater(self._reactor, PAUSE)

    async def _ask(self, service: RemoteService) -> bool:
        """Ask once; says whether the connection is still good."""
        try:
            await service.connect(REACH_TIMEOUT)
            stream = await service.stream("enqueue", self._app, timeout=REACH_TIMEOUT)
            began = self.now
            stream.close()
        except CocainedError:
            # Nobody is there, so nothing was asked: another locator will know.
            return False
        try:
            async with stream:
                answer = await stream.read(ANSWER_TIMEOUT)
                while await stream.read(ANSWER_TIMEOUT) is not END:
                    pass
        except CocainedError as error:
            self._tell(began, "", str(error))
            return False
        self._tell(began, answer.decode(), "")
        return True

    def _tell(self, began: float, host: str, cause: str) -> None:
        took = round((self.now - began) * 1000, 3)
        print(json.dumps([round(self.now, 3), took, host, cause]), flush=True)


def main(arguments: Sequence[str]) -> None:
    """Be the program."""
    from twisted.internet import task

    seconds, app, *locators = arguments

    def begin(reactor: Any) -> Deferred[Any]:
        return Crowd(reactor, float(seconds), app, locators).run()

    try:
        task.react(begin)
    finally:
        print(json.dumps(None), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
