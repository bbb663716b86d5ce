# -*- test-case-name: cocained.test.test_rpc_client -*-
"""
Services by name: resolve, connect, call, reconnect.

::

    locator = Locator(wiring, "localhost", 10053)
    storage = RemoteService(wiring, locator, "storage")
    blob = await storage.call("read", "manifests", "echo")

Used by ``cocaine-tool`` and by the links between locators.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, DeferredLock

from cocained.errors import (
    Category,
    CocainedError,
    DispatchCode,
    InvalidArgument,
    LocalProtocolError,
    RemoteError,
    RemoteProtocolError,
)
from cocained.rpc import arguments
from cocained.rpc.calls import Call, Stream, is_mute, is_primitive
from cocained.rpc.codec import ARRAY_LIMIT
from cocained.rpc.connection import (
    LOCATOR_ARRAY_LIMIT,
    Address,
    Connection,
    address_text,
    connect,
    limited,
)
from cocained.rpc.graph import PRIMITIVE, STREAMING, TERMINAL, Nested, Root, parse_root
from cocained.rpc.headers import NO_TRACE, UNTRACED, Header, encode_trace
from cocained.rpc.outbox import Progress
from cocained.rpc.wire import Wiring

#: Seconds for a call when nothing else is said, as in the published tool.
CALL_TIMEOUT = 20.0

#: Where a locator listens unless it is told otherwise (protocol.md §3).
LOCATOR_PORT = 10053

_DISCARD: Nested = {0: ("discard", {})}

#: The locator's own methods, which every client has hard-wired
#: (protocol.md §3.1).
LOCATOR_GRAPH: Root = {
    0: ("resolve", TERMINAL, PRIMITIVE),
    1: ("connect", TERMINAL, STREAMING),
    2: ("refresh", TERMINAL, PRIMITIVE),
    3: ("cluster", TERMINAL, PRIMITIVE),
    4: ("publish", _DISCARD, PRIMITIVE),
    5: ("routing", _DISCARD, STREAMING),
    6: ("uuid", TERMINAL, PRIMITIVE),
}
LOCATOR_VERSION = 3

_ADDRESSES = arguments.listing(
    arguments.record(arguments.text, arguments.unsigned),
)


class UnknownMethod(CocainedError):
    """
    A service has no method of that name.

    :param service: its name.
    :param method: what was asked for.
    :param methods: what there is.
    """

    category = Category.DISPATCH
    code = DispatchCode.SLOT_NOT_FOUND

    def __init__(self, service: str, method: str, methods: Iterable[str]) -> None:
        self.methods = sorted(methods)
        near = difflib.get_close_matches(method, self.methods, 3)
        hint = (
            f"did you mean {' or '.join(near)}?"
            if near
            else f"it has {', '.join(self.methods) or 'none'}"
        )
        super().__init__(f"service {service!r} has no method {method!r}; {hint}")
        self.method = method


class Resolved(NamedTuple):
    """
    Where a service is and what it offers.

    :param endpoints: addresses in the order in which to try them.
    :param version: of its protocol.
    :param graph: its root graph.
    """

    endpoints: Sequence[Address]
    version: int
    graph: Root

    @classmethod
    def from_wire(cls, value: Any) -> Resolved:
        """
        Check an answer of ``resolve``, or an entry of ``connect``.

        :raises InvalidArgument: it is none.
        """
        if type(value) is not list or len(value) < 3:
            raise InvalidArgument("expected endpoints, version and graph")
        return cls(
            _ADDRESSES(value[0]),
            arguments.unsigned(value[1]),
            parse_root(value[2]),
        )


class RemoteService:
    """
    A service of a node, connected when it is first used.

    A connection that was lost is replaced, and the name resolved again, when
    the next call is made.  Calls in flight fail with what ended it, usually
    ``[5, 2]``; whether they were carried out is not known, so none is repeated.

    :param wiring: reactor and limits.
    :param source: a locator that knows the service, or where it is.
    :param name: of the service.
    :param timeout: seconds for each call, resolving and connecting included,
        unless the call says otherwise.
    :param array_limit: see :class:`~cocained.rpc.session.Session`.
    """

    def __init__(
        self,
        wiring: Wiring,
        source: Locator | Resolved,
        name: str,
        timeout: float = CALL_TIMEOUT,
        array_limit: int = ARRAY_LIMIT,
    ) -> None:
        self._wiring = wiring
        self._source = source
        self._timeout = timeout
        self._array_limit = array_limit
        self._lock = DeferredLock()
        self._connection: Connection | None = None
        self._resolved: Resolved | None = None
        self.name = name

    def connect(self, timeout: float | None = None) -> Deferred[Resolved]:
        """
        Resolve and connect, unless that is done already.

        :returns: fires with where it is and what it offers.
        """
        return self._limited(
            Deferred.fromCoroutine(self._describe()),
            timeout,
            f"connecting to service {self.name!r}",
        )

    def call(
        self,
        method: str,
        *args: Any,
        timeout: float | None = None,
        headers: Iterable[Header] = (),
        progress: Progress | None = None,
    ) -> Deferred[Any]:
        """
        Call a method that gives one answer, or none.

        :param method: its name in the service's graph.
        :param args: what msgpack can pack; text leaves as UTF-8.
        :param timeout: seconds for all of it.
        :param headers: sent along with the request.
        :param progress: hears how much of the request has left.
        :returns: fires with the value as it was decoded (strings are bytes,
            maps :class:`~cocained.rpc.codec.Pairs`): ``None`` for none, a list
            for several.  A mute method fires with ``None`` at once.  Fails with
            :class:`~cocained.errors.RemoteError` for what the service or the
            connection said, :class:`UnknownMethod`,
            :class:`~cocained.errors.LocalProtocolError` for a request that
            cannot be sent, ``RemoteProtocolError`` for an answer against the
            graph.  Cancelling it gives up the answer, not the work.
        """
        return self._limited(
            Deferred.fromCoroutine(self._call(method, args, headers, progress)),
            timeout,
            f"{self.name}.{method}",
        )

    def stream(
        self,
        method: str,
        *args: Any,
        timeout: float | None = None,
        headers: Iterable[Header] = (),
    ) -> Deferred[Stream]:
        """
        Call a method and go on talking; any method will do.

        :param timeout: seconds until the request is on its way; reading from
            the stream has limits of its own.
        :returns: fires with the open stream, fails as :meth:`call` does.
        """
        return self._limited(
            Deferred.fromCoroutine(self._stream(method, args, headers)),
            timeout,
            f"{self.name}.{method}",
        )

    def close(self) -> Deferred[None]:
        """
        Let go of the connection; the next call makes a new one.

        :returns: fires when it is gone.
        """
        connection, self._connection = self._connection, None
        done: Deferred[None] = Deferred()
        if connection is None:
            done.callback(None)
            return done
        return connection.close()

    def _limited(
        self, deferred: Deferred[Any], timeout: float | None, what: str
    ) -> Deferred[Any]:
        seconds = self._timeout if timeout is None else timeout
        return limited(deferred, seconds, self._wiring.reactor, what)

    async def _describe(self) -> Resolved:
        await self._ready()
        assert self._resolved is not None  # _ready has seen to it
        return self._resolved

    async def _ready(self) -> Connection:
        # Under a lock: callers share one attempt, and one who gives up does
        # not take it from the others, the next of them begins anew.
        await self._lock.acquire()
        try:
            connection = self._connection
            if connection is None or not connection.usable:
                self._connection = None
                connection = self._connection = await self._connect()
            return connection
        finally:
            self._lock.release()

    async def _connect(self) -> Connection:
        source = self._source
        if isinstance(source, Resolved):
            resolved = source
        else:
            resolved = await source.resolve(self.name)
        connection = await connect(
            self._wiring,
            resolved.endpoints,
            self._timeout,
            f"service {self.name!r}",
            self._array_limit,
        )
        self._resolved = resolved
        return connection

    def _find(self, method: str) -> tuple[int, Nested | None, Nested | None]:
        assert self._resolved is not None  # there is a connection
        graph = self._resolved.graph
        for number, (name, dispatch, upstream) in graph.items():
            if name == method:
                return number, dispatch, upstream
        raise UnknownMethod(self.name, method, (entry[0] for entry in graph.values()))

    async def _call(
        self,
        method: str,
        args: Sequence[Any],
        headers: Iterable[Header],
        progress: Progress | None,
    ) -> Any:
        connection = await self._ready()
        number, dispatch, upstream = self._find(method)
        call = Call(connection, f"{self.name}.{method}", dispatch, upstream)
        mute = is_mute(upstream)
        if not mute and not is_primitive(upstream):
            raise LocalProtocolError(
                f"{self.name}.{method} answers with a stream, use stream()"
            )
        call.begin(number, args, _packed(headers), progress)
        if mute:
            connection.forget(call.channel)
            return None
        try:
            return await call.answer
        except RemoteError as error:
            self._judge(connection, error)
            raise

    async def _stream(
        self, method: str, args: Sequence[Any], headers: Iterable[Header]
    ) -> Stream:
        connection = await self._ready()
        number, dispatch, upstream = self._find(method)
        stream = Stream(
            connection,
            f"{self.name}.{method}",
            dispatch,
            upstream,
            self._wiring.reactor,
            lambda error: self._judge(connection, error),
        )
        stream.begin(number, args, _packed(headers))
        return stream

    def _judge(self, connection: Connection, error: CocainedError) -> None:
        """
        Leave the connection of an app that was stopped.

        Its name may lead elsewhere by now (tools.md §4.5).
        """
        if (error.category, error.code) != (Category.GENERIC, errno.EPIPE):
            return
        if self._connection is connection:
            self._connection = None
        connection.retire()


def _packed(headers: Iterable[Header]) -> bytes:
    headers = list(headers)
    return encode_trace(NO_TRACE, headers) if headers else UNTRACED


class Locator:
    """
    The locator of one node.

    :param wiring: reactor and limits.
    :param host: its address or host name, or the path of a UNIX socket.
    :param port: its port.
    :param timeout: seconds for each call.
    """

    def __init__(
        self,
        wiring: Wiring,
        host: str = "localhost",
        port: int = LOCATOR_PORT,
        timeout: float = CALL_TIMEOUT,
    ) -> None:
        self.address = (host, port)
        #: for its other methods
        self.service = RemoteService(
            wiring,
            Resolved([self.address], LOCATOR_VERSION, LOCATOR_GRAPH),
            "locator",
            timeout,
            LOCATOR_ARRAY_LIMIT,
        )

    def resolve(
        self, name: str, seed: str = "", timeout: float | None = None
    ) -> Deferred[Resolved]:
        """
        Find a service.

        :param seed: picks a member of a routing group, always the same one.
        :returns: fails with ``RemoteError`` ``[10, 1]`` if there is none,
            with ``RemoteProtocolError`` if the answer is no such thing.
        """
        return Deferred.fromCoroutine(self._resolve(name, seed, timeout))

    async def _resolve(self, name: str, seed: str, timeout: float | None) -> Resolved:
        args = (name, seed) if seed else (name,)
        answer = await self.service.call("resolve", *args, timeout=timeout)
        try:
            return Resolved.from_wire(answer)
        except InvalidArgument as error:
            raise RemoteProtocolError(
                f"{address_text(self.address)} does not answer as a locator: {error}"
            ) from error

    def close(self) -> Deferred[None]:
        """Let go of the connection."""
        return self.service.close()
