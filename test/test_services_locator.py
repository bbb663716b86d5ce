# -*- test-case-name: cocained.test.test_services_locator -*-
"""
The locator on the wire: the probes of reference-behaviour.md §3.

Where the original closes the connection, this one answers with an error and
the connection lives on (``docs/differences.rst``); the probe that it does is
the last request of each test.
"""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import formatEvent
from zope.interface.verify import verifyObject

from cocained.config import ComponentConfig, convert
from cocained.errors import ConfigError, StorageError, UnknownPlugin
from cocained.interfaces import IExposure, IRemoteService, IReporter
from cocained.links.pace import Pace
from cocained.services.locator import EXTRA_LIMIT, LocatorArgs, LocatorService
from cocained.services.storage import StorageArgs, StorageService
from cocained.test.locator_case import DISCARD, NOT_THERE, STORAGE, LocatorCase
from cocained.test.service_case import PRIM, STREAM, MemoryNode, ServiceCase


class ResolveTests(LocatorCase):
    """L1 to L8b."""

    def test_interfaces(self) -> None:
        """The locator is a service, and listens to the directory."""
        self.assertTrue(verifyObject(IRemoteService, self.locator))
        self.assertTrue(verifyObject(IExposure, self.locator))
        self.assertTrue(verifyObject(IReporter, self.locator))

    def test_storage(self) -> None:
        """L1: address, version and graph; control messages are not listed."""
        self.check([1, 0, ["storage"]], [1, 0, STORAGE])

    def test_itself(self) -> None:
        """L2: the locator finds itself, with its numbers where clients want them."""
        graph = {
            0: ["resolve", {}, PRIM],
            1: ["connect", {}, STREAM],
            2: ["refresh", {}, PRIM],
            3: ["cluster", {}, PRIM],
            4: ["publish", DISCARD, PRIM],
            5: ["routing", DISCARD, STREAM],
            6: ["uuid", {}, PRIM],
        }
        self.check([1, 0, ["locator"]], [1, 0, [[["127.0.0.1", 12053]], 3, graph]])

    def test_logging(self) -> None:
        """L3: the mute method has no upstream."""
        graph = {
            0: ["emit", {}, {}],
            1: ["verbosity", {}, PRIM],
            2: ["set_verbosity", {}, PRIM],
        }
        self.check([1, 0, ["logging"]], [1, 0, [[["127.0.0.1", 12061]], 2, graph]])

    def test_unknown(self) -> None:
        """L4: an unknown name has an error of its own."""
        self.check([1, 0, ["nope"]], [1, 1, NOT_THERE])

    def test_seed_without_group(self) -> None:
        """L5: a seed means nothing for a plain service."""
        self.check([1, 0, ["storage", "seed"]], [1, 0, STORAGE])

    def test_nil_seed(self) -> None:
        """L5b: an optional argument may be left out but not be nil."""
        self.check(
            [1, 0, ["nope", None]], [1, 1, [[7, 2], "expected a string, got nil"]]
        )
        self.check_alive(2)

    def test_no_arguments(self) -> None:
        """L6: too few arguments are an error of that channel."""
        reason = "sequence size mismatch - got 0 element(s), expected at least 1"
        self.check([1, 0, []], [1, 1, [[7, 2], reason]])
        self.check_alive(2)

    def test_wrong_type(self) -> None:
        """L7: so is a number for a name."""
        self.check([1, 0, [5]], [1, 1, [[7, 2], "expected a string, got an integer"]])
        self.check_alive(2)

    def test_too_many_arguments(self) -> None:
        """L8: extra arguments are ignored."""
        self.check([1, 0, ["nope", "seed", "x"]], [1, 1, NOT_THERE])
        self.check([2, 0, ["nope"]], [2, 1, NOT_THERE])

    def test_empty_name(self) -> None:
        """L8b: the empty name is a name that nobody has."""
        self.check([1, 0, [""]], [1, 1, NOT_THERE])

    def test_packed_once(self) -> None:
        """The answer of a service is packed when it comes, not when it is asked."""
        first = self.locator.resolve("storage", "")

        self.assertIs(self.locator.resolve("storage", ""), first)

    def test_removed(self) -> None:
        """A service that is withdrawn is found no more, and anew when it returns."""
        self.successResultOf(self.node.directory.remove("storage"))
        self.check([1, 0, ["storage"]], [1, 1, NOT_THERE])

        self.successResultOf(
            self.node.directory.expose("storage", self.services["storage"])
        )

        self.check([2, 0, ["storage"]], [2, 0, STORAGE])

    def test_exposed_before(self) -> None:
        """A locator that starts late knows the services that were there before."""
        late: Any = LocatorService(self.node, "late", LocatorArgs())  # type: ignore[arg-type]
        self.successResultOf(late.start())

        answer = self.connect(late).send([1, 0, ["storage"]])

        self.assertEqual(answer, [[1, 0, STORAGE]])

    def test_several_addresses(self) -> None:
        """All addresses of a service are told, in their order."""
        endpoints = [("192.0.2.1", 1), ("2001:db8::1", 1)]
        self.locator.service_exposed("app", endpoints, 1, {})

        self.check(
            [1, 0, ["app"]], [1, 0, [[["192.0.2.1", 1], ["2001:db8::1", 1]], 1, {}]]
        )


