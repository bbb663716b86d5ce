# -*- test-case-name: cocained.test.test_services_storage -*-
"""
The storage service on the wire: the probes of reference-behaviour.md §4.
"""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from cocained.config import convert
from cocained.errors import ConfigError, StorageError
from cocained.interfaces import IRemoteService
from cocained.services.storage import OWN_COLLECTIONS, StorageArgs, StorageService
from cocained.storages.memory import MemoryStorage
from cocained.test.service_case import ServiceCase

MISSING = "No such file or directory"
SHORT = "sequence size mismatch - got {} element(s), expected at least {}"


class _StorageCase(ServiceCase):
    def setUp(self) -> None:
        super().setUp()
        node: Any = self.node
        self.service = StorageService(node, "storage", StorageArgs())
        self.client = self.connect(self.service)
        self._channel = 0

    def ask(self, kind: int, *args: Any) -> Any:
        """Send a request on the next channel; give its answer's value or error."""
        self._channel += 1
        (answer,) = self.client.send([self._channel, kind, list(args)])
        self.assertEqual(answer[0], self._channel)
        return answer[1:]

    def check_refused(self, answer: Any, code: int, end: str) -> None:
        """The answer is that error of the system, and ends with that text."""
        kind, (pair, reason) = answer
        self.assertEqual((kind, pair), (1, [12, code]), reason)
        self.assertTrue(reason.endswith(end), reason)

    def read(self, collection: Any, key: Any) -> Any:
        return self.ask(0, collection, key)

    def write(self, *args: Any) -> Any:
        return self.ask(1, *args)

    def remove(self, collection: str, key: str) -> Any:
        return self.ask(2, collection, key)

    def find(self, collection: str, tags: Any) -> Any:
        return self.ask(3, collection, tags)


class RoundTripTests(_StorageCase):
    """S1 to S6, S15 to S17, S21, S25."""

    def test_interface(self) -> None:
        """It is a service, of version 1."""
        self.assertTrue(verifyObject(IRemoteService, self.service))
        self.assertEqual(self.service.protocol.version, 1)

    def test_missing(self) -> None:
        """S1: a missing key has the system's code, and its place in the text."""
        self.check_refused(self.read("ns1", "missing"), 2, f"ns1/missing: {MISSING}")

    def test_life_of_an_object(self) -> None:
        """S2: write, read, find, remove, and then it is gone."""
        self.assertEqual(self.write("ns1", "k1", "hello", ["t1", "t2"]), [0, []])
        self.assertEqual(self.read("ns1", "k1"), [0, ["hello"]])
        self.assertEqual(self.find("ns1", ["t1"]), [0, [["k1"]]])
        self.assertEqual(self.find("ns1", ["t2", "t1"]), [0, [["k1"]]])
        self.assertEqual(self.remove("ns1", "k1"), [0, []])
        self.check_refused(self.read("ns1", "k1"), 2, f"ns1/k1: {MISSING}")
        self.assertEqual(self.find("ns1", ["t1"]), [0, [[]]])

    def test_without_tags(self) -> None:
        """S3: the tags of a write may be left out."""
        self.assertEqual(self.write("ns1", "k2", "v"), [0, []])
        self.assertEqual(self.read("ns1", "k2"), [0, ["v"]])

    def test_empty_lists(self) -> None:
        """S4: no tags, an unknown tag and an unknown collection find nothing."""
        self.assertEqual(self.write("ns1", "k3", "v", []), [0, []])
        self.assertEqual(self.find("ns1", []), [0, [[]]])
        self.assertEqual(self.find("ns1", ["zz"]), [0, [[]]])
        self.assertEqual(self.find("nons", ["zz"]), [0, [[]]])

    def test_tags_only_add(self) -> None:
        """S5: an overwritten object keeps its old tags."""
        self.write("ns1", "k4", "a", ["ta"])
        self.write("ns1", "k4", "b", ["tb"])

        self.assertEqual(self.find("ns1", ["ta"]), [0, [["k4"]]])
        self.assertEqual(self.find("ns1", ["tb"]), [0, [["k4"]]])
        self.assertEqual(self.read("ns1", "k4"), [0, ["b"]])

    def test_remove_missing(self) -> None:
        """S6: removing what is not there is a success."""
        self.assertEqual(self.remove("ns1", "missing"), [0, []])
        self.assertEqual(self.remove("nons", "missing"), [0, []])

    def test_binary(self) -> None:
        """S15: zero bytes, and bytes that are no text."""
        blob = b"\x00\x01\x02\x03\xff\xfe"
        self.assertEqual(self.write("ns1", "bin", blob), [0, []])
        self.assertEqual(self.read("ns1", "bin"), [0, [blob]])

    def test_empty(self) -> None:
        """S16: an empty object is one."""
        self.assertEqual(self.write("ns1", "e", "", []), [0, []])
        self.assertEqual(self.read("ns1", "e"), [0, [""]])

    def test_new_string_family(self) -> None:
        """S17: a value of the type bin8 is a string, and comes back as a raw one."""
        frame = bytes.fromhex("93010194a36e7331a3626231c40361626390")
        self.assertEqual(self.client.send_raw(frame), [[1, 0, []]])

        self.assertEqual(self.client.send([2, 0, ["ns1", "bb1"]]), [[2, 0, ["abc"]]])

    def test_pipelined(self) -> None:
        """S21: four requests in one packet act and are answered in their order."""
        answers = self.client.send(
            [1, 1, ["ns1", "pp", "first", []]],
            [2, 0, ["ns1", "pp"]],
            [3, 2, ["ns1", "pp"]],
            [4, 0, ["ns1", "pp"]],
        )

        self.assertEqual(answers[:3], [[1, 0, []], [2, 0, ["first"]], [3, 0, []]])
        self.assertEqual(answers[3][:2], [4, 1])

    def test_large(self) -> None:
        """S25: three mebibytes go in and out in one frame each."""
        blob = bytes(range(256)) * (3 * 4096)
        self.assertEqual(self.write("ns1", "big", blob), [0, []])
        self.assertEqual(self.read("ns1", "big"), [0, [blob]])


