# -*- test-case-name: cocained.test.test_rpc_client_laws -*-
"""Laws that clients keep whatever comes: properties, by hypothesis."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import CocainedError, InvalidArgument
from cocained.rpc.calls import END, STREAM_LIMIT, Stream, reported
from cocained.rpc.client import LOCATOR_GRAPH, Resolved
from cocained.rpc.codec import Decoder, Pairs, encode, pack
from cocained.rpc.connection import connect
from cocained.rpc.graph import CLOSE, STREAMING, WRITE
from cocained.rpc.headers import UNTRACED, Header
from cocained.rpc.outbox import PIECE
from cocained.test.memory_network import (
    MemoryNetwork,
    RawFactory,
    graph_on_the_wire,
    reply,
)
from cocained.test.strategies import octets
from cocained.tools.call import parse_argument
from cocained.tools.output import dumps

HERE = ("127.0.0.1", 1001)

#: What the decoder may give: bytes, numbers, lists, maps as pairs.
WIRE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | octets(20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(st.tuples(inner, inner), max_size=4).map(Pairs)
    ),
    max_leaves=12,
)


class Ignoring:
    """A receiver that wants nothing."""

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        """Ignore it."""

    def discard(self, error: CocainedError) -> None:
        """Ignore it."""


class LawTests(SynchronousTestCase):
    """No input makes a client raise what it does not promise."""

    @given(WIRE)
    def test_resolved(self, value: Any) -> None:
        """Whatever a locator answers is a place or an invalid argument."""
        try:
            resolved = Resolved.from_wire(value)
        except InvalidArgument:
            return
        self.assertIsInstance(resolved.version, int)

    @given(st.lists(st.tuples(st.text(max_size=9), st.integers(0, 65535)), max_size=3))
    def test_resolved_round_trip(self, endpoints: list[tuple[str, int]]) -> None:
        """What a locator packs is what one gets."""
        answer = [list(map(list, endpoints)), 3, graph_on_the_wire(LOCATOR_GRAPH)]
        (decoded,) = Decoder().decode(pack(answer))
        resolved = Resolved.from_wire(decoded)
        self.assertEqual(list(resolved.endpoints), endpoints)
        self.assertEqual(resolved.graph, LOCATOR_GRAPH)

    @given(st.lists(WIRE, max_size=3))
    def test_reported(self, args: list[Any]) -> None:
        """Whatever an error frame holds is an error that can be shown."""
        self.assertTrue(str(reported(args)))

    @given(WIRE)
    def test_json(self, value: Any) -> None:
        """Whatever a service answers can be printed as JSON that can be read."""

        def refuse(constant: str) -> None:
            raise AssertionError(constant)

        json.loads(dumps(value), parse_constant=refuse)

    @given(st.text(max_size=50))
    def test_argument(self, text: str) -> None:
        """Whatever is typed is an argument."""
        parse_argument(text)


class TrafficTests(SynchronousTestCase):
    """What one side says the other one hears, however it is cut."""

    def connect(self) -> tuple[MemoryNetwork, RawFactory, Any]:
        """Connect to a server that is silent."""
        network = MemoryNetwork()
        factory = RawFactory(lambda frame: b"")
        network.listeners[HERE] = factory
        connecting = connect(network.wiring, [HERE], 1)
        network.flush()
        return network, factory, self.successResultOf(connecting)

    @settings(max_examples=25, deadline=None)
    @given(
        st.lists(
            st.tuples(st.sampled_from([0, 1, 70_000, PIECE, 3 * PIECE]), st.booleans()),
            max_size=5,
        )
    )
    def test_order_of_frames(self, frames: list[tuple[int, bool]]) -> None:
        """Big and small frames arrive whole and in the order of sending."""
        network, factory, connection = self.connect()
        for size, pause in frames:
            connection.open(Ignoring(), size, [bytes(size)])
            if pause:
                network.flush()
        network.flush()
        heard = [(frame[1], len(frame[2][0])) for frame in factory.raw[0].frames]
        self.assertEqual(heard, [(size, size) for size, _ in frames])

    @settings(max_examples=25, deadline=None)
    @given(
        st.lists(st.integers(0, STREAM_LIMIT // 3), max_size=12),
        st.lists(st.integers(0, 3), max_size=12),
    )
    def test_streams_are_bounded(self, sizes: list[int], reads: list[int]) -> None:
        """A stream gives every chunk once, and holds no more than its limit."""
        network, factory, connection = self.connect()
        stream = Stream(connection, "x", STREAMING, STREAMING, network)
        stream.begin(0, [])
        network.flush()
        got: list[Any] = []
        waiting = list(reads)
        for size in sizes:
            factory.raw[0].transport.write(reply(1, WRITE, bytes(size)))
            network.flush()
            self.assertLess(stream._size, STREAM_LIMIT + STREAM_LIMIT // 2)
            for _ in range(waiting.pop(0) if waiting else 0):
                if stream._chunks:
                    got.append(self.successResultOf(stream.read()))
                    network.flush()
        factory.raw[0].transport.write(encode(1, CLOSE, [], UNTRACED))
        while True:
            network.flush()
            chunk = self.successResultOf(stream.read())
            if chunk is END:
                break
            got.append(chunk)
        self.assertEqual([len(chunk) for chunk in got], sizes)