class SmallMethodTests(LocatorCase):
    """L9, L11, L14 to L18b: what else a locator answers."""

    def test_connect_without_cluster(self) -> None:
        """L9: nothing is announced, so the stream ends at once."""
        self.check([1, 1, ["some-uuid"]], [1, 2, []])
        self.check([1, 0, ["x"]])
        self.assertEqual(self.client.session.dropped, 1)
        self.check_alive(2)

    def test_connect_needs_a_uuid(self) -> None:
        """A connect without its argument is an error."""
        answer = self.client.send([1, 1, []])

        self.assertEqual(answer[0][:2], [1, 1])
        self.assertEqual(answer[0][2][0], [7, 2])

    def test_cluster(self) -> None:
        """L11: a node without a cluster has no peers."""
        self.check([1, 3, []], [1, 0, [{}]])

    def test_cluster_with_arguments(self) -> None:
        """L11b: extra arguments are ignored here too."""
        self.check([1, 3, [1, 2]], [1, 0, [{}]])

    def test_uuid(self) -> None:
        """L14: the node says who it is."""
        self.check([1, 6, []], [1, 0, [MemoryNode.uuid]])

    def test_unknown_method(self) -> None:
        """L15, L15b: no such method, said on that channel only."""
        self.check([1, 7, []], [1, 1, [[7, 5], "there is no method 7"]])
        self.check([2, 100, []], [2, 1, [[7, 5], "there is no method 100"]])
        self.check_alive(3)

    def test_ping(self) -> None:
        """L16: the control message ping is answered."""
        self.check([1, 65533, []], [1, 0, []])
        self.check_alive(2)

    def test_revoke_unknown(self) -> None:
        """L17: revoking a channel that is not there is a success."""
        self.check([1, 65535, [7, [1, 2]]], [1, 0, []])
        self.check_alive(2)

    def test_revoke_live(self) -> None:
        """L17b: a revoked stream gets nothing more."""
        self.group("g1", {"storage": 1})
        self.check([1, 5, ["router2"]], [1, 0, [{}]])
        self.check([2, 65535, [1, [1, 2]]], [2, 0, []])

        self.check([1, 0, []])

        self.check([3, 2, [["g1"]]], [3, 0, []])
        self.check_alive(4)

    def test_other_control_messages(self) -> None:
        """L18, L18b: settings and goaway are not bound, and say so."""
        self.check(
            [1, 65534, []], [1, 1, [[7, 5], "control message 65534 is not bound"]]
        )
        self.check(
            [2, 65532, [[1, 2]]],
            [2, 1, [[7, 5], "control message 65532 is not bound"]],
        )
        self.check_alive(3)

    def test_trace(self) -> None:
        """A request's trace comes back with its answer, error or not."""
        trace: list[list[Any]] = [
            [False, name, bytes((number,)) + bytes(7)]
            for number, name in ((7, "trace_id"), (8, "span_id"), (9, "parent_id"))
        ]
        back = [[flag, name, value.decode()] for flag, name, value in trace]
        self.check([1, 6, [], trace], [1, 0, [MemoryNode.uuid], back])
        self.check([2, 0, ["nope"], trace], [2, 1, NOT_THERE, back])


