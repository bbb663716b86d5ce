# -*- test-case-name: cocained.test.test_storages_reach -*-
"""
Whether a storage's server can be reached, and when to try again.

While it cannot, operations fail at once with the reason instead of each waiting
for a connection; one attempt at a time is made, less and less often.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from cocained.errors import StorageError

#: Seconds before the first attempt, and the most before any: a server that
#: restarts is back in well under a second, and one that was repaired by hand is
#: found before its operator looks.
FIRST_WAIT = 0.1
LONGEST_WAIT = 10.0


class Reach:
    """
    The state of one server.

    :param clock: the reactor's.
    :param name: of the storage.
    :param attempt: tries to speak with the server.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, name: str, attempt: Callable[[], Deferred[None]]
    ) -> None:
        #: Why operations would be in vain now.
        self.problem: StorageError | None = None
        self._clock = clock
        self._name = name
        self._attempt = attempt
        self._since = 0.0
        self._wait = FIRST_WAIT
        self._call: IDelayedCall | None = None
        self._trying = False
        self._stopped = False

    def failed(self, error: StorageError) -> None:
        """
        Hear that an operation did not reach the server.

        One that took too long may have been slow by itself, so an attempt is made
        before all others are refused.
        """
        if self._stopped or self.problem is not None:
            return
        if error.code == errno.ETIMEDOUT:
            self._try()
        else:
            self._lost(error)

    def lost(self, error: StorageError) -> None:
        """Hear that an attempt has failed."""
        if not self._stopped and self.problem is None:
            self._lost(error)

    def stop(self) -> None:
        """Try no more."""
        self._stopped = True
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _lost(self, error: StorageError) -> None:
        self.problem = error
        self._since = self._clock.seconds()
        self._wait = FIRST_WAIT
        self._log.warn(
            "storage {storage} cannot be reached, and will be tried again: {error}",
            storage=self._name,
            error=error,
        )
        self._later()

    def _later(self) -> None:
        # Many nodes lose one server at the same moment, and come back spread out.
        seconds = self._wait * random.uniform(0.75, 1.25)
        self._wait = min(self._wait * 2, LONGEST_WAIT)
        if not self._trying:
            self._call = self._clock.callLater(seconds, self._try)

    def _try(self) -> None:
        self._call = None
        if not self._trying:
            self._trying = True
            self._attempt().addCallbacks(self._cb_reached, self._eb_failed)

    def _cb_reached(self, ignored: None) -> None:
        self._trying = False
        if self.problem is not None:
            self.problem = None
            self._log.info(
                "storage {storage} can be reached again after {seconds:.1f} s",
                storage=self._name,
                seconds=self._clock.seconds() - self._since,
            )

    def _eb_failed(self, failure: Failure) -> None:
        self._trying = False
        error = failure.value
        assert isinstance(error, StorageError)
        if self._stopped:
            return
        if self.problem is None:
            self._lost(error)
        else:
            # The latest reason is the one to look at.
            self.problem = error
            self._later()
