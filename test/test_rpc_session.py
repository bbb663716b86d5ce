# -*- test-case-name: cocained.test.test_rpc_session -*-
"""Tests of :mod:`cocained.rpc.session`."""

from __future__ import annotations

from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cocained.errors import (
    CocainedError,
    RemoteError,
    RemoteProtocolError,
    TransportCode,
)
from cocained.rpc.codec import pack
from cocained.rpc.graph import GOAWAY, PING, REVOKE, SETTINGS
from cocained.rpc.headers import NO_TRACE, Trace, encode_trace
from cocained.rpc.session import EARLY_FLUSH, Session
from cocained.test.rpc_case import (
    FakeSource,
    Listener,
    MemoryLink,
    MemoryRoot,
    SessionCase,
    echo,
    frame,
)
from cocained.test.strategies import PACKETS, VALUES, Sample, cuts, octets, pieces

EOF = RemoteError(5, 2, "End of file")

#: Bytes that end a connection: no frame, or none that can be.
NO_FRAMES: tuple[tuple[bytes, TransportCode], ...] = (
    (b"\xc1", TransportCode.PARSE),
    (b"\x05", TransportCode.FRAME_FORMAT),
    (b"\xa5hello", TransportCode.FRAME_FORMAT),
    (b"\xa3\x01\x02\x03", TransportCode.FRAME_FORMAT),
    (b"\x81\x01\x02", TransportCode.FRAME_FORMAT),
    (b"\x83\x01\x02\x03\x04\x05\x06", TransportCode.FRAME_FORMAT),
    (b"\x92\x01\x00", TransportCode.FRAME_FORMAT),
    (b"\x90", TransportCode.FRAME_FORMAT),
    (b"\xc0", TransportCode.FRAME_FORMAT),
    (b"\xd4\x05\x00", TransportCode.FRAME_FORMAT),
    (b"\xd6\xff\x00\x00\x00\x00", TransportCode.FRAME_FORMAT),
    (b"\xcb" + bytes(8), TransportCode.FRAME_FORMAT),
    (frame(-1, 0), TransportCode.FRAME_FORMAT),
    (frame(None, 0), TransportCode.FRAME_FORMAT),
    (frame(True, 0), TransportCode.FRAME_FORMAT),
    (frame(1.0, 0), TransportCode.FRAME_FORMAT),
    (frame(b"1", 0), TransportCode.FRAME_FORMAT),
    (frame([], 0), TransportCode.FRAME_FORMAT),
    (frame({}, 0), TransportCode.FRAME_FORMAT),
    (frame(1, -1), TransportCode.FRAME_FORMAT),
    (frame(1, 0.5), TransportCode.FRAME_FORMAT),
    (frame(1, False), TransportCode.FRAME_FORMAT),
    (frame(1, b"resolve"), TransportCode.FRAME_FORMAT),
    (pack([1, 0, None]), TransportCode.FRAME_FORMAT),
    (pack([1, 0, {}]), TransportCode.FRAME_FORMAT),
    (pack([1, 0, b""]), TransportCode.FRAME_FORMAT),
    (pack([1, 0, [], None]), TransportCode.FRAME_FORMAT),
    (pack([1, 0, [], {}]), TransportCode.FRAME_FORMAT),
    (pack([1, 0, [], 0]), TransportCode.FRAME_FORMAT),
    (pack([1, 0, [], [0]]), TransportCode.HPACK),
    (pack([1, 0, [], [9999]]), TransportCode.HPACK),
    (pack([1, 0, [], [["a", "b"]]]), TransportCode.HPACK),
)