class ArgumentTests(_StorageCase):
    """S7 to S10, S22, S23: the original closes; here one channel has an error."""

    def test_one_argument(self) -> None:
        """S7: a read needs two names."""
        self.assertEqual(self.ask(0, "ns1"), [1, [[7, 2], SHORT.format(1, 2)]])
        self.assertEqual(self.remove("ns1", "x"), [0, []])

    def test_integer_key(self) -> None:
        """S8: a number is no key."""
        self.assertEqual(
            self.read("ns1", 5), [1, [[7, 2], "expected a string, got an integer"]]
        )

    def test_integer_value(self) -> None:
        """S9: a number is no blob, and nothing is stored."""
        self.assertEqual(
            self.write("ns1", "k", 5, []),
            [1, [[7, 2], "expected a string, got an integer"]],
        )
        self.check_refused(self.read("ns1", "k"), 2, MISSING)

    def test_tags_as_string(self) -> None:
        """S10: one tag is a list of one."""
        self.assertEqual(
            self.write("ns1", "k", "v", "t"),
            [1, [[7, 2], "expected a list, got a string"]],
        )

    def test_unknown_method(self) -> None:
        """S22: there are four methods."""
        self.assertEqual(self.ask(4), [1, [[7, 5], "there is no method 4"]])

    def test_same_channel_twice(self) -> None:
        """S23: the first answer arrives; what follows it on the channel is dropped."""
        self.write("ns1", "k2", "v")

        answers = self.client.send([2, 0, ["ns1", "k2"]], [2, 0, ["ns1", "k2"]])

        self.assertEqual(answers, [[2, 0, ["v"]]])
        self.assertEqual(self.client.session.dropped, 1)
        self.assertEqual(self.client.send([3, 0, ["ns1", "k2"]]), [[3, 0, ["v"]]])

    def test_unknown_authorization(self) -> None:
        """S24: an authorization that means nothing here is ignored."""
        self.write("ns1", "k2", "v")

        answer = self.client.send(
            [2, 0, ["ns1", "k2"], [[False, "authorization", "Token abc"]]]
        )

        self.assertEqual(answer, [[2, 0, ["v"]]])