class RefreshTests(LocatorCase):
    """L10 and RG0 to RG5."""

    def test_unknown_group(self) -> None:
        """L10: refreshing an unknown group is a success."""
        self.check([1, 2, [["nogroup"]]], [1, 0, []])

    def test_string(self) -> None:
        """L10b: a name where a list should be is an error."""
        self.check(
            [1, 2, ["nogroup"]], [1, 1, [[7, 2], "expected a list, got a string"]]
        )
        self.check_alive(2)

    def test_before_refresh(self) -> None:
        """RG0: a group is not known before its refresh."""
        self.group("g1", {"storage": 1, "logging": 2})

        self.check([1, 0, ["g1"]], [1, 1, NOT_THERE])

    def test_refresh(self) -> None:
        """RG1: after it the group leads to its members."""
        self.group("g1", {"storage": 1, "logging": 2})

        self.check([1, 2, [["g1"]]], [1, 0, []])

        self.check([2, 0, ["g1", "user4"]], [2, 0, STORAGE])
        (answer,) = self.client.send([3, 0, ["g1", "user0"]])
        self.assertEqual(answer[2][0], [["127.0.0.1", 12061]])

    def test_inactive(self) -> None:
        """RG2: without the tag there is no group; routers are told the rings."""
        self.group("g1", {"storage": 1, "logging": 2})
        self.group("ginactive", {"storage": 1}, "group")
        self.client.send([1, 2, [["g1"]]])
        router = self.connect(self.locator)
        router.send([1, 5, ["router"]])

        self.check([2, 2, [["ginactive"]]], [2, 0, []])

        self.check([3, 0, ["ginactive"]], [3, 1, NOT_THERE])
        (told,) = router.receive()
        ring = told[2][0]["g1"]
        self.assertEqual(told[:2], [1, 0])
        self.assertEqual(len(ring), 512)
        self.assertEqual(
            ring[:4],
            [
                [797295, "storage"],
                [7113102, "logging"],
                [11788671, "logging"],
                [17353581, "logging"],
            ],
        )

    def test_zero_weight(self) -> None:
        """RG3: an error for the caller, silence for the routers."""
        self.group("gzero", {"storage": 0})
        router = self.connect(self.locator)
        router.send([1, 5, ["router"]])

        self.check(
            [1, 2, [["gzero"]]], [1, 1, [[10, 2], "routing storage is unavailable"]]
        )

        self.check([2, 0, ["gzero"]], [2, 1, NOT_THERE])
        self.assertEqual(router.receive(), [])

    def test_no_msgpack(self) -> None:
        """RG4: what is no msgpack is a parse error."""
        self.group("gbad", b"\xc1\xc1")
        router = self.connect(self.locator)
        router.send([1, 5, ["router"]])

        self.check([1, 2, [["gbad"]]], [1, 1, [[7, 7], "parse error"]])

        self.check([2, 0, ["gbad"]], [2, 1, NOT_THERE])
        self.assertEqual(router.receive(), [])

    def test_removed(self) -> None:
        """RG5: a removed group is gone after its refresh, and routers hear it."""
        self.group("g1", {"storage": 1, "logging": 2})
        self.client.send([1, 2, [["g1"]]])
        router = self.connect(self.locator)
        router.send([1, 5, ["router"]])
        self.successResultOf(self.node.core.remove("groups", "g1"))

        self.check([2, 2, [["g1"]]], [2, 0, []])

        self.check([3, 0, ["g1"]], [3, 1, NOT_THERE])
        self.assertEqual(router.receive(), [[1, 0, [{}]]])

    def test_member_without_service(self) -> None:
        """A group may lead to a service that is not there."""
        self.group("g1", {"nobody": 1})
        self.client.send([1, 2, [["g1"]]])

        self.check([2, 0, ["g1"]], [2, 1, NOT_THERE])

    def test_group_hides_a_service(self) -> None:
        """A group that has the name of a service goes before it."""
        self.group("logging", {"storage": 1})
        self.client.send([1, 2, [["logging"]]])

        self.check([2, 0, ["logging"]], [2, 0, STORAGE])

    def test_slow_storage(self) -> None:
        """The answer waits for the storage; others are served meanwhile."""
        self.group("g1", {"storage": 1})
        gate: Deferred[None] = Deferred()
        self.node.core.held["g1"] = gate
        self.check([1, 2, [["g1"]]])
        self.check_alive(2)

        gate.callback(None)

        self.assertEqual(self.client.receive(), [[1, 0, []]])


