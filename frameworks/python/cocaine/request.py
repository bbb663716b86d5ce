# -*- test-case-name: tests.test_inbox -*-
"""
What a handler is given: the request it reads, the response it writes.
"""

from __future__ import annotations

from cocaine.detail.codec import pack
from cocaine.detail.future import READY
from cocaine.detail.graph import text
from cocaine.detail.headers import Trace, to_dict
from cocaine.detail.inbox import Inbox
from cocaine.detail.values import WRAPPED, to_plain
from cocaine.exceptions import CATEGORY, ChokeEvent, RequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cocaine.detail.future import Future
    from cocaine.detail.machine import WorkerMachine


class Request(Inbox):
    """The client's half of an invocation."""

    __slots__ = ("_event", "_headers")

    def __init__(self, loop: Any, event: Any, headers: Any) -> None:
        super().__init__(loop)
        self._event = event
        self._headers = headers

    @property
    def event(self) -> str:
        """The name of the event."""
        return text(self._event)

    @property
    def headers(self) -> dict[str, bytes]:
        """Headers of the message last read; of the invocation before that."""
        return to_dict(self._headers)

    @property
    def trace(self) -> Trace | None:
        """The trace of the message last read, to pass on as ``trace=``."""
        return Trace.from_headers(self.headers)

    def read(self, timeout: float = 0) -> Future:
        """
        Read the next chunk.

        :param timeout: seconds; 0 waits for ever
        :returns: a future of bytes. It raises :exc:`ChokeEvent` after the client
            has closed its half, :exc:`RequestError` when the client reported an
            error or is gone, `TimeoutError` when the time is up, and
            :exc:`OverrunError` when too much was left unread.
        """
        return self._get(timeout, "reading the request")

    def __aiter__(self) -> Request:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.read()
        except ChokeEvent:
            raise StopAsyncIteration from None

    def _open(self, item: Any) -> Any:
        data, self._headers = item
        return data

    def _push(self, data: Any, headers: Any) -> None:
        self._put((data, headers), len(data) if type(data) is bytes else 0)

    def _choke(self) -> None:
        self._end_with(ChokeEvent)

    def _fail(self, category: int, code: int, reason: str) -> None:
        self._end_with(lambda: RequestError(category, code, reason))


class Response:
    """
    The worker's half of an invocation.

    Once it is closed, by `close`, by an error or by the end of the handler,
    everything further is ignored.
    """

    __slots__ = ("_channel", "_closed", "_machine")

    def __init__(self, machine: WorkerMachine, channel: int) -> None:
        self._machine = machine
        self._channel = channel
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the answer is complete."""
        return self._closed

    def write(self, data: Any) -> Future:
        """
        Send a chunk.

        :param data: bytes as they are, text as UTF-8; any other plain value is
            packed with msgpack, old raw family
        :returns: a future that is done when it is time to write more: yield it
            when the answer is long
        :raises TypeError: when it cannot be packed
        :raises OverrunError: when far too much is waiting to be sent
        """
        if self._closed:
            return READY
        if not isinstance(data, (bytes, str)):
            if isinstance(data, (bytearray, memoryview)):
                data = bytes(data)
            else:
                data = pack(to_plain(data) if isinstance(data, WRAPPED) else data)
        machine = self._machine
        machine.stream.check_room()
        machine.write(self._channel, data)
        drained: Future = machine.stream.drained()
        return drained

    def close(self) -> None:
        """Complete the answer."""
        if not self._closed:
            self._closed = True
            self._machine.close(self._channel)

    def error(self, code: int, reason: str = "", category: int = CATEGORY) -> None:
        """
        Complete the answer with an error.

        :param code: any integer; the client sees it
        :param reason: text for the client
        :param category: 42, the frameworks' own; a runtime passes on the
            categories it knows and turns others into 255
        :raises OverflowError: when a number does not fit 64 bits
        """
        if not self._closed:
            # Lone surrogates, of file names perhaps, cannot travel as they are.
            text = str(reason).encode("utf-8", "backslashreplace").decode()
            self._machine.error(self._channel, int(category), int(code), text)
            self._closed = True

    def error_code(self, category: int, code: int, reason: str = "") -> None:
        """Complete the answer with an error of the given category."""
        self.error(code, reason, category)