class NameTests(_StorageCase):
    """S11 to S14c, S18 to S20: names and the places they lead to."""

    def setUp(self) -> None:
        super().setUp()
        self.write("ns1", "k2", "v", ["t1"])

    def test_tag_as_key(self) -> None:
        """S11: a tag is a directory."""
        self.check_refused(self.read("ns1", "t1"), errno.EISDIR, "Is a directory")

    def test_empty_names(self) -> None:
        """S12, S12b, S12c: empty names have the original's codes."""
        self.check_refused(self.read("ns1", ""), errno.EISDIR, "Is a directory")
        self.check_refused(self.read("", "ns1"), errno.EISDIR, "Is a directory")
        self.check_refused(
            self.write("ns1", "", "v", []), errno.EACCES, "ns1: Permission denied"
        )

    def test_climbing(self) -> None:
        """S13: a key cannot leave its collection (the original's can)."""
        kind, (pair, reason) = self.read("ns1", "../ns1/k2")

        self.assertEqual((kind, pair), (1, [12, errno.EACCES]))
        self.assertIn("ns1/../ns1/k2: Permission denied", reason)
        self.check_refused(self.read("ns1", "a/b/c"), 2, f"ns1/a/b/c: {MISSING}")

    def test_slashes(self) -> None:
        """S14, S14b, S14c: collections may have slashes, keys may not."""
        self.check_refused(
            self.write("ns1", "a/b", "v", []),
            errno.EACCES,
            "ns1/a/b: Permission denied",
        )
        self.assertEqual(self.write("ns2/sub", "k", "v", []), [0, []])
        self.assertEqual(self.read("ns2/sub", "k"), [0, ["v"]])
        self.check_refused(self.read("ns1", "/etc/hostname"), 2, MISSING)

    def test_tags(self) -> None:
        """S18: a tag counts once, and is not the object itself."""
        self.assertEqual(self.write("ns1", "k5", "v", ["d", "d"]), [0, []])
        self.assertEqual(self.find("ns1", ["d", "d"]), [0, [["k5"]]])
        self.check_refused(
            self.write("ns1", "k6", "v", ["k6"]),
            errno.ENOTDIR,
            "ns1/k6: Not a directory",
        )
        self.check_refused(self.read("ns1", "k6"), 2, MISSING)

    def test_tag_is_a_key(self) -> None:
        """S19: a tag that is an object is refused, and nothing is left of it."""
        self.check_refused(
            self.write("ns1", "k7", "v", ["k2"]),
            errno.ENOTDIR,
            "ns1/k2: Not a directory",
        )
        self.check_refused(self.read("ns1", "k7"), 2, MISSING)

    def test_collection_is_a_key(self) -> None:
        """S20: nothing can be put under an object."""
        self.check_refused(
            self.write("ns1/k2", "k", "v", []),
            errno.ENOTDIR,
            "ns1/k2: Not a directory",
        )

    def test_bytes_for_names(self) -> None:
        """Names that are no UTF-8 come back as the bytes they were."""
        self.assertEqual(self.write("ns1", b"\xff\x80", "v", ["raw"]), [0, []])
        self.assertEqual(self.find("ns1", ["raw"]), [0, [[b"\xff\x80"]]])


