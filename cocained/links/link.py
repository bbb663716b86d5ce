# -*- test-case-name: cocained.test.test_links_link -*-
"""
One link: what another node offers, kept true in the gateway (protocol.md §3.3).

::

    WAITING ──due──▶ CONNECTING ──reached──▶ ASKING ──told──▶ LINKED ◀──answered── SILENT
       ▲                 │                     │                │ ──ping missed──▶   │
       └─────────────────┴──── ended, late ────┴────────────────┴───────────────────┘

Whatever ends a connection takes everything of that node out of the gateway, and
the link tries again by itself: after a wait of its own, which grows with each
failure and is forgotten when the node has answered a ping.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final

from twisted.logger import Logger

from cocained.errors import CocainedError
from cocained.links.backoff import delay
from cocained.links.errors import SilentNode, TooManyServices, WrongNode
from cocained.links.roles import Address, Line
from cocained.links.surroundings import Surroundings
from cocained.links.tidings import Tidings

log = Logger()

#: Most services of one node that are listened to.  An idle app costs its own
#: node more than it costs others to know of it.
SERVICE_LIMIT = 16384

#: Seconds that an attempt has before another one is made because the node is
#: said to be elsewhere.  Anybody on a network may be able to say so, again and
#: again, and whoever is named there would hear from all nodes each time.
MOVE_PAUSE = 1.0

#: What is said of a node that has not been reached (protocol.md §3.1).
NOWHERE: Address = ("0.0.0.0", 0)


_NO_NAMES: Final[frozenset[str]] = frozenset()


class State(Enum):
    """What a link is doing."""

    WAITING = "waiting"
    CONNECTING = "connecting"
    ASKING = "asking"
    LINKED = "linked"
    SILENT = "silent"
    DROPPED = "dropped"


#: States in which a node is known to be there.
_THERE = frozenset((State.LINKED, State.SILENT))

#: States of an attempt.
_TRYING = frozenset((State.CONNECTING, State.ASKING))


class Link:
    """
    A node that we listen to.

    :param around: shared with all other links.
    :param uuid: of the node.
    :param endpoints: of its locator, at least one.
    """

    __slots__ = (
        "_around",
        "_asked",
        "_dialled",
        "_known",
        "_line",
        "_names",
        "_since",
        "_target",
        "attempts",
        "due_at",
        "endpoints",
        "error",
        "given",
        "latency",
        "numeric",
        "place",
        "state",
        "uuid",
    )

    def __init__(
        self, around: Surroundings, uuid: str, endpoints: Sequence[Address]
    ) -> None:
        self._around = around
        self._line: Line | None = None
        # Services that the gateway has been told of; those of the first tidings
        # until something changes.
        self._names: frozenset[str] | set[str] = _NO_NAMES
        # Whether the gateway may have something to forget.
        self._known = False
        self._asked: float | None = None
        self._since = self._dialled = around.clock.seconds()
        # What the last attempt was made for.
        self._target: tuple[Address, ...] = ()
        self.uuid = uuid
        self.endpoints = tuple(endpoints)
        self.state = State.WAITING
        #: for the agenda
        self.due_at: float | None = None
        #: failures since the node was last seen to be well
        self.attempts = 0
        #: why the last one failed
        self.error: CocainedError | None = None
        #: which of the endpoints was reached last
        self.given: Address | None = None
        #: and where that is
        self.numeric: Address | None = None
        #: where the table has noted it
        self.place: Address | None = None
        #: seconds that the last ping took
        self.latency: float | None = None

    def __repr__(self) -> str:
        return f"<Link to {self.uuid}: {self.state.value}>"

    # For the table

    def start(self) -> None:
        """Make the first attempt."""
        self._dial()

    def retarget(self, endpoints: Sequence[Address]) -> None:
        """
        The node is said to be elsewhere.

        While it answers, it is where it is: a good connection is kept.
        """
        self.endpoints = tuple(endpoints)
        if self.state is State.LINKED or self._is_at_hand:
            return
        patience = MOVE_PAUSE
        if self.state in _TRYING and self.endpoints == self._target:
            patience = self._around.pace.handshake
        wait = self._dialled + patience - self._around.clock.seconds()
        if wait > 0:
            self._around.agenda.put(self, wait)
        else:
            self._dial_anew()

    @property
    def _is_at_hand(self) -> bool:
        """Whether there is a connection to one of the addresses."""
        return self.state in _THERE and self.given in self.endpoints

    def drop(self) -> None:
        """Let go of the node for good."""
        self._let_go()
        self._enter(State.DROPPED)

    @property
    def endpoint(self) -> Address:
        """Where the node is, :data:`NOWHERE` while it has not been reached."""
        there = self.state in _THERE
        return self.numeric if there and self.numeric else NOWHERE

    def report(self) -> Mapping[str, Any]:
        """Say how the link is, in plain values."""
        return {
            "endpoints": [list(endpoint) for endpoint in self.endpoints],
            "state": self.state.value,
            "since": round(self._around.clock.seconds() - self._since, 3),
            "latency": self.latency,
            "services": len(self._names),
            "attempts": self.attempts,
            "error": str(self.error) if self.error is not None else "",
        }

    # Ear, for the line

    def reached(self, given: Address, numeric: Address) -> None:
        self.given = given
        self.numeric = numeric
        self._enter(State.ASKING)

    def told(self, tidings: Tidings) -> None:
        if tidings.uuid != self.uuid:
            self._fail(WrongNode(tidings.uuid, tidings.uuid == self._around.uuid))
            return
        try:
            self._take(tidings)
        except CocainedError as error:
            self._fail(error)
            return
        except Exception:
            log.failure("the gateway stumbles over what {node} offers", node=self.uuid)
            self._fail(CocainedError("the gateway failed; see the log"))
            return
        if self.state is State.ASKING:
            self._enter(State.LINKED)
            # Not all nodes at one moment.
            pace = self._around.pace
            self._around.agenda.put(self, pace.ping * self._around.random())
            log.info(
                "linked to node {node} at {endpoint}: {services} services",
                node=self.uuid,
                endpoint=self.numeric,
                services=len(self._names),
            )
            self._around.linked(self)
        if tidings.groups is not None:
            self._around.refreshed(tidings.groups)

    def answered(self) -> None:
        if self._asked is None:
            return
        now = self._around.clock.seconds()
        self.latency, self._asked = now - self._asked, None
        self.attempts = 0
        self.error = None
        if self.state is State.SILENT:
            log.info("node {node} answers again", node=self.uuid)
            self._enter(State.LINKED)
        self._around.agenda.put(self, max(0.0, self._around.pace.ping - self.latency))
        self._observe(self.latency)

    def ended(self, error: CocainedError) -> None:
        self._line = None
        self._fail(error)

    # Item, for the agenda

    def due(self) -> None:
        pace = self._around.pace
        if self.state is State.WAITING:
            self._dial()
        elif self.state in _TRYING and self.endpoints != self._target:
            self._dial_anew()
        elif self.state in _TRYING:
            self._fail(SilentNode(f"no answer to connect within {pace.handshake:g} s"))
        elif self._asked is None:
            self._ping()
        elif not self._is_at_hand:
            self._fail(SilentNode("no sign of life, and it is said to be elsewhere"))
        elif self.state is State.LINKED:
            self._enter(State.SILENT)
            self._around.agenda.put(self, pace.timeout - pace.late)
            log.warn(
                "node {node} has not answered for {seconds} s and is avoided",
                node=self.uuid,
                seconds=pace.late,
            )
            self._observe(None)
        else:
            self._fail(SilentNode(f"no sign of life for {pace.timeout:g} s"))

    # Steps

    def _enter(self, state: State) -> None:
        self.state = state
        self._since = self._around.clock.seconds()

    def _dial_anew(self) -> None:
        self._let_go()
        self._dial()

    def _dial(self) -> None:
        self._enter(State.CONNECTING)
        self._dialled, self._target = self._since, self.endpoints
        self._around.agenda.put(self, self._around.pace.handshake)
        self._line = self._around.dialer.line(self._in_turn(), self)
        self._line.dial()

    def _in_turn(self) -> tuple[Address, ...]:
        """The endpoints; each attempt begins with another one of them."""
        at = self.attempts % len(self.endpoints)
        return self.endpoints[at:] + self.endpoints[:at]

    def _ping(self) -> None:
        assert self._line is not None  # there is one in LINKED
        self._asked = self._around.clock.seconds()
        self._around.agenda.put(self, self._around.pace.late)
        self._line.ping()

    def _observe(self, latency: float | None) -> None:
        observer = self._around.observer
        if observer is not None:
            self._known = True
            try:
                observer.node_observed(self.uuid, latency)
            except Exception:
                log.failure("the gateway stumbles over node {node}", node=self.uuid)

    def _take(self, tidings: Tidings) -> None:
        gateway, uuid, extra = self._around.gateway, self.uuid, tidings.extra
        known = self._names
        if len(known) + len(tidings.names - known) > SERVICE_LIMIT:
            raise TooManyServices(
                f"it announces more than {SERVICE_LIMIT} services, the limit"
            )
        for name, endpoints, version, graph in tidings.offers:
            if name in known:
                # Gateways refuse what they know already; this is an update.
                gateway.cleanup(uuid, name)
            if endpoints:
                self._known = True
                gateway.consume(uuid, name, endpoints, version, graph, extra)
        self._remember(tidings)

    def _remember(self, tidings: Tidings) -> None:
        if not self._names:
            self._names = tidings.names
            return
        if isinstance(self._names, frozenset):
            self._names = set(self._names)
        for offer in tidings.offers:
            if offer.endpoints:
                self._names.add(offer.name)
            else:
                self._names.discard(offer.name)

    def _let_go(self) -> None:
        """End the connection, and let the gateway forget what came over it."""
        self._around.agenda.drop(self)
        line, self._line = self._line, None
        if line is not None:
            line.hang_up()
        self._asked = None
        self._names = _NO_NAMES
        if self._known:
            self._known = False
            try:
                self._around.gateway.cleanup(self.uuid)
            except Exception:
                log.failure("the gateway cannot forget node {node}", node=self.uuid)

    def _fail(self, error: CocainedError) -> None:
        was = self.state
        self._let_go()
        self.attempts += 1
        self.error = error
        pace = self._around.pace
        wait = delay(self.attempts, *pace.retry, self._around.random)
        self._enter(State.WAITING)
        self._around.agenda.put(self, wait)
        # Once loudly: who is down for a day is no news every half minute.
        tell = log.warn if was in _THERE or self.attempts == 1 else log.debug
        tell(
            "no link to node {node} at {endpoints}: {error}; trying again in"
            " {seconds:.1f} s",
            node=self.uuid,
            endpoints=self.endpoints,
            error=error,
            seconds=wait,
        )
