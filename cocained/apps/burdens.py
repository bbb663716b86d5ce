# -*- test-case-name: cocained.test.test_apps_burdens -*-
"""
Workers whose connection is stuck, and what that means for others (decision 0007).

A worker has one connection for all of its events, and the protocol has no
windows.  So when one client does not read, the worker that streams to it is
held, and with it the answers to everybody else.  Two rules keep that small:

* a worker that is stuck gets no new events while others can take them;
* a client that takes nothing at all for :data:`PATIENCE`, while others wait for
  the same worker, loses its streams there.

There is a timer only while there is something to watch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, Generic, Protocol, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from cocained.errors import Category, CocainedError, NodeCode, RemoteError
from cocained.rpc.session import Session
from cocained.rpc.turn import Turn

log = Logger()

#: Seconds between looks.  A worker that is stuck from one look to the next is
#: left alone; a shorter wait than that is not worth another worker.
LOOK: Final = 0.25

#: Seconds without that after which it is a worker like others again.  Longer
#: than a look: slow readers stop and go.
RELIEF: Final = 2.0

#: Seconds that others wait for a client that takes nothing.  It covers what a
#: healthy network loses and sends again.
PATIENCE: Final = 5.0


class Stream(Protocol):
    """One event at a bearer."""

    @property
    def client(self) -> Session:
        """Who wants the answer."""

    def abandon(self, error: CocainedError) -> None:
        """End it on both sides."""


class Bearer(Protocol):
    """One connection that carries the events of many: a worker's, for one."""

    @property
    def uuid(self) -> str: ...

    @property
    def session(self) -> Session: ...

    @property
    def invocations(self) -> Iterable[Stream]: ...


B = TypeVar("B", bound=Bearer)
B_contra = TypeVar("B_contra", bound=Bearer, contravariant=True)


class Shunner(Protocol[B_contra]):
    """The pool, as its burdens see it."""

    def shun(self, worker: B_contra) -> None:
        """Give *worker* no new events, if others can take them."""

    def welcome(self, worker: B_contra) -> None:
        """Give *worker* events again; one that was never shunned is no error."""


class _Burden:
    """
    What is known of one worker.

    :ivar pauses: of its session, at the last look; 0 if it was not stuck then.
    :ivar seen: when it was last found stuck, in seconds of the clock.
    :ivar clients: those that hold it, perhaps; how far each had come, and since
        when it has not come further.
    """

    __slots__ = ("clients", "pauses", "seen")

    def __init__(self, now: float) -> None:
        self.pauses = 0
        self.seen = now
        self.clients: dict[Session, tuple[tuple[int, int], float]] = {}


class Burdens(Generic[B]):
    """
    The workers of a pool that were stuck lately.

    :param owner: of the pool, for the log, such as ``app echo``.
    :param pool: shuns and welcomes them.
    :param clock: the reactor's.
    :param turn: the sessions' sense of time.
    :param kind: what they are, for people.
    """

    def __init__(
        self,
        owner: str,
        pool: Shunner[B],
        clock: IReactorTime,
        turn: Turn,
        kind: str = "worker",
    ) -> None:
        self._owner = owner
        self._kind = kind
        self._pool = pool
        self._clock = clock
        self._turn = turn
        self._burdens: dict[B, _Burden] = {}
        self._call: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._burdens)

    def watch(self, worker: B, client: Session | None) -> None:
        """
        Keep an eye on a worker.

        :param client: does not read what the worker sends; ``None`` if it is
            the worker that does not read.
        """
        burden = self._burdens.get(worker)
        if burden is None:
            burden = self._burdens[worker] = _Burden(self._clock.seconds())
        if client is not None and client not in burden.clients:
            burden.clients[client] = (client.progress, self._clock.seconds())
        if self._call is None:
            self._call = self._clock.callLater(LOOK, self._look)

    def forget(self, worker: B) -> None:
        """A worker takes no more events anyway; an unknown one is no error."""
        self._burdens.pop(worker, None)
        if not self._burdens and self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = None
        self._turn.begin()
        now = self._turn.now
        for worker, burden in list(self._burdens.items()):
            self._judge(worker, burden, now)
        self._turn.end()
        if self._burdens and self._call is None:
            self._call = self._clock.callLater(LOOK, self._look)

    def _judge(self, worker: B, burden: _Burden, now: float) -> None:
        session = worker.session
        if not (session.held or session.congested):
            burden.pauses = 0
        elif session.pauses == burden.pauses:
            burden.seen = now
            self._pool.shun(worker)
        else:
            burden.pauses = session.pauses
        self._hurry(worker, burden, now)
        if now - burden.seen >= RELIEF and not burden.clients:
            self._burdens.pop(worker, None)
            self._pool.welcome(worker)

    def _hurry(self, worker: B, burden: _Burden, now: float) -> None:
        """Find the clients for which others have waited long enough."""
        held = burden.clients
        for client, (progress, since) in list(held.items()):
            if not client.holds(worker.session):
                del held[client]
            elif client.progress != progress:
                held[client] = (client.progress, now)
            elif now - since >= PATIENCE and self._others_wait(worker, held):
                del held[client]
                self._end(worker, client)

    def _others_wait(self, worker: B, clients: Collection[Session]) -> bool:
        return any(event.client not in clients for event in worker.invocations)

    def _end(self, worker: B, client: Session) -> None:
        """Let a worker go on without a client that does not read."""
        log.warn(
            "a client of {owner} has not read for {seconds} s, and others wait for"
            " {kind} {worker}: its streams there are ended",
            owner=self._owner,
            seconds=PATIENCE,
            kind=self._kind,
            worker=worker.uuid,
        )
        error = RemoteError(
            Category.NODE,
            NodeCode.RESOURCE,
            f"nothing was read for {PATIENCE:g} s while others waited for the"
            f" {self._kind}",
        )
        for event in list(worker.invocations):
            if event.client is client:
                event.abandon(error)
        client.let_go(worker.session)