class InputTests(SessionCase):
    """Frames reach their channels."""

    def test_new_channel(self) -> None:
        """The first message of a channel goes to the root."""
        self.receive(frame(1, 7, b"a", 2))
        self.assertEqual(self.root.opened, [(1, 7, [b"a", 2], [])])

    def test_open_channel(self) -> None:
        """Later ones go to the receiver that the root has put there."""
        self.receive(frame(1, 1), frame(1, 0, b"x"), frame(1, 2))
        self.assertEqual(
            self.root.listeners[1].messages, [(0, [b"x"], []), (2, [], [])]
        )
        self.assertEqual(self.root.channels, [1])

    def test_order(self) -> None:
        """Frames are dispatched in the order in which they were sent."""
        self.root.on_open = echo
        self.receive(*(frame(number, 0, number) for number in range(1, 100)))
        self.assertEqual(
            self.link.frames(), [[number, 0, [number]] for number in range(1, 100)]
        )

    def test_gaps(self) -> None:
        """Numbers may be left out."""
        self.receive(frame(10, 0), frame(1000000, 0), frame(2**63 - 1, 0))
        self.assertEqual(self.root.channels, [10, 1000000, 2**63 - 1])

    def test_five_elements(self) -> None:
        """A fifth element is ignored, whatever it is."""
        self.receive(pack([1, 0, [b"a"], [], b"junk"]), pack([2, 0, [], [], 1, 2]))
        self.assertEqual(self.root.channels, [1, 2])

    def test_headers(self) -> None:
        """Headers are handed on with their message."""
        self.receive(pack([1, 1, [], [[False, b"a", b"b"]]]), pack([1, 0, [], [80]]))
        self.assertEqual(self.root.opened[0][3], [(b"a", b"b")])
        self.assertEqual(
            self.root.listeners[1].messages[0][2], [(b"trace_id", bytes(8))]
        )

    def test_headers_are_remembered(self) -> None:
        """The table belongs to the connection, not to a channel."""
        self.receive(pack([1, 0, [], [[True, b"a", b"b"]]]))
        self.receive(pack([2, 0, [], [83]]))
        self.assertEqual(self.root.opened[1][3], [(b"a", b"b")])

    def test_headers_of_dropped_frames(self) -> None:
        """Those of a frame that is dropped count like all others."""
        self.receive(frame(1, 0), pack([1, 0, [], [[True, b"a", b"b"]]]))
        self.receive(pack([2, 0, [], [83]]))
        self.assertEqual(self.session.dropped, 1)
        self.assertEqual(self.root.opened[1][3], [(b"a", b"b")])

    def test_shared_empty_headers(self) -> None:
        """Frames with no headers, or an empty list, have none."""
        self.receive(frame(1, 0), pack([2, 0, [], []]))
        self.assertEqual([opened[3] for opened in self.root.opened], [[], []])

    @given(PACKETS, st.data())
    def test_any_cuts(self, samples: list[Sample], data: st.DataObject) -> None:
        """However bytes arrive, the same messages come of them."""
        packet = b"".join(sample.data for sample in samples)
        whole, cut = MemoryRoot(), MemoryRoot()
        for root, reads in (
            (whole, [packet]),
            (cut, pieces(packet, data.draw(cuts(len(packet))))),
        ):
            session = Session(self.turn, MemoryLink(), root)
            for read in reads:
                self.receive(read, session=session)
        self.assertEqual(cut.opened, whole.opened)


class FinishedChannelTests(SessionCase):
    """Frames that nobody waits for are dropped and counted."""

    def test_used(self) -> None:
        """A number that was used, or passed over, opens nothing."""
        self.receive(frame(5, 0), frame(5, 0), frame(3, 0), frame(6, 0))
        self.assertEqual(self.root.channels, [5, 6])
        self.assertEqual(self.session.dropped, 2)
        self.assertEqual(self.link.writes, [])
        self.assertFalse(self.link.closed)

    def test_channel_zero(self) -> None:
        """Channel 0 is answered with what is wrong, and others live on."""
        self.receive(frame(0, 1, b"storage"), frame(1, 0))
        [[channel, kind, [[category, code], reason]]] = self.link.frames()
        self.assertEqual((channel, kind, category, code), (0, 1, 7, 4))
        self.assertIn(b"0.11", reason)
        self.assertEqual(self.root.channels, [1])
        self.assertEqual(self.session.dropped, 1)

    def test_without_a_root(self) -> None:
        """Where only we open channels, those of the peer are dropped."""
        session = Session(self.turn, self.link, None)
        self.receive(frame(1, 0), frame(2, PING), session=session)
        self.assertEqual(session.dropped, 2)
        self.assertEqual(self.link.writes, [])
        self.assertFalse(self.link.closed)

    def test_limit(self) -> None:
        """With too many open channels a new one is refused, and only that."""
        session = Session(self.turn, self.link, self.root, channel_limit=2)
        self.receive(frame(1, 1), frame(2, 1), frame(3, 0), session=session)
        [[channel, kind, [code, _]]] = self.link.frames()
        self.assertEqual((channel, kind, code), (3, 1, [20991, 2]))
        del session.channels[1]
        self.receive(frame(2, 0, b"x"), frame(4, 0), session=session)
        self.assertEqual(self.root.channels, [1, 2, 4])
        self.assertEqual(len(self.root.listeners[2].messages), 1)


