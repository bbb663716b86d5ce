# -*- test-case-name: cocained.test.test_links_dialer -*-
"""
Real lines, over a network in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import CocainedError
from cocained.links.dialer import ARRAY_LIMIT, FRAME_LIMIT, RealDialer, RealLine
from cocained.links.link import SERVICE_LIMIT
from cocained.links.roles import Address
from cocained.links.tidings import Tidings
from cocained.rpc.headers import UNTRACED
from cocained.rpc.wire import Limits, Wiring
from cocained.test.links_case import AT_A, AT_B, ME, A
from cocained.test.memory_network import MemoryNetwork, Raw, RawFactory, reply
from cocained.test.service_case import TRIO, plain


class MemoryEar:
    """Remembers what it hears; may act upon it."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        #: called with each thing
        self.act: Callable[[str], object] = len

    def _hear(self, what: str, *more: Any) -> None:
        self.heard.append((what, *more))
        self.act(what)

    def reached(self, given: Address, numeric: Address) -> None:
        self._hear("reached", given, numeric)

    def told(self, tidings: Tidings) -> None:
        self._hear("told", tidings.uuid, set(tidings.names))

    def answered(self) -> None:
        self._hear("answered")

    def ended(self, error: CocainedError) -> None:
        self._hear("ended", str(error))

    @property
    def words(self) -> list[str]:
        """The kinds of things heard, in order."""
        return [what for what, *_ in self.heard]


class LineCase(SynchronousTestCase):
    """A line to a server that a test speaks for."""

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.ear = MemoryEar()
        self.server = RawFactory(self.react)
        self.network.listeners[AT_A] = self.server
        self.dialer = RealDialer(self.network.wiring, ME, 10.0)
        #: what the server answers to ``connect``
        self.answer = reply(1, 0, A, {"echo": [[["192.0.2.1", 1]], 1, {}]})

    def react(self, frame: Any) -> bytes:
        """Answer ``connect``, and pings."""
        channel, kind = frame[:2]
        if kind == 65533:
            return reply(channel, 0)
        return self.answer if kind == 1 else b""

    def dial(self, *endpoints: Address) -> RealLine:
        """Dial, and let everything happen that can."""
        line = self.dialer.line(endpoints or [AT_A], self.ear)
        line.dial()
        self.network.flush()
        return line

    @property
    def raw(self) -> Raw:
        """The server's end of the last connection."""
        return self.server.raw[-1]

    def send(self, *frames: bytes) -> None:
        """The server says something, in one packet."""
        self.raw.transport.write(b"".join(frames))
        self.network.flush()