class BackendTests(_StorageCase):
    """Which storage is behind the service, and how it fails."""

    def test_backend(self) -> None:
        """``backend`` names another storage of the node."""
        node: Any = self.node
        other = MemoryStorage(node, "other")
        self.node.storages["other"] = other
        args = convert({"backend": "other"}, StorageArgs)
        client = self.connect(StorageService(node, "storage", args))

        self.assertEqual(client.send([1, 1, ["c", "k", "v"]]), [[1, 0, []]])

        self.assertEqual(self.successResultOf(other.read("c", "k")), b"v")
        self.check_refused(self.read("c", "k"), 2, MISSING)

    def test_unknown_backend(self) -> None:
        """A storage that the node has not keeps the service from being built."""
        node: Any = self.node

        error = self.assertRaises(
            ConfigError, StorageService, node, "storage", StorageArgs(backend="x")
        )

        self.assertIn("'x'", str(error))

    def test_unknown_argument(self) -> None:
        """The service has one argument."""
        error = self.assertRaises(ConfigError, convert, {"back": "x"}, StorageArgs)

        self.assertIn("backend", str(error))

    def test_failure(self) -> None:
        """A failing disk is told with its code, and the connection lives on."""
        self.node.core.refused["k"] = StorageError(errno.EIO, "<core>/c/k: I/O error")

        self.assertEqual(self.read("c", "k"), [1, [[12, 5], "<core>/c/k: I/O error"]])
        self.assertEqual(self.write("c", "k2", "v"), [0, []])

    def test_bug(self) -> None:
        """An error that is none of ours travels as ``[7, 7]``, and is logged."""
        self.store("c", "k", b"v")
        gate: Deferred[None] = Deferred()
        self.node.core.held["k"] = gate
        self.assertEqual(self.client.send([1, 0, ["c", "k"]]), [])

        gate.errback(ZeroDivisionError("oops"))

        self.assertEqual(self.client.receive(), [[1, 1, [[7, 7], "oops"]]])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_late_answers(self) -> None:
        """Answers of different channels come as they are ready."""
        self.store("c", "slow", b"s")
        self.store("c", "fast", b"f")
        gate: Deferred[None] = Deferred()
        self.node.core.held["slow"] = gate

        answers = self.client.send([3, 0, ["c", "slow"]], [4, 0, ["c", "fast"]])
        self.assertEqual(answers, [[4, 0, ["f"]]])
        gate.callback(None)

        self.assertEqual(self.client.receive(), [[3, 0, ["s"]]])

    def test_client_is_gone(self) -> None:
        """An answer for a client that is gone goes nowhere, and nothing fails."""
        self.write("c", "slow", "s")
        gate: Deferred[None] = Deferred()
        self.node.core.held["slow"] = gate
        self.client.send([2, 0, ["c", "slow"]])
        self.client.lose()

        gate.callback(None)

        self.assertEqual(self.client.receive(), [])
        self.assertEqual(self.client.session.owed, 0)


class WallTests(_StorageCase):
    """What workers behind walls have of it."""

    def setUp(self) -> None:
        super().setUp()
        door: Any = None
        self.assertIs(self.service.seen_from(door, False), self.service)
        self.store("profiles", "default", b"secret", ("profile",))
        self.client = self.connect(self.service.seen_from(door, True))

    def test_own_data(self) -> None:
        """Collections of apps can be used like any other."""
        self.assertEqual(self.write("mine", "key", b"value", ["tag"]), [0, []])
        self.assertEqual(self.read("mine", "key"), [0, ["value"]])
        self.assertEqual(self.find("mine", ["tag"]), [0, [["key"]]])
        self.assertEqual(self.remove("mine", "key"), [0, []])

    def test_the_nodes(self) -> None:
        """Collections of nodes cannot, by no method."""
        for collection in OWN_COLLECTIONS:
            for answer in (
                self.read(collection, "default"),
                self.write(collection, "default", b"x"),
                self.remove(collection, "default"),
                self.find(collection, ["profile"]),
            ):
                self.check_refused(answer, errno.EACCES, "Permission denied")
        self.assertEqual(
            self.successResultOf(self.node.core.read("profiles", "default")), b"secret"
        )

    def test_other_spellings(self) -> None:
        """Nor under names that a database may take for theirs."""
        for name in (
            *("Profiles", "PROFILES", "profiles ", " profiles", "prófiles"),
            *("profiles/x", "profiles/", "pro\u200bfiles", "\uff50rofiles"),
            "profi\u0301les",
        ):
            answer = self.read(name, "default")
            self.check_refused(answer, errno.EACCES, "Permission denied")

    def test_similar_names(self) -> None:
        """Names that only look alike are the apps' own."""
        for name in ("profiles2", "my-profiles", "x/profiles", "application", "\udcff"):
            self.assertEqual(self.write(name, "key", b"value"), [0, []], name)