class FaultTests(SessionCase):
    """Bytes that are no frame end the connection."""

    def test_no_frames(self) -> None:
        """Each of them closes without a byte, with its fault."""
        for data, code in NO_FRAMES:
            link, root = MemoryLink(), MemoryRoot()
            session = Session(self.turn, link, root)
            self.receive(data, session=session)
            assert session.fault is not None, data
            self.assertEqual(session.fault.code, code, data)
            self.assertEqual((link.closed, link.writes, root.opened), (True, [], []))
            self.assertFalse(session.connected)

    def test_on_an_open_channel(self) -> None:
        """Nor does an open channel hear of a message whose kind is no number."""
        kinds: tuple[Any, ...] = ([], {}, None, b"0", 0.0, False)
        for kind in kinds:
            link, root = MemoryLink(), MemoryRoot()
            session = Session(self.turn, link, root)
            self.receive(frame(1, 1), frame(1, kind), session=session)
            assert session.fault is not None, kind
            self.assertEqual(session.fault.code, TransportCode.FRAME_FORMAT, kind)
            self.assertEqual((root.listeners[1].messages, link.closed), ([], True))

    def test_earlier_answers(self) -> None:
        """Answers to earlier frames of the packet are sent before the end."""
        self.root.on_open = echo
        for data, _ in NO_FRAMES:
            self.link.writes.clear()
            self.link = MemoryLink()
            session = Session(self.turn, self.link, self.root)
            self.receive(frame(1, 0, b"a"), data, session=session)
            self.assertEqual(self.link.frames(), [[1, 0, [b"a"]]], data)
            self.assertTrue(self.link.closed, data)

    def test_later_frames(self) -> None:
        """Frames behind it are not dispatched, now or later."""
        self.receive(b"\x05", frame(1, 0))
        self.receive(frame(2, 0))
        self.assertEqual(self.root.opened, [])

    def test_open_channels(self) -> None:
        """Open channels are told the fault, in the order of their numbers."""
        told: list[int] = []
        self.receive(frame(1, 1), frame(2, 1), frame(3, 1))
        for number, listener in self.root.listeners.items():
            listener.on_discard = partial(told.append, number)
        self.receive(b"\xc1")
        self.assertEqual(told, [1, 2, 3])
        self.assertEqual(
            [listener.errors for listener in self.root.listeners.values()],
            [[self.session.fault]] * 3,
        )
        self.assertEqual(self.session.channels, {})

    @given(st.lists(octets(80), max_size=4))
    def test_random_bytes(self, reads: list[bytes]) -> None:
        """Random bytes raise nothing; they close, or wait for more."""
        link = MemoryLink()
        session = Session(self.turn, link, MemoryRoot())
        for read in reads:
            self.receive(read, session=session)
        self.assertEqual(link.closed, session.fault is not None)

    @given(VALUES)
    def test_random_values(self, value: tuple[Any, Any]) -> None:
        """So does any msgpack value."""
        link = MemoryLink()
        session = Session(self.turn, link, MemoryRoot())
        self.receive(pack(value[0]), session=session)
        self.assertEqual(link.closed, session.fault is not None)
        self.assertEqual(link.closed, not session.connected)


