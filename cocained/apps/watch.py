# -*- test-case-name: cocained.test.test_apps_watch -*-
"""
Whether an app has changed in the storage (``auto-update``).

Its manifest, profile and code are written one after the other, and in what order
is up to the tool.  So a change counts once it is *settled*: when two looks in a
row have found the same.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from random import random
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from cocained.apps.edition import Edition
from cocained.apps.rounds import Rounds
from cocained.errors import CocainedError

log = Logger()

#: Seconds until what has failed for a reason that may pass is tried again, at
#: most; it doubles from one interval on.
LAST_DELAY = 3600.0


class Watch:
    """
    Looks at one app's versions.

    :param app: its name.
    :param current: what serves, if that is known.
    :param interval: seconds between two looks.
    :param look: finds what is there now.
    :param settled: hears of another edition than the one that it heard of last,
        not from within a look.
    :param clock: the reactor's.
    :param luck: gives numbers from 0 to below 1.
    """

    def __init__(
        self,
        app: str,
        current: Edition | None,
        interval: float,
        look: Callable[[], Coroutine[Any, Any, Edition]],
        settled: Callable[[Edition], None],
        clock: IReactorTime,
        luck: Callable[[], float] = random,
    ) -> None:
        self._app = app
        self._interval = interval
        self._find = look
        self._settled = settled
        self._clock = clock
        self._rounds = Rounds(clock, interval, self._look, luck)
        #: what the last look has found
        self._seen: Edition | None = None
        #: what was told last
        self._told = current
        self._is_blind = False
        self._is_stopped = False
        self._delay = 0.0
        self._not_before = 0.0
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to look."""
        self._rounds.start()

    def stop(self) -> None:
        """Look no more."""
        self._is_stopped = True
        self._rounds.stop()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def try_again(self) -> None:
        """What was told could not be used for a reason that may pass."""
        self._delay = min(max(2 * self._delay, self._interval), LAST_DELAY)
        self._not_before = self._clock.seconds() + self._delay

    async def _look(self) -> None:
        try:
            found = await self._find()
        except CocainedError as error:
            if not self._is_stopped:
                self._lose_sight(error)
            return
        if self._is_stopped:
            return
        if self._is_blind:
            self._is_blind = False
            log.info("app {app} can be looked at again", app=self._app)
        is_settled = found == self._seen
        self._seen = found
        if is_settled and self._is_news(found):
            self._told = found
            self._not_before = 0.0
            # It may well end in the stop of this very look.
            self._call = self._clock.callLater(0, self._tell, found)

    def _is_news(self, found: Edition) -> bool:
        if found != self._told:
            self._delay = 0.0
            return True
        return 0 < self._not_before <= self._clock.seconds()

    def _tell(self, found: Edition) -> None:
        self._call = None
        self._settled(found)

    def _lose_sight(self, error: CocainedError) -> None:
        # Two looks in a row: what lies between them was not seen.
        self._seen = None
        if not self._is_blind:
            self._is_blind = True
            log.warn(
                "cannot see whether app {app} has changed: {error}; it stays as it is",
                app=self._app,
                error=error,
            )