class RoutingTests(LocatorCase):
    """L13, and the life of a routing stream."""

    def test_stream(self) -> None:
        """L13: rings at once, then silence; what follows a discard is dropped."""
        self.check([1, 5, ["router1"]], [1, 0, [{}]])
        self.check([1, 0, []])
        self.check([1, 0, []])
        self.assertEqual(self.client.session.dropped, 1)
        self.check_alive(2)

    def test_discarded(self) -> None:
        """A discarded stream is told nothing more."""
        self.check([1, 5, ["router1"]], [1, 0, [{}]])
        self.check([1, 0, []])

        self.check([2, 2, [[]]], [2, 0, []])

    def test_each_refresh(self) -> None:
        """Every refresh that succeeds sends all rings, to every router."""
        self.group("g1", {"storage": 1})
        self.check([1, 5, ["router1"]], [1, 0, [{}]])
        self.check([2, 5, ["router2"]], [2, 0, [{}]])

        answers = self.client.send([3, 2, [["g1"]]])

        self.assertEqual([answer[:2] for answer in answers], [[1, 0], [2, 0], [3, 0]])
        self.assertEqual(answers[0][2], answers[1][2])
        self.assertEqual(list(answers[0][2][0]), ["g1"])

    def test_rings_at_once(self) -> None:
        """A new router is told the rings that there are."""
        self.group("g1", {"storage": 1})
        self.client.send([1, 2, [["g1"]]])

        (answer,) = self.client.send([2, 5, ["router1"]])

        self.assertEqual(len(answer[2][0]["g1"]), 256)

    def test_replaced(self) -> None:
        """A second stream of a router takes over; the first is not closed."""
        first, second = self.connect(self.locator), self.connect(self.locator)
        first.send([1, 5, ["router1"]])
        second.send([1, 5, ["router1"]])

        self.check([1, 2, [[]]], [1, 0, []])

        self.assertEqual(first.receive(), [])
        self.assertEqual(second.receive(), [[1, 0, [{}]]])

    def test_replaced_stream_ends(self) -> None:
        """The end of the first stream leaves the second (the original forgets it)."""
        first, second = self.connect(self.locator), self.connect(self.locator)
        first.send([1, 5, ["router1"]])
        second.send([1, 5, ["router1"]])
        first.lose()

        self.check([1, 2, [[]]], [1, 0, []])

        self.assertEqual(second.receive(), [[1, 0, [{}]]])

    def test_lost(self) -> None:
        """A router that is gone is forgotten."""
        router = self.connect(self.locator)
        router.send([1, 5, ["router1"]])
        router.lose()

        self.check([1, 2, [[]]], [1, 0, []])

        self.assertEqual(router.receive(), [])

    def test_unknown_message(self) -> None:
        """A message that a stream does not have ends that stream with an error."""
        self.check([1, 5, ["router1"]], [1, 0, [{}]])

        self.check(
            [1, 1, []], [1, 1, [[7, 5], "message 1 is not bound on this channel"]]
        )

        self.check([2, 2, [[]]], [2, 0, []])

    def test_stop(self) -> None:
        """A locator that stops closes its routing streams."""
        self.client.send([1, 5, ["router1"]])

        self.locator.stop()

        self.assertEqual(self.client.receive(), [[1, 2, []]])