class ControlTests(SessionCase):
    """Messages below every service."""

    def test_ping(self) -> None:
        """A ping is answered with an empty value, whatever it carries."""
        self.receive(frame(1, PING), frame(2, PING, 1, 2))
        self.assertEqual(self.link.frames(), [[1, 0, []], [2, 0, []]])
        self.assertEqual(self.root.opened, [])

    def test_trace(self) -> None:
        """The answer carries the trace of the question."""
        headers = encode_trace(Trace(7, 8, 9))
        self.receive(b"\x94\x01\xcd\xff\xfd\x90" + headers)
        self.assertEqual(self.link.data, b"\x94\x01\x00\x90" + headers)

    def test_bad_trace(self) -> None:
        """A trace that contradicts itself fails the question only."""
        self.receive(b"\x94\x01\xcd\xff\xfd\x90" + encode_trace(Trace(1, 0, 0)))
        [[_, kind, [code, _]]] = self.link.frames()
        self.assertEqual((kind, code), (1, [12, 22]))
        self.assertFalse(self.link.closed)

    def test_unbound(self) -> None:
        """The others, and numbers beyond, are [7, 5] and nothing more."""
        kinds = (SETTINGS, GOAWAY, 65536, 2**64 - 1)
        self.receive(*(frame(n + 1, kind) for n, kind in enumerate(kinds)))
        self.assertEqual(
            [(kind, args[0]) for _, kind, args in self.link.frames()],
            [(1, [7, 5])] * 4,
        )
        self.assertFalse(self.link.closed)

    def test_revoke(self) -> None:
        """A revoked channel is discarded with the code sent, and finished."""
        self.receive(frame(1, 1), frame(2, 1), frame(3, REVOKE, 1, [42, -7]))
        [error] = self.root.listeners[1].errors
        assert isinstance(error, RemoteError)
        self.assertEqual((error.category, error.code), (42, -7))
        self.assertEqual(self.root.listeners[2].errors, [])
        self.assertEqual(list(self.session.channels), [2])
        self.assertEqual(self.link.frames(), [[3, 0, []]])
        self.receive(frame(1, 0))
        self.assertEqual(self.session.dropped, 1)

    def test_revoke_unknown(self) -> None:
        """To revoke what is not there succeeds."""
        self.receive(frame(1, REVOKE, 7, [1, 2]), frame(2, REVOKE, 2, [1, 2, 3], 4))
        self.assertEqual(self.link.frames(), [[1, 0, []], [2, 0, []]])

    def test_revoke_arguments(self) -> None:
        """Wrong arguments are [7, 2], and nothing is revoked."""
        self.receive(frame(1, 1))
        wrong: tuple[list[Any], ...] = (
            [],
            [1],
            [1, 2],
            [1, []],
            [1, [2]],
            [1, [b"1", 2]],
            [b"1", [1, 2]],
            [None, [1, 2]],
            [True, [1, 2]],
            [1, {1: 2, 3: 4}],
        )
        self.receive(*(frame(n + 2, REVOKE, *args) for n, args in enumerate(wrong)))
        self.assertEqual(
            [(kind, args[0]) for _, kind, args in self.link.frames()],
            [(1, [7, 2])] * len(wrong),
        )
        self.assertEqual(list(self.session.channels), [1])