class DialTests(LineCase):
    """From nothing to the first tidings."""

    def test_frame(self) -> None:
        """§18.7: ``connect`` on channel 1 with our own uuid, and a trace."""
        self.dial()

        (frame,) = self.raw.frames
        self.assertEqual(plain(frame), [1, 1, [ME], TRIO])
        self.assertEqual(len(UNTRACED), 61)

    def test_told(self) -> None:
        """The ear hears where the node is, and what it has."""
        self.dial()

        self.assertEqual(
            self.ear.heard, [("reached", AT_A, AT_A), ("told", A, {"echo"})]
        )

    def test_not_before(self) -> None:
        """A line that was not dialled does nothing."""
        self.dialer.line([AT_A], self.ear)
        self.network.flush()

        self.assertEqual(self.network.attempts, [])

    def test_in_turn(self) -> None:
        """Endpoints are tried in their order; the one that works is told."""
        self.dial(AT_B, AT_A)

        self.assertEqual(self.network.attempts, [AT_B, AT_A])
        self.assertEqual(self.ear.heard[0], ("reached", AT_A, AT_A))

    def test_nobody(self) -> None:
        """When all refuse, the end says so of each."""
        self.dial(AT_B, ("192.0.2.3", 1))

        ((what, text),) = self.ear.heard
        self.assertEqual(what, "ended")
        self.assertIn("192.0.2.2:10053: ", text)
        self.assertIn("192.0.2.3:1: ", text)

    def test_no_answer(self) -> None:
        """An address that never answers makes room for the next one."""
        self.network.listeners[AT_B] = None
        self.dial(AT_B, AT_A)
        self.assertEqual(self.ear.heard, [])

        self.network.pass_time(5.0)

        self.assertEqual(self.ear.words, ["reached", "told"])

    def test_hang_up_while_dialling(self) -> None:
        """An attempt that is given up is heard of no more."""
        self.network.listeners[AT_B] = None
        line = self.dial(AT_B, AT_A)

        line.hang_up()
        self.network.pass_time(30.0)

        self.assertEqual(self.ear.heard, [])
        self.assertEqual(self.network.attempts, [AT_B])
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_hang_up_when_reached(self) -> None:
        """So is a connection that is not wanted when it stands."""
        line = self.dialer.line([AT_A], self.ear)
        self.ear.act = lambda what: line.hang_up()

        line.dial()
        self.network.flush()

        self.assertEqual(self.ear.words, ["reached"])
        self.assertEqual(self.raw.frames, [])
        self.assertTrue(self.raw.lost)

    def test_stumbling_ear(self) -> None:
        """A fault of our own is logged, and the line is over."""

        def stumble(what: str) -> None:
            if what == "reached":
                raise ZeroDivisionError

        self.ear.act = stumble
        self.dial()

        self.assertEqual(self.ear.words, ["reached", "ended"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(self.raw.lost)

    def test_bad_address(self) -> None:
        """An address that cannot even be tried is one that was not reached."""
        self.dial(("no\udcffname", 1))

        self.assertEqual(self.ear.words, ["ended"])


class TalkTests(LineCase):
    """While the connection stands."""

    def setUp(self) -> None:
        super().setUp()
        self.line = self.dial()
        self.ear.heard.clear()

    def test_changes(self) -> None:
        """Each write is heard, in order."""
        self.send(
            reply(1, 0, A, {"more": [[["192.0.2.1", 2]], 1, {}]}),
            reply(1, 0, A, {"echo": [[], 1, {}]}),
        )

        self.assertEqual(self.ear.heard, [("told", A, {"more"}), ("told", A, set())])

    def test_ping(self) -> None:
        """A ping goes out on a channel of its own, and its answer is heard."""
        self.line.ping()
        self.line.ping()
        self.network.flush()

        self.assertEqual(
            [plain(frame)[:3] for frame in self.raw.frames[1:]],
            [[2, 65533, []], [3, 65533, []]],
        )
        self.assertEqual(self.ear.words, ["answered", "answered"])

    def test_channels_do_not_pile_up(self) -> None:
        """After many pings only the one channel is open."""
        for _ in range(100):
            self.line.ping()
            self.network.flush()

        session = self.line._connection.session  # type: ignore[union-attr]
        self.assertEqual(len(session.channels), 1)

    def test_pong_is_an_error(self) -> None:
        """A node that knows no pings shows life by saying so."""
        self.server._react = lambda frame: reply(frame[0], 1, [7, 5], "no")
        self.raw._react = self.server._react
        self.line.ping()
        self.network.flush()

        self.assertEqual(self.ear.words, ["answered"])

    def test_close(self) -> None:
        """A node that tells nothing more has ended the line."""
        self.send(reply(1, 2))

        text = "[7, 3] the node says that it tells nothing more"
        self.assertEqual(self.ear.heard, [("ended", text)])
        self.assertTrue(self.raw.lost)

    def test_error(self) -> None:
        """So has one that answers with an error."""
        self.send(reply(1, 1, [10, 1], "gone"))

        self.assertEqual(self.ear.heard, [("ended", "[10, 1] gone")])
        self.assertTrue(self.raw.lost)

    def test_unknown_message(self) -> None:
        """And one that sends what the stream does not have."""
        self.send(reply(1, 3))

        self.assertEqual(self.ear.words, ["ended"])

    def test_garbage(self) -> None:
        """What cannot be read ends the line, and what follows is not looked at."""
        self.send(reply(1, 0, A), reply(1, 0, A, {}), reply(1, 2))

        self.assertEqual(self.ear.words, ["ended"])
        self.assertIn("a uuid and a map", self.ear.heard[0][1])

    def test_broken_frame(self) -> None:
        """Bytes that are no frame do so, too."""
        self.send(b"\xc1")

        self.assertEqual(self.ear.words, ["ended"])

    def test_lost(self) -> None:
        """A connection that is gone is heard of once."""
        self.network.cut()

        self.assertEqual(self.ear.words, ["ended"])
        self.line.ping()
        self.line.hang_up()
        self.network.flush()
        self.assertEqual(self.ear.words, ["ended"])

    def test_hang_up(self) -> None:
        """After hanging up nothing is heard, and the connection is gone at once."""
        self.raw.transport.write(reply(1, 0, A, {}))
        self.line.ping()

        self.line.hang_up()
        self.network.flush()

        self.assertEqual(self.ear.heard, [])
        self.assertTrue(self.raw.lost)
        self.line.ping()
        self.line.hang_up()
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_hang_up_from_the_ear(self) -> None:
        """Who hangs up while he is told something hears nothing of the rest."""
        self.ear.act = lambda what: self.line.hang_up()

        self.send(reply(1, 0, A, {}), reply(1, 0, A, {}))

        self.assertEqual(self.ear.words, ["told"])


class LimitTests(LineCase):
    """What a node may send."""

    def test_frame(self) -> None:
        """Frames are smaller than those that clients may send."""
        self.assertEqual(self.dialer.wiring.limits.frame, FRAME_LIMIT)
        self.assertIs(self.dialer.wiring.turn, self.network.wiring.turn)
        self.assertGreater(self.network.wiring.limits.frame, FRAME_LIMIT)

    def test_smaller_still(self) -> None:
        """A node whose own limit is smaller keeps that."""
        wiring = Wiring(self.network, Limits(frame=1 << 20))  # type: ignore[arg-type]

        self.assertEqual(RealDialer(wiring, ME, 1.0).wiring.limits.frame, 1 << 20)

    def test_too_many_are_told_so(self) -> None:
        """A map of one service too many can still be read, and then be refused."""
        self.assertGreater(ARRAY_LIMIT, SERVICE_LIMIT)

    def test_many_services(self) -> None:
        """So the head of such a map is no fault."""
        self.answer = b"\x93\x01\x00\x92\xa6node-a\xdf\x00\x00\x40\x01"
        self.dial()

        self.assertEqual(self.ear.words, ["reached"])

    def test_giant_map(self) -> None:
        """A claim beyond that ends the line when its head arrives."""
        self.answer = b"\x93\x01\x00\x92\xa6node-a\xdf\x00\x01\x00\x00"
        self.dial()

        self.assertEqual(self.ear.words, ["reached", "ended"])
