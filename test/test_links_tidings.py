# -*- test-case-name: cocained.test.test_links_tidings -*-
"""
What other nodes say, and what nobody should be able to say.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Any

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import CocainedError, InvalidArgument, RemoteProtocolError
from cocained.links import tidings as module
from cocained.links.tidings import (
    ENDPOINT_LIMIT,
    EXTRA_DEPTH,
    EXTRA_HEADER,
    GROUPS_LIMIT,
    NAME_LIMIT,
    REMEMBERED,
    REMEMBERED_BYTES,
    Offer,
    Reader,
    Tidings,
    check_endpoints,
    check_name,
)
from cocained.rpc.codec import Pairs, pack, unpack
from cocained.rpc.headers import Header
from cocained.test.strategies import VALUES

UUID = "aaaaaaaa-0000-4000-8000-000000000001"
STORAGE = [[["10.0.0.1", 32770]], 1, {0: ["read", {}, {0: ["value", {}]}]}]


def on_the_wire(value: Any) -> Any:
    """A value as the decoder gives it."""
    return unpack(pack(value))


class _ReaderCase(SynchronousTestCase):
    """A reader."""

    def setUp(self) -> None:
        self.reader = Reader()

    def read(
        self, services: Any, extra: Any = None, uuid: Any = UUID, *more: Any
    ) -> Tidings:
        """Read what a node says of its services."""
        headers: list[Header] = [(b"trace_id", bytes(8))]
        if extra is not None:
            packed = extra if isinstance(extra, bytes) else pack(extra)
            headers.append((EXTRA_HEADER, packed))
        return self.reader.read(on_the_wire([uuid, services, *more]), headers)

    def refused(
        self, part: str, services: Any, extra: Any = None, uuid: Any = UUID
    ) -> None:
        """Expect that it cannot be read, with a text that says why."""
        error = self.assertRaises(InvalidArgument, self.read, services, extra, uuid)
        self.assertIn(part, str(error))


class ReadTests(_ReaderCase):
    """What an honest node says."""

    def test_service(self) -> None:
        """Name, endpoints, version and graph are those that were sent."""
        found = self.read({"storage": STORAGE})

        self.assertEqual(found.uuid, UUID)
        graph: Any = {0: ("read", {}, {0: ("value", {})})}
        self.assertEqual(
            found.offers, (Offer("storage", [("10.0.0.1", 32770)], 1, graph),)
        )
        self.assertEqual(found.names, {"storage"})
        self.assertEqual((found.extra, found.groups), ({}, None))

    def test_removed(self) -> None:
        """A service without endpoints is there no more."""
        found = self.read({"echo": [[], 1, {}], "ext": [[], 0, {}]})

        self.assertEqual([offer.name for offer in found.offers], ["echo", "ext"])
        self.assertEqual(found.names, set())

    def test_idle(self) -> None:
        """A node may have nothing."""
        self.assertEqual(self.read({}).offers, ())

    def test_extra(self) -> None:
        """Extra values are text, numbers, lists and maps of those."""
        found = self.read(
            {}, {"weight": 5, "x-region": "r1", "list": ["a", {"b": True}], "n": None}
        )

        self.assertEqual(
            found.extra,
            {"weight": 5, "x-region": "r1", "list": ["a", {"b": True}], "n": None},
        )

    def test_groups(self) -> None:
        """Names of refreshed groups come along; no names mean all."""
        self.assertEqual(self.read({}, {"cocained-groups": ["g1"]}).groups, ["g1"])
        self.assertEqual(self.read({}, {"cocained-groups": []}).groups, [])
        many = [str(number) for number in range(GROUPS_LIMIT + 1)]
        self.assertEqual(self.read({}, {"cocained-groups": many}).groups, ())

    def test_more_arguments(self) -> None:
        """What a later dialect may add is passed over."""
        found = self.read({"s": [*STORAGE, "more"]}, None, UUID, "more")

        self.assertEqual(found.names, {"s"})

    def test_name_twice(self) -> None:
        """A name that comes twice counts as the later one says."""
        pair: Any = [["127.0.0.1", 1]], 1, {}
        twice = Pairs(
            ((b"s", on_the_wire([[], 0, {}])), (b"s", on_the_wire(list(pair))))
        )

        found = self.reader.read([b"node", twice], [])

        self.assertEqual(len(found.offers), 1)
        self.assertEqual(found.names, {"s"})

    def test_names_beyond_text(self) -> None:
        """Names that are no UTF-8 survive."""
        found = self.reader.read([b"n", Pairs(((b"\xff", [[], 0, Pairs()]),))], [])

        self.assertEqual(found.offers[0].name, "\udcff")


class MemoryTests(_ReaderCase):
    """Copies share what they have in common."""

    def test_graphs(self) -> None:
        """Two nodes with the same service share its graph."""
        first = self.read({"s": STORAGE}).offers[0].graph
        second = self.read({"t": STORAGE}, uuid="other").offers[0].graph

        self.assertIs(first, second)

    def test_extras(self) -> None:
        """They share extra values, too, which nobody can change."""
        first = self.read({}, {"a": 1}).extra
        second = self.read({}, {"a": 1}).extra

        self.assertIs(first, second)
        self.assertNotIsInstance(first, MutableMapping)

    def test_bounded(self) -> None:
        """Ever new graphs and values are forgotten again, large ones at once."""
        for number in range(REMEMBERED + 10):
            graph = {number: ["m", {}, {}]}
            self.read({"s": [[], 1, graph]}, {"n": number})
        self.assertLessEqual(len(self.reader._graphs), REMEMBERED)
        self.assertLessEqual(len(self.reader._extras), REMEMBERED)

        large = "x" * REMEMBERED_BYTES
        self.read({"s": [[], 1, {0: [large, {}, {}]}]}, {"n": large})

        for memory in (self.reader._graphs, self.reader._extras):
            self.assertLessEqual(max(map(len, memory)), REMEMBERED_BYTES)


class HostileTests(_ReaderCase):
    """What cannot be used says why."""

    def test_no_announcement(self) -> None:
        """Too few arguments, and things that are no map."""
        self.assertRaises(InvalidArgument, self.reader.read, [b"uuid"], [])
        self.assertRaises(InvalidArgument, self.reader.read, [], [])
        self.refused("no map", ["storage"])
        self.refused("expected a string, got an integer", {}, uuid=5)

    def test_uuid(self) -> None:
        """A uuid has a length."""
        self.refused("has 0 bytes", {}, uuid="")
        self.refused("has 256 bytes", {}, uuid="u" * 256)

    def test_names(self) -> None:
        """So has a service, whose name is a string."""
        self.refused("has 256 bytes", {"s" * 256: STORAGE})
        self.refused("expected a string", {5: STORAGE})

    def test_services(self) -> None:
        """A service is endpoints, version and graph."""
        for value in ("x", [], [[], 1], [[], -1, {}], [[], "1", {}], [[], 1, []]):
            self.assertRaises(InvalidArgument, self.read, {"s": value})
        self.refused("'s' is not announced as", {"s": [[]]})

    def test_endpoints(self) -> None:
        """Endpoints are few, and numeric."""
        self.refused("no numeric address", {"s": [[["host", 1]], 1, {}]})
        for host in ("::1%\n", "::1% ", "::1%\x1b", "::1%\xe9", "::1%" + "z" * 125):
            self.refused("no numeric address", {"s": [[[host, 1]], 1, {}]})
        self.refused("65536 is no port", {"s": [[["::1", 65536]], 1, {}]})
        self.refused("expected 2 elements", {"s": [[["::1"]], 1, {}]})
        many = [["::1", 1]] * (ENDPOINT_LIMIT + 1)
        self.refused("the limit is 64", {"s": [many, 1, {}]})

    def test_graphs(self) -> None:
        """Graphs have an end."""
        deep: Any = {}
        for _ in range(20):
            deep = {0: ["m", deep]}
        self.refused("deeper than", {"s": [[], 1, {0: ["m", deep, {}]}]})
        for _ in range(600):
            deep = [deep]
        value = [[], 1, deep]
        args = [UUID.encode(), Pairs(((b"s", value),))]
        error = self.assertRaises(InvalidArgument, self.reader.read, args, [])
        self.assertEqual(str(error), "a graph is no map")
        wide = {number: ["m", {}, {}] for number in range(5000)}
        self.refused("more than 4096 entries", {"s": [[], 1, wide]})

    def test_extra(self) -> None:
        """Extra values are one packed map, and not too deep."""
        self.refused("no map", {}, [1])
        self.assertRaises(RemoteProtocolError, self.read, {}, b"\xc1")
        self.assertRaises(RemoteProtocolError, self.read, {}, b"\x80\x80")
        self.refused("expected a string, got an integer", {}, {1: 2})
        deep: Any = 1
        for _ in range(EXTRA_DEPTH + 2):
            deep = [deep]
        self.refused("deeper than 16 levels", {}, {"a": deep})

    def test_groups(self) -> None:
        """Refreshed groups are names."""
        self.refused("no list of names", {}, {"cocained-groups": "g1"})
        self.refused("no list of names", {}, {"cocained-groups": [1]})

    @given(VALUES, VALUES)
    def test_anything(self, value: tuple[Any, Any], extra: tuple[Any, Any]) -> None:
        """Whatever is sent: it is read, or refused with an error of ours."""
        sent = value[1]
        node = UUID.encode()
        for args in ([sent], [node, sent], [node, Pairs(((b"s", sent),))]):
            try:
                found = Reader().read(args, [(EXTRA_HEADER, pack(extra[0]))])
            except CocainedError:
                continue
            self.assertEqual(found.uuid, UUID)

    def test_noise(self) -> None:
        """Random bytes for extra values are no reason to stumble."""
        for size in range(1, 60):
            header = (EXTRA_HEADER, os.urandom(size))
            try:
                Reader().read([UUID.encode(), Pairs()], [header])
            except CocainedError as error:
                self.assertTrue(str(error))


class CheckTests(SynchronousTestCase):
    """What is asked of names and addresses everywhere."""

    def test_names(self) -> None:
        """A name has 1 to 255 bytes, however many signs those are."""
        check_name("n" * NAME_LIMIT, "it")
        self.assertRaises(InvalidArgument, check_name, "ä" * 128, "it")
        check_name("\udcff", "it")
        error = self.assertRaises(InvalidArgument, check_name, "", "the name")
        self.assertEqual(str(error), "the name has 0 bytes, not 1 to 255")

    def test_addresses(self) -> None:
        """Both families are numeric addresses; port 0 is as good as any."""
        check_endpoints([("127.0.0.1", 0), ("2001:db8::1", 65535)])
        check_endpoints([])
        self.assertRaises(InvalidArgument, check_endpoints, [("localhost", 1)])

    def test_constants(self) -> None:
        """The header and the key are what goes over the wire."""
        self.assertEqual(module.EXTRA_HEADER, b"x-cocaine-locator-extra")
        self.assertEqual(module.GROUPS_KEY, "cocained-groups")
