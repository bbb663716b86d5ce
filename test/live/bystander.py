# -*- test-case-name: cocained.test.live.test_pressure -*-
"""
Somebody who uses a node while others misuse it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread

from typing_extensions import override

from cocained.apps.burdens import PATIENCE
from cocained.errors import RemoteError
from cocained.test.live.support import Client

#: Seconds that no request of a bystander may take.  An event that was at the
#: stuck worker already waits for the client's patience to end; a busy machine
#: adds to it.
LONGEST_WAIT = PATIENCE + 10

#: Seconds between its requests: the machine is for the stream.
REST = 0.002


class Bystander(Thread):
    """
    Makes one request after the other, on a connection of its own.

    :ivar count: requests that were answered.
    :ivar longest: seconds of the slowest.
    :ivar error: what ended it too early.

    :param client: its connection.
    :param ask: makes one request.
    """

    def __init__(self, client: Client, ask: Callable[[Client], object]) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._ask = ask
        self._enough = Event()
        self.count = 0
        self.longest = 0.0
        self.error: Exception | None = None

    @override
    def run(self) -> None:
        try:
            while not self._enough.wait(REST):
                began = time.monotonic()
                self._ask(self._client)
                self.longest = max(self.longest, time.monotonic() - began)
                self.count += 1
        except (OSError, AssertionError, RemoteError) as error:
            self.error = error

    def finish(self) -> None:
        """Let it make its last request."""
        self._enough.set()
        self.join(LONGEST_WAIT + 5)