class OutputTests(SessionCase):
    """What is said in one turn leaves with one write."""

    def test_one_write(self) -> None:
        """Sixty-four answers are one write, at the end of the turn."""
        self.root.on_open = echo
        self.turn.begin()
        self.session.receive(b"".join(frame(n, 0, b"x" * 16) for n in range(1, 65)))
        self.assertEqual(self.link.writes, [])
        self.turn.end()
        self.assertEqual(len(self.link.writes), 1)
        self.assertEqual(len(self.link.frames()), 64)

    def test_several_sessions(self) -> None:
        """All sessions of a turn write at its end, each once."""
        links = [MemoryLink() for _ in range(3)]
        sessions = [Session(self.turn, link, None) for link in links]
        self.turn.begin()
        for _ in range(4):
            for session in sessions:
                session.value(1, [])
        self.assertEqual([link.writes for link in links], [[]] * 3)
        self.turn.end()
        self.assertEqual([len(link.writes) for link in links], [1] * 3)

    def test_nested_turns(self) -> None:
        """A turn within a turn is the same turn."""
        self.turn.begin()
        self.turn.begin()
        self.session.value(1, [])
        self.turn.end()
        self.assertEqual(self.link.writes, [])
        self.turn.end()
        self.assertEqual(len(self.link.writes), 1)

    def test_outside_of_a_turn(self) -> None:
        """What is said between turns leaves together in the next one."""
        self.session.value(1, [])
        self.session.value(2, [])
        self.assertEqual(self.link.writes, [])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0)
        self.assertEqual(self.link.frames(), [[1, 0, []], [2, 0, []]])
        self.assertEqual(len(self.link.writes), 1)

    def test_said_while_writing(self) -> None:
        """What is said because something was written leaves in this turn."""
        other = MemoryLink()
        session = Session(self.turn, other, None)
        self.link.on_write = lambda data: session.value(2, [])
        self.turn.begin()
        self.session.value(1, [])
        self.turn.end()
        self.assertEqual(other.frames(), [[2, 0, []]])

    def test_clock(self) -> None:
        """A turn knows when it began."""
        self.clock.advance(7)
        self.turn.begin()
        self.assertEqual(self.turn.now, 7)
        self.turn.end()

    def test_early(self) -> None:
        """Very much leaves at once; nothing is lost, doubled or reordered."""
        self.turn.begin()
        self.session.send(b"a" * EARLY_FLUSH)
        self.assertEqual(self.link.writes, [])
        self.session.send(b"b")
        self.assertEqual([len(data) for data in self.link.writes], [EARLY_FLUSH + 1])
        self.session.send(b"c")
        self.assertEqual(len(self.link.writes), 1)
        self.turn.end()
        self.assertEqual(self.link.data[EARLY_FLUSH - 1 :], b"abc")

    def test_error(self) -> None:
        """An error leaves as its triple, with the headers given."""
        headers = encode_trace(Trace(7, 8, 9))
        self.session.error(3, CocainedError("odd"), headers)
        self.session.flush()
        self.assertEqual(
            self.link.data, b"\x94\x03\x01\x92\x92\x0c\x16\xa3odd" + headers
        )

    def test_values(self) -> None:
        """A value leaves with the headers of no trace."""
        self.session.value(3, [b"a", 1])
        self.session.flush()
        self.assertEqual(
            self.link.data, b"\x94\x03\x00\x92\xa1a\x01" + encode_trace(NO_TRACE)
        )

    def test_fork(self) -> None:
        """Channels of ours share the peer's numbers."""
        listener = Listener()
        self.receive(frame(1, 1))
        self.assertEqual(self.session.fork(listener), 2)
        self.assertEqual(self.session.fork(listener), 3)
        self.receive(frame(2, 0, b"x"), frame(3, 2))
        self.assertEqual([m[0] for m in listener.messages], [0, 2])
        self.receive(frame(7, 0))
        self.assertEqual(self.session.fork(listener), 8)


