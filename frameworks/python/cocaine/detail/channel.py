# -*- test-case-name: tests.test_session -*-
"""
The two ends of a call: what the service sends, what it may be sent.
"""

from __future__ import annotations

from functools import partial

from cocaine.detail.future import READY, Future
from cocaine.detail.graph import text
from cocaine.detail.headers import to_dict
from cocaine.detail.inbox import Inbox
from cocaine.detail.values import with_channel
from cocaine.exceptions import ChokeEvent, InvalidMessageType, ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cocaine.detail.graph import Method, RxTree, TxTree
    from cocaine.detail.session import Session


class EmptyResponse:
    """What `rx.get()` gives for the end of a stream; false."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "EmptyResponse()"


class Rx(Inbox):
    """The receiving end of a channel."""

    __slots__ = ("_call", "_headers", "_service", "_tree")

    def __init__(self, loop: Any, service: str) -> None:
        super().__init__(loop)
        self._service = service
        self._tree: RxTree = {}
        self._call: Call | None = None
        self._headers: Any = None

    @property
    def headers(self) -> dict[str, bytes]:
        """Headers of the message last read."""
        return to_dict(self._headers)

    def get(
        self,
        timeout: float = 0,
        protocol: Callable[[str, list[Any]], Any] | None = None,
    ) -> Future:
        """
        Read the next message.

        :param timeout: seconds; 0 waits for ever
        :param protocol: turns `(name, arguments)` into the result, instead of
            the rules below
        :returns: a future. A "value" or a "write" gives its argument, or the list
            of arguments when they are not exactly one; a "close" an
            :class:`EmptyResponse`; an "error" raises :exc:`ServiceError`; any
            other message gives `(name, arguments)`. After the last message:
            :exc:`ChokeEvent`.
        """
        future = self._get(timeout, f"reading from service {self._service!r}")
        if protocol is None:
            return self._decoded(future, _plain)
        return self._decoded(future, protocol)

    def _decoded(self, raw: Future, decode: Callable[[str, list[Any]], Any]) -> Future:
        # The waiter in the queue is `raw`, so `future` must look like it to
        # `wanted`: completing one and cancelling the other go together.
        future = _Decoded(self._loop, raw)

        def finish(_: Any) -> None:
            raw._peer = None
            error = raw.exception()
            if error is not None:
                future.set_exception(error)
                return
            name, args, self._headers = raw.result()
            try:
                if name == "error" and decode is _plain:
                    raise service_error(self._service, args)
                future.set_result(decode(name, args))
            except Exception as problem:
                future.set_exception(problem)

        raw.add_done_callback(finish)
        return future

    def __aiter__(self) -> Rx:
        return self

    async def __anext__(self) -> Any:
        try:
            item = await self.get()
        except ChokeEvent:
            raise StopAsyncIteration from None
        if isinstance(item, EmptyResponse):
            raise StopAsyncIteration
        return item

    def _receive(self, kind: int, args: list[Any], headers: Any) -> bool:
        """Take a message; say whether it was the last one."""
        entry = self._tree.get(kind)
        if entry is None:
            self._lose(
                partial(
                    InvalidMessageType,
                    self._service,
                    f"sent message {kind!r:.20}, which its graph does not allow here",
                )
            )
            return True
        name, after = entry
        size = sum(len(arg) for arg in args if type(arg) is bytes)
        self._put((name, args, headers), size)
        call = self._call
        if call is not None:
            self._call = None
            call._answered(name, args)
        if after is None:
            return False
        self._tree = after
        if not after:
            self._end_with(ChokeEvent)
            return True
        return False

    def _lose(self, end: Callable[[], BaseException]) -> None:
        """End without a message: the connection is gone, or the service broke it."""
        self._end_with(end)
        call, self._call = self._call, None
        if call is not None:
            call.set_exception(end())


class _Decoded(Future):
    """A future made from another one, which it takes along when cancelled."""

    __slots__ = ("_raw",)

    def __init__(self, loop: Any, raw: Future) -> None:
        super().__init__(loop)
        self._raw = raw
        # `wanted` of the raw one has to see an asyncio task that gave up.
        if raw._state == 0:
            raw._peer = _Unwanted(self)

    def cancel(self) -> bool:
        self._raw.cancel()
        return super().cancel()


class _Unwanted:
    """The `done` that a raw future asks of its peer."""

    __slots__ = ("_future",)

    def __init__(self, future: Future) -> None:
        self._future = future

    def done(self) -> bool:
        return not self._future.wanted()


def _plain(name: str, args: list[Any]) -> Any:
    if name in ("value", "write"):
        return args[0] if len(args) == 1 else args
    if name == "close":
        return EmptyResponse()
    return name, args


def service_error(service: str, args: list[Any]) -> ServiceError:
    """
    Read the arguments of an "error" message (protocol.md 2.2), of any age.

    What makes no sense is reported as an :exc:`InvalidMessageType`.
    """
    reason = text(args[1]) if len(args) > 1 else ""
    code = args[0] if args else None
    if type(code) is int:
        return ServiceError(service, reason, code, 0)
    if type(code) is list and len(code) == 2 and type(code[1]) is int:
        return ServiceError(service, reason, code[1], code[0])
    return InvalidMessageType(service, f"sent the malformed error {args!r:.200}")


class Tx:
    """
    The sending end of a channel: ``tx.write(data)``, ``tx.close()``, ...

    Every message of the graph is a method. Each returns a future that is done
    when it is time to send more. Messages sent before the connection is there
    wait for it.
    """

    __slots__ = ("_channel", "_early", "_service", "_session", "_tree")

    def __init__(self, service: str) -> None:
        self._service = service
        self._session: Session | None = None
        self._channel = 0
        self._tree: TxTree = {}
        self._early: list[tuple[str, Any, Any]] = []

    def __getattr__(self, name: str) -> Callable[..., Future]:
        if name.startswith("_"):
            raise AttributeError(name)
        return partial(self._send, name)

    def _send(self, name: str, *args: Any, **headers: Any) -> Future:
        session = self._session
        if session is None:
            self._early.append((name, args, headers))
            return READY
        entry = self._tree.get(name)
        if entry is None:
            if not self._tree:
                raise ChokeEvent(
                    f"nothing more can be sent to service {self._service!r} in this "
                    "channel"
                )
            raise AttributeError(
                f"service {self._service!r} takes no {name!r} here; it takes "
                + ", ".join(sorted(self._tree))
            )
        kind, after = entry
        future = session.send(self._channel, kind, args, headers)
        if after is not None:
            self._tree = after
        return future

    def _bind(self, session: Session, channel: int, tree: TxTree) -> None:
        self._session = session
        self._channel = channel
        self._tree = tree
        early, self._early = self._early, []
        for name, args, headers in early:
            self._send(name, *args, **headers)


class Channel:
    """
    A call in progress.

    :ivar rx: what comes, see :meth:`Rx.get`
    :ivar tx: what may be sent, see :class:`Tx`
    """

    __slots__ = ("rx", "tx")

    def __init__(self, rx: Rx, tx: Tx) -> None:
        self.rx = rx
        self.tx = tx


class Call(Future):
    """
    A call of a service's method; what ``service.method(...)`` returns.

    As a future it gives the value of a method with one answer, as an instance
    that also has `rx` and `tx`, and the :class:`Channel` of any other method. It
    fails with :exc:`ServiceError` when the one answer is an error.

    :ivar rx: the receiving end, usable at once
    :ivar tx: the sending end, usable at once
    """

    __slots__ = ("rx", "tx")

    def __init__(self, loop: Any, service: str) -> None:
        super().__init__(loop)
        self.rx = Rx(loop, service)
        self.tx = Tx(service)

    def _opened(self, session: Session, channel: int, method: Method) -> None:
        self.rx._tree = method.rx
        if method.is_single:
            self.rx._call = self
        elif not method.rx:
            self.rx._end_with(ChokeEvent)
        self.tx._bind(session, channel, method.tx)
        if not method.is_single:
            self.set_result(Channel(self.rx, self.tx))

    def _answered(self, name: str, args: list[Any]) -> None:
        rx = self.rx
        if name == "error":
            self.set_exception(service_error(rx._service, args))
        else:
            self.set_result(with_channel(_plain(name, args), rx, self.tx))

    def _failed(self, error: BaseException) -> None:
        self.rx._end_with(lambda: error)
        self.set_exception(error)