class PublishTests(LocatorCase):
    """L12 to L12d: publishing where there is no gateway."""

    def test_not_resolved(self) -> None:
        """L12: it is accepted and lasts, but resolve does not see it."""
        self.check([1, 4, ["ext", [["127.0.0.1", 9999]]]], [1, 0, []])
        self.check([2, 0, ["ext"]], [2, 1, NOT_THERE])
        self.check([1, 0, []])
        self.check([3, 0, ["ext"]], [3, 1, NOT_THERE])
        self.check([1, 0, []])
        self.check_alive(4)

    def test_with_graph(self) -> None:
        """L12b: a service with a graph is accepted."""
        graph = {0: ["m", {}, PRIM]}
        self.check([1, 4, ["ext2", [["127.0.0.1", 9999]], [1, graph]]], [1, 0, []])
        self.check([2, 0, ["ext2"]], [2, 1, NOT_THERE])

    def test_without_version(self) -> None:
        """L12c: a graph needs a version."""
        graph: dict[int, Any] = {0: ["m", {}, {}]}
        self.check(
            [1, 4, ["ext3", [["127.0.0.1", 9999]], [0, graph]]],
            [1, 1, [[10, 3], "missing protocol version"]],
        )
        self.check_alive(2)

    def test_bad_endpoint(self) -> None:
        """L12d: addresses are numeric, and the bad one is named."""
        self.check(
            [1, 4, ["ext3", [["not-an-ip", 9999]]]],
            [1, 1, [[7, 2], "'not-an-ip' is no numeric address"]],
        )
        self.check_alive(2)

    def test_bad_port(self) -> None:
        """A port beyond 65535 is none."""
        self.check(
            [1, 4, ["ext3", [["127.0.0.1", 65536]]]],
            [1, 1, [[7, 2], "65536 is no port"]],
        )

    def test_bad_graph(self) -> None:
        """A graph that is none is refused."""
        for number, graph in enumerate(([], {0: ["m", {}]}, {-1: ["m", {}, {}]}), 1):
            (answer,) = self.client.send(
                [number, 4, ["ext3", [["127.0.0.1", 9999]], [1, graph]]]
            )

            self.assertEqual(answer[:2], [number, 1])
            self.assertEqual(answer[2][0], [7, 2])

    def test_unknown_message(self) -> None:
        """A published channel knows discard and nothing else."""
        self.client.send([1, 4, ["ext", [["127.0.0.1", 9999]]]])

        self.check(
            [1, 7, []], [1, 1, [[7, 5], "message 7 is not bound on this channel"]]
        )
        self.check_alive(2)


class AdhocTests(LocatorCase):
    """The probes "B publish" of reference-behaviour.md §3.3."""

    args = LocatorArgs(gateway=ComponentConfig(type="adhoc"))

    def test_publish_and_discard(self) -> None:
        """A published service is found until it is discarded."""
        self.check([1, 4, ["ext", [["127.0.0.1", 9999]]]], [1, 0, []])
        self.check([2, 0, ["ext"]], [2, 0, [[["127.0.0.1", 9999]], 0, {}]])
        self.check([1, 0, []])
        self.check([3, 0, ["ext"]], [3, 1, NOT_THERE])

    def test_duplicate(self) -> None:
        """A second one of that name is refused, and the first one stays."""
        self.check([1, 4, ["ext", [["127.0.0.1", 9999]]]], [1, 0, []])
        (answer,) = self.client.send([2, 4, ["ext", [["127.0.0.1", 9998]]]])

        self.assertEqual(answer[:2], [2, 1])
        self.assertEqual(answer[2][0], [10, 4])
        self.assertIn("'ext'", answer[2][1])
        self.check([3, 0, ["ext"]], [3, 0, [[["127.0.0.1", 9999]], 0, {}]])

    def test_refused_duplicate_ends(self) -> None:
        """The end of a connection that was refused withdraws nothing."""
        self.check([1, 4, ["ext", [["127.0.0.1", 9999]]]], [1, 0, []])
        other = self.connect(self.locator)
        other.send([1, 4, ["ext", [["127.0.0.1", 9998]]]])
        other.lose()

        self.check([2, 0, ["ext"]], [2, 0, [[["127.0.0.1", 9999]], 0, {}]])

    def test_native(self) -> None:
        """Addresses, version and graph come back as they were given."""
        endpoints = [["127.0.0.1", 9999], ["::1", 9998]]
        protocol = [2, {0: ["m", {}, PRIM]}]
        self.check([1, 4, ["ext2", endpoints, protocol]], [1, 0, []])

        self.check([2, 0, ["ext2"]], [2, 0, [endpoints, *protocol]])

    def test_disconnect(self) -> None:
        """A publisher that goes away takes its service along."""
        publisher = self.connect(self.locator)
        publisher.send([1, 4, ["ext4", [["127.0.0.1", 9999]]]])
        publisher.lose()

        self.check([1, 0, ["ext4"]], [1, 1, NOT_THERE])

    def test_discard_and_publish_again(self) -> None:
        """A name is free again after its discard."""
        self.client.send([1, 4, ["ext", [["127.0.0.1", 9999]]]], [1, 0, []])

        self.check([2, 4, ["ext", [["127.0.0.1", 9998]]]], [2, 0, []])

        self.check([3, 0, ["ext"]], [3, 0, [[["127.0.0.1", 9998]], 0, {}]])

    def test_late_disconnect(self) -> None:
        """A publisher that has discarded takes nothing of its successor along."""
        publisher = self.connect(self.locator)
        publisher.send([1, 4, ["ext", [["127.0.0.1", 9999]]]], [1, 0, []])
        self.client.send([1, 4, ["ext", [["127.0.0.1", 9998]]]])
        publisher.lose()

        self.check([2, 0, ["ext"]], [2, 0, [[["127.0.0.1", 9998]], 0, {}]])

    def test_mistaken_message(self) -> None:
        """A message that is not bound ends the channel and withdraws the service."""
        self.client.send([1, 4, ["ext", [["127.0.0.1", 9999]]]], [1, 9, []])

        self.check([2, 0, ["ext"]], [2, 1, NOT_THERE])

    def test_local_first(self) -> None:
        """A service of this node goes before published ones of that name."""
        self.client.send([1, 4, ["storage", [["127.0.0.1", 9999]]]])

        self.check([2, 0, ["storage"]], [2, 0, STORAGE])

    def test_group_of_published(self) -> None:
        """A group may lead to a published service."""
        self.group("g1", {"ext": 1})
        self.client.send([1, 2, [["g1"]]])
        self.client.send([2, 4, ["ext", [["127.0.0.1", 9999]]]])

        self.check([3, 0, ["g1"]], [3, 0, [[["127.0.0.1", 9999]], 0, {}]])