class EndTests(SessionCase):
    """How connections end."""

    def test_nothing_after_loss(self) -> None:
        """A session whose connection is gone writes nothing, however much."""
        self.session.lost(EOF)
        self.session.value(1, [b"x" * EARLY_FLUSH])
        self.session.error(2, EOF)
        self.clock.advance(0)
        self.session.flush()
        self.assertEqual(self.link.writes, [])
        self.assertFalse(self.session.connected)

    def test_lost_while_speaking(self) -> None:
        """What was not yet sent is forgotten with the connection."""
        self.turn.begin()
        self.session.value(1, [])
        self.session.lost(EOF)
        self.turn.end()
        self.assertEqual(self.link.writes, [])

    def test_hang_up(self) -> None:
        """What has been said is sent, then the connection ends, once."""
        self.receive(frame(1, 1))
        self.session.value(1, [])
        self.session.hang_up(EOF)
        self.assertEqual(self.link.frames(), [[1, 0, []]])
        self.assertTrue(self.link.closed)
        self.assertEqual(self.root.listeners[1].errors, [EOF])
        self.session.hang_up(EOF)
        self.session.lost(EOF)
        self.assertEqual(self.root.listeners[1].errors, [EOF])

    def test_nothing_after_hang_up(self) -> None:
        """Nothing is written after that, also by those who are told of it."""
        self.receive(frame(1, 1))
        self.root.listeners[1].on_discard = lambda: self.session.value(1, [])
        self.session.hang_up(EOF)
        self.session.value(1, [])
        self.clock.advance(0)
        self.assertEqual(self.link.writes, [])

    def test_nothing_is_dispatched_after_hang_up(self) -> None:
        """Frames behind the one that ended the connection open nothing."""
        self.root.on_open = lambda session, channel, args: session.hang_up(EOF)
        self.receive(frame(1, 0), frame(2, 0))
        self.receive(frame(3, 0))
        self.assertEqual(self.root.channels, [1])

    def test_discarded_channels_are_gone(self) -> None:
        """Who is told of the end finds no channel there any more."""
        self.receive(frame(1, 1), frame(2, 1))
        seen: list[int] = []
        for listener in self.root.listeners.values():
            listener.on_discard = lambda: seen.append(len(self.session.channels))
        self.session.lost(EOF)
        self.assertEqual(seen, [0, 0])

    def test_half_closed_and_nothing_owed(self) -> None:
        """A peer that has sent its last byte and waits for nothing is closed."""
        self.receive(frame(1, 1))
        self.session.value(1, [])
        self.session.end(EOF)
        self.assertEqual(self.link.frames(), [[1, 0, []]])
        self.assertTrue(self.link.closed)
        self.assertEqual(self.root.listeners[1].errors, [EOF])

    def test_half_closed_and_owed(self) -> None:
        """What it asked for before is answered first."""
        self.session.owed += 2
        self.session.end(EOF)
        self.assertFalse(self.link.closed)
        self.session.value(1, [])
        self.session.owed -= 1
        self.session.settle()
        self.assertFalse(self.link.closed)
        self.session.value(2, [])
        self.session.owed -= 1
        self.session.settle()
        self.assertEqual(self.link.frames(), [[1, 0, []], [2, 0, []]])
        self.assertTrue(self.link.closed)

    def test_nothing_after_half_close(self) -> None:
        """Once it has been closed nothing is written any more."""
        self.session.end(EOF)
        self.assertTrue(self.link.closed)
        self.session.value(1, [])
        self.clock.advance(0)
        self.session.settle()
        self.assertEqual(self.link.writes, [])

    def test_half_closed_while_held(self) -> None:
        """Frames that wait when the last byte comes are answered as well."""
        self.root.on_open = echo
        self.session.halt()
        self.receive(frame(1, 0), frame(2, 0))
        self.session.end(EOF)
        self.session.release()
        self.assertEqual(self.link.frames(), [[1, 0, []], [2, 0, []]])
        self.assertTrue(self.link.closed)

    def test_settle_without_an_end(self) -> None:
        """A connection that goes on is not closed by an answer."""
        self.session.settle()
        self.assertFalse(self.link.closed)


