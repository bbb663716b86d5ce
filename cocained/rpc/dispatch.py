# -*- test-case-name: cocained.test.test_rpc_dispatch -*-
"""
A service's methods as the slots of its root graph.

A service declares what it offers in its class body::

    class EchoService(Component[NoArgs]):
        protocol = Protocol(version=1)

        @protocol.method(0, blob)
        def ping(self, message: bytes) -> bytes:
            return message

*Methods* take converted arguments and answer with a value, a Deferred of one,
or an exception.  *Mute* methods never answer.  *Streams* take the coordinates
of their channel as well and do the talking themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from cocained.errors import CocainedError, SlotNotFound
from cocained.rpc.arguments import Converter, Signature
from cocained.rpc.codec import frame_head, pack
from cocained.rpc.graph import (
    PRIMITIVE,
    STREAMING,
    TERMINAL,
    Nested,
    Root,
)
from cocained.rpc.headers import UNTRACED, Header, reply_headers
from cocained.rpc.session import Session

log = Logger()

#: Most calls of one connection that may wait for their answers; beyond it the
#: connection is read no further.
CALL_LIMIT = 1024

F = TypeVar("F", bound=Callable[..., Any])
Slot = Callable[[Session, int, list[Any], list[Header]], None]


class Packed(NamedTuple):
    """The packed argument list of an answer that is the same for everyone."""

    data: bytes


class Declaration(NamedTuple):
    """One method as its service declared it."""

    name: str
    attribute: str
    signature: Signature
    dispatch: Nested | None
    upstream: Nested
    bind: Callable[[Declaration, Callable[..., Any]], Slot]


class Protocol:
    """
    What a service offers: numbered methods.

    :param version: reported by ``resolve`` (protocol.md §2.1).
    """

    def __init__(self, version: int) -> None:
        self.version = version
        self.declarations: dict[int, Declaration] = {}

    @property
    def graph(self) -> Root:
        """The root graph, without the control messages."""
        return {
            number: (d.name, d.dispatch, d.upstream)
            for number, d in sorted(self.declarations.items())
        }

    def method(self, number: int, *arguments: Converter) -> Callable[[F], F]:
        """
        Declare a method with one answer.

        The function returns the answer: ``None`` for an empty one, a tuple for
        several values, a :class:`Packed`, or a Deferred of any of them.
        """
        return self._declare(number, arguments, TERMINAL, PRIMITIVE, _bind_method)

    def mute(self, number: int, *arguments: Converter) -> Callable[[F], F]:
        """Declare a method without an answer, not even an error."""
        return self._declare(number, arguments, TERMINAL, TERMINAL, _bind_mute)

    def stream(
        self,
        number: int,
        *arguments: Converter,
        dispatch: Nested = TERMINAL,
        upstream: Nested = STREAMING,
        name: str | None = None,
    ) -> Callable[[F], F]:
        """
        Declare a method that talks on its channel by itself.

        The function is called as ``function(session, channel, headers,
        *arguments)``.  It returns the receiver for what the client sends
        next, or ``None`` if that is of no interest; what it raises goes out
        as an error.

        :param dispatch: what the client may send afterwards.
        :param upstream: what it may be sent.
        :param name: on the wire, if it is not the function's.
        """
        return self._declare(number, arguments, dispatch, upstream, _bind_stream, name)

    def _declare(
        self,
        number: int,
        arguments: tuple[Converter, ...],
        dispatch: Nested,
        upstream: Nested,
        bind: Callable[[Declaration, Callable[..., Any]], Slot],
        name: str | None = None,
    ) -> Callable[[F], F]:
        def decorate(function: F) -> F:
            if number in self.declarations:
                raise TypeError(f"method {number} is declared twice")
            attribute = function.__name__
            self.declarations[number] = Declaration(
                name or attribute,
                attribute,
                Signature(arguments),
                dispatch,
                upstream,
                bind,
            )
            return function

        return decorate

    def extend(self, version: int | None = None) -> Protocol:
        """Begin a protocol that has all methods of this one and more."""
        extended = Protocol(self.version if version is None else version)
        extended.declarations.update(self.declarations)
        return extended


class Dispatch:
    """
    The root of a service's sessions: new channels go to the service's methods.

    :param service: has a ``protocol`` and the methods it declares.
    """

    __slots__ = ("_mute", "_slots")

    def __init__(self, service: Any) -> None:
        protocol: Protocol = service.protocol
        self._mute = {
            number
            for number, declaration in protocol.declarations.items()
            if declaration.bind is _bind_mute
        }
        self._slots = {
            number: declaration.bind(
                declaration, getattr(service, declaration.attribute)
            )
            for number, declaration in protocol.declarations.items()
        }

    def open(
        self,
        session: Session,
        channel: int,
        kind: int,
        args: list[Any],
        headers: list[Header],
    ) -> None:
        slot = self._slots.get(kind)
        if slot is None:
            session.error(channel, SlotNotFound(f"there is no method {kind}"))
        else:
            slot(session, channel, args, headers)

    def refuse(self, error: CocainedError) -> None:
        """
        Answer every new call with an error, for good.

        Mute methods go on: nobody would hear of it.
        """

        def slot(
            session: Session, channel: int, args: list[Any], headers: list[Header]
        ) -> None:
            session.error(channel, error)

        for number in self._slots:
            if number not in self._mute:
                self._slots[number] = slot


def _bind_method(declaration: Declaration, function: Callable[..., Any]) -> Slot:
    convert = declaration.signature.convert

    def slot(
        session: Session, channel: int, args: list[Any], headers: list[Header]
    ) -> None:
        packed = UNTRACED
        try:
            if headers:
                packed = reply_headers(headers)
            result = function(*convert(args))
        except CocainedError as error:
            session.error(channel, error, packed)
        except Exception as error:
            log.failure("method {method} failed", method=declaration.name)
            session.error(channel, error, packed)
        else:
            if isinstance(result, Deferred):
                _answer_later(session, channel, declaration.name, result, packed)
            else:
                _answer(session, channel, declaration.name, result, packed)

    return slot


def _answer(
    session: Session, channel: int, name: str, result: Any, headers: bytes
) -> None:
    if type(result) is Packed:
        data = result.data
    elif result is None:
        data = b"\x90"
    else:
        try:
            data = pack(list(result) if type(result) is tuple else [result])
        except Exception as error:
            log.failure("the answer of method {method} cannot be sent", method=name)
            session.error(channel, error, headers)
            return
    session.send(b"".join((frame_head(channel), b"\x00", data, headers)))


def _answer_later(
    session: Session, channel: int, name: str, result: Deferred[Any], headers: bytes
) -> None:
    if result.called and not result.paused:
        # Already there, as from a cache: no need to account for it.
        result.addCallbacks(
            lambda value: _answer(session, channel, name, value, headers),
            lambda failure: _answer_failure(session, channel, name, failure, headers),
        )
        return

    def answered(value: Any) -> None:
        _answer(session, channel, name, value, headers)
        paid()

    def failed(failure: Failure) -> None:
        _answer_failure(session, channel, name, failure, headers)
        paid()

    def paid() -> None:
        session.calls -= 1
        if session.calls == CALL_LIMIT - 1:
            session.release()
        session.paid()

    session.owed += 1
    session.calls += 1
    if session.calls == CALL_LIMIT:
        session.halt()
    result.addCallbacks(answered, failed)


def _answer_failure(
    session: Session, channel: int, name: str, failure: Failure, headers: bytes
) -> None:
    error = failure.value
    assert error is not None  # a Failure of a Deferred always has one
    if not isinstance(error, CocainedError | CancelledError):
        log.failure("method {method} failed", failure=failure, method=name)
    session.error(channel, error, headers)


def _bind_mute(declaration: Declaration, function: Callable[..., Any]) -> Slot:
    convert = declaration.signature.convert

    def slot(
        session: Session, channel: int, args: list[Any], headers: list[Header]
    ) -> None:
        try:
            function(*convert(args))
        except CocainedError as error:
            session.dropped += 1
            log.debug(
                "a call of {method} was dropped: {error}",
                method=declaration.name,
                error=error,
            )
        except Exception:
            session.dropped += 1
            log.failure("method {method} failed", method=declaration.name)

    return slot


def _bind_stream(declaration: Declaration, function: Callable[..., Any]) -> Slot:
    convert = declaration.signature.convert

    def slot(
        session: Session, channel: int, args: list[Any], headers: list[Header]
    ) -> None:
        packed = UNTRACED
        try:
            if headers:
                packed = reply_headers(headers)
            receiver = function(session, channel, headers, *convert(args))
        except CocainedError as error:
            session.error(channel, error, packed)
        except Exception as error:
            log.failure("method {method} failed", method=declaration.name)
            session.error(channel, error, packed)
        else:
            if receiver is not None:
                session.channels[channel] = receiver

    return slot