class GatewayTests(LocatorCase):
    """How a locator uses its gateway."""

    args = LocatorArgs(gateway=ComponentConfig(type="stub"))

    def test_life(self) -> None:
        """The gateway starts and stops with its locator."""
        (gateway,) = self.node.gateways
        self.assertEqual(gateway.life, ["start"])
        self.assertEqual(gateway.name, "locator:gateway")

        self.locator.stop()

        self.assertEqual(gateway.life, ["start", "stop"])

    def test_local_services(self) -> None:
        """The gateway hears of the services of this node, as of those of others."""
        (gateway,) = self.node.gateways
        self.assertEqual(set(gateway.known), {"locator", "logging", "storage"})

        self.successResultOf(self.node.directory.remove("storage"))

        self.assertEqual(set(gateway.known), {"locator", "logging"})

    def test_asked_for_the_rest(self) -> None:
        """Only what this node has not is asked of the gateway, with the seed."""
        (gateway,) = self.node.gateways
        gateway.known["far"] = ([("192.0.2.9", 1)], 1, {})
        self.check([1, 0, ["storage"]], [1, 0, STORAGE])

        self.check([2, 0, ["far", "s"]], [2, 0, [[["192.0.2.9", 1]], 1, {}]])

        self.assertEqual(gateway.asked, [("far", "s")])


class FullGatewayTests(LocatorCase):
    """A gateway that decides about services of this node too."""

    args = LocatorArgs(gateway=ComponentConfig(type="full"))

    def test_remote_before_local(self) -> None:
        """The local service is not looked at."""
        (gateway,) = self.node.gateways
        gateway.known["storage"] = ([("192.0.2.9", 1)], 1, {})

        self.check([1, 0, ["storage"]], [1, 0, [[["192.0.2.9", 1]], 1, {}]])


class WithdrawnTests(LocatorCase):
    """While the node drains."""

    def test_last_resort(self) -> None:
        """Who can go nowhere else is still sent here."""
        self.node.directory.withdraw()

        self.check([1, 0, ["storage"]], [1, 0, STORAGE])
        self.check([2, 0, ["nope"]], [2, 1, NOT_THERE])

    def test_refused(self) -> None:
        """But not to where nobody listens any more."""
        self.node.directory.withdraw()
        quiet = self.node.directory.quiesce(keep=("locator",))
        self.successResultOf(Deferred.fromCoroutine(quiet))

        self.check([1, 0, ["storage"]], [1, 1, NOT_THERE])

    def test_resumed(self) -> None:
        """When it serves again, it is as before."""
        self.node.directory.withdraw()
        self.node.directory.restore()

        self.check([1, 0, ["storage"]], [1, 0, STORAGE])