class PressureTests(SessionCase):
    """A peer that does not read stops those who feed it."""

    def test_congested(self) -> None:
        """It is not read itself until it has read."""
        self.session.congest()
        self.assertTrue(self.session.congested)
        self.assertTrue(self.link.paused)
        self.session.drained()
        self.assertFalse(self.session.congested)
        self.assertFalse(self.link.paused)

    def test_worker(self) -> None:
        """One that may write first and read later is read all the same."""
        session = Session(self.turn, self.link, self.root, hold_itself=False)
        session.congest()
        self.assertTrue(session.congested)
        self.assertFalse(self.link.paused)
        session.drained()

    def test_feeders(self) -> None:
        """Each feeder is stopped once, however often it feeds."""
        sources = [FakeSource(), FakeSource()]
        for _ in range(3):
            for source in sources:
                self.session.hold(source)
        self.assertEqual([source.halts for source in sources], [1, 1])
        self.session.drained()
        self.assertEqual([source.halts for source in sources], [0, 0])
        self.session.drained()
        self.assertEqual([source.halts for source in sources], [0, 0])

    def test_feeders_of_a_lost_one(self) -> None:
        """They go on when their reader is gone."""
        source = FakeSource()
        self.session.congest()
        self.session.hold(source)
        self.session.lost(EOF)
        self.assertEqual(source.halts, 0)
        self.assertFalse(self.session.congested)

    def test_session_feeds_session(self) -> None:
        """A session that feeds another is read no further until that has drained."""
        other_link = MemoryLink()
        reader = Session(self.turn, other_link, None)
        reader.congest()
        reader.hold(self.session)
        self.assertTrue(self.link.paused)
        reader.drained()
        self.assertFalse(self.link.paused)

    def test_several_readers(self) -> None:
        """It waits for all of them."""
        readers = [Session(self.turn, MemoryLink(), None) for _ in range(3)]
        for reader in readers:
            reader.hold(self.session)
        for reader in readers:
            self.assertTrue(self.link.paused)
            reader.drained()
        self.assertFalse(self.link.paused)

    def test_within_a_read(self) -> None:
        """Frames of the same read wait as well, and come in order."""
        source_of = Session(self.turn, MemoryLink(), None)
        self.root.on_open = lambda session, channel, args: source_of.hold(session)
        self.receive(*(frame(n, 0) for n in range(1, 5)))
        for number in range(1, 5):
            self.assertEqual(self.root.channels, list(range(1, number + 1)))
            source_of.drained()
        self.assertFalse(self.link.paused)

    def test_while_halted(self) -> None:
        """What arrives all the same waits behind what has waited."""
        self.session.halt()
        self.receive(frame(1, 0), frame(2, 0))
        self.receive(frame(3, 0))
        self.assertEqual(self.root.channels, [])
        self.session.release()
        self.assertEqual(self.root.channels, [1, 2, 3])

    def test_answers_of_what_has_waited(self) -> None:
        """Their answers leave with one write."""
        self.root.on_open = echo
        self.session.halt()
        self.receive(*(frame(n, 0) for n in range(1, 9)))
        self.session.release()
        self.assertEqual(len(self.link.writes), 1)
        self.assertEqual([f[0] for f in self.link.frames()], list(range(1, 9)))

    def test_fault_behind_waiting_frames(self) -> None:
        """A fault waits behind them: they are answered before the end."""
        self.root.on_open = echo
        self.session.halt()
        self.receive(frame(1, 0), frame(2, 0), b"\xc1")
        self.assertFalse(self.link.closed)
        self.session.release()
        self.assertEqual([f[0] for f in self.link.frames()], [1, 2])
        self.assertTrue(self.link.closed)
        self.assertIsInstance(self.session.fault, RemoteProtocolError)

    def test_released_after_the_end(self) -> None:
        """To release a session that is gone does no harm."""
        self.session.halt()
        self.receive(frame(1, 0))
        self.session.lost(EOF)
        self.session.release()
        self.assertEqual(self.root.opened, [])
        self.assertTrue(self.link.paused)

    def test_congested_while_answering(self) -> None:
        """A link that is full stops the dispatch within the same read."""
        self.link.on_write = lambda data: self.session.congest()
        self.root.on_open = lambda session, channel, args: session.value(
            channel, [b"x" * (EARLY_FLUSH // 2)]
        )
        self.receive(*(frame(n, 0) for n in range(1, 100)))
        self.assertLess(len(self.root.opened), 4)
        self.assertTrue(self.link.paused)
        rounds = 0
        while self.session.congested:
            rounds += 1
            self.session.drained()
        self.assertEqual(self.root.channels, list(range(1, 100)))
        self.assertEqual([f[0] for f in self.link.frames()], list(range(1, 100)))
        self.assertGreater(rounds, 30)