class WithdrawnGatewayTests(LocatorCase):
    """While the node drains, and others are there."""

    args = LocatorArgs(gateway=ComponentConfig(type="stub"))

    def setUp(self) -> None:
        super().setUp()
        self.there = [[["192.0.2.7", 1]], 1, {0: ["read", {}, PRIM]}]
        self.check([1, 0, ["storage"]], [1, 0, STORAGE])
        self.node.gateways[0].known["storage"] = self.there

    def test_elsewhere(self) -> None:
        """Clients of apps are sent to other nodes."""
        self.node.directory.withdraw()

        self.check([2, 0, ["storage"]], [2, 0, self.there])

    def test_own(self) -> None:
        """Who asks for a service of this node does not mean another's."""
        self.node.directory.withdraw(own={"storage"})
        self.check([2, 0, ["storage"]], [2, 0, STORAGE])

        quiet = self.node.directory.quiesce(keep=("locator",))
        self.successResultOf(Deferred.fromCoroutine(quiet))

        self.check([3, 0, ["storage"]], [3, 0, self.there])


class LifeTests(ServiceCase):
    """Start, stop and arguments."""

    def build(self, args: LocatorArgs | None = None) -> LocatorService:
        node: Any = self.node
        return LocatorService(node, "locator", args or LocatorArgs())

    def test_groups_at_start(self) -> None:
        """The groups of the storage are known from the start."""
        self.store("groups", "g1", {"nobody": 1}, ("group", "active"))
        locator: Any = self.build()
        self.successResultOf(locator.start())

        (answer,) = self.connect(locator).send([1, 5, ["r"]])

        self.assertEqual(list(answer[2][0]), ["g1"])

    def test_storage_is_down(self) -> None:
        """A locator that cannot read its groups does not start."""
        self.node.core.refused["find"] = StorageError(errno.EIO, "disk is broken")

        self.failureResultOf(self.build().start(), StorageError)

    def test_no_core_storage(self) -> None:
        """A node without the storage ``core`` has no locator."""
        del self.node.storages["core"]

        self.assertRaises(ConfigError, self.build)

    def test_stopped_hears_nothing(self) -> None:
        """A stopped locator listens to the directory no more."""
        locator: Any = self.build()
        self.successResultOf(locator.start())
        locator.stop()
        storage: Any = StorageService(self.node, "storage", StorageArgs())  # type: ignore[arg-type]

        self.successResultOf(self.node.directory.expose("storage", storage))

        (answer,) = self.connect(locator).send([1, 0, ["storage"]])
        self.assertEqual(answer, [1, 1, NOT_THERE])

    def test_stop_twice(self) -> None:
        """Stopping a locator that never started, or twice, does no harm."""
        locator = self.build()

        for _ in range(2):
            stopped = locator.stop()
            assert stopped is not None
            self.successResultOf(stopped)

    def test_arguments(self) -> None:
        """All arguments of the original are understood, and no others."""
        args = convert(
            {
                "gateway": {"type": "adhoc", "args": {}},
                "cluster": {"type": "multicast", "args": {"group": "239.0.100.53"}},
                "restrict": ["locator", "logging"],
                "extra_param": {"weight": 5},
            },
            LocatorArgs,
        )
        assert args.gateway is not None

        self.assertEqual(args.gateway.type, "adhoc")
        self.assertEqual(args.restrict, ("locator", "logging"))
        self.assertEqual(args.links, Pace())
        error = self.assertRaises(ConfigError, convert, {"gatway": {}}, LocatorArgs)
        self.assertIn("'gateway'", str(error))

    def test_extra_values(self) -> None:
        """Extra values must fit into a header."""
        for value, part in (
            ({"x": "y" * EXTRA_LIMIT}, "the limit is 16384"),
            ({"x": 2**70}, "cannot be sent"),
        ):
            error = self.assertRaises(
                ConfigError, convert, {"extra_param": value}, LocatorArgs
            )
            self.assertIn("extra_param: ", str(error))
            self.assertIn(part, str(error))

    def test_unknown_gateway(self) -> None:
        """A gateway that is no plugin keeps the locator from being built."""
        args = LocatorArgs(gateway=ComponentConfig(type="adhok"))

        error = self.assertRaises(UnknownPlugin, self.build, args)

        self.assertIn("did you mean 'adhoc'?", str(error))

    def test_publications_are_logged(self) -> None:
        """Operators see external services come and go."""
        events = self.record_log()
        client = self.connect(self.build())
        client.send([1, 4, ["ext", [["127.0.0.1", 9999]]]], [1, 0, []])

        self.assertEqual(
            [formatEvent(event) for event in events],
            [
                "external service ext is published",
                "external service ext is withdrawn",
            ],
        )
