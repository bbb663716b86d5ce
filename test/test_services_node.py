# -*- test-case-name: cocained.test.test_services_node -*-
"""
The node service on the wire: the probes of reference-behaviour.md §6.

Apps and their pools are the real ones; isolates, sockets and workers are in
memory.
"""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from cocained.config import convert
from cocained.errors import ConfigError, SpoolError, StorageError
from cocained.interfaces import IRemoteService
from cocained.services.node import NAME_LIMIT, NodeArgs, NodeService
from cocained.storages.memory import MemoryStorage
from cocained.test.service_case import (
    PRIM,
    STREAM,
    Client,
    MemoryNode,
    MemoryWorker,
    ServiceCase,
)

MISSING = "No such file or directory"
ALREADY = "application has already been started"


class NodeCase(ServiceCase):
    """A node with the documents of a few apps, none of which is started."""

    args = NodeArgs()

    def setUp(self) -> None:
        self.node = MemoryNode({"locator": 12053, "node": 12062})
        self.service = self.build(self.args)
        self.client = self.connect(self.service)
        self._channel = 0
        self.store("profiles", "default", {"pool-limit": 10}, ("profile",))
        for name in ("echo", "echo2", "echo3"):
            self.store("manifests", name, {"slave": "worker"}, ("app",))
        for name in ("locator", "node"):
            self.successResultOf(self.node.directory.expose(name, self.service))

    def build(self, args: NodeArgs) -> NodeService:
        node: Any = self.node
        return NodeService(node, "node", args)

    def ask(self, kind: int, *args: Any) -> Any:
        """Send a request on the next channel; give its answer's value or error."""
        self._channel += 1
        (answer,) = self.client.send([self._channel, kind, list(args)])
        self.assertEqual(answer[0], self._channel)
        return answer[1:]

    def open(self, kind: int, *args: Any) -> int:
        """Open a stream that says nothing at first; give its channel."""
        self._channel += 1
        self.assertEqual(self.client.send([self._channel, kind, list(args)]), [])
        return self._channel

    def start(self, name: str, profile: str = "default") -> Any:
        return self.ask(0, name, profile)

    def started(self, *names: str) -> None:
        for name in names:
            self.assertEqual(self.start(name), [0, []])

    def pause(self, name: str) -> Any:
        return self.ask(1, name)

    def list(self) -> Any:
        kind, (names,) = self.ask(2)
        self.assertEqual(kind, 0)
        return names

    def info(self, name: str, *flags: int) -> Any:
        kind, (report,) = self.ask(3, name, *flags)
        self.assertEqual(kind, 0)
        return report

    def pass_time(self, seconds: float = 0) -> None:
        self.node.reactor.advance(seconds)


class StartTests(NodeCase):
    """N3 to N12: starting apps."""

    def test_interface(self) -> None:
        """It is a service, of version 1."""
        self.assertTrue(verifyObject(IRemoteService, self.service))
        self.assertEqual(self.service.protocol.version, 1)

    def test_graph(self) -> None:
        """N0: six methods, with their numbers where clients want them."""
        answer = self.client.send([1, 2, []])
        self.assertEqual(answer, [[1, 0, [[]]]])
        graph = {
            0: ("start_app", {}, PRIM),
            1: ("pause_app", {}, PRIM),
            2: ("list", {}, PRIM),
            3: ("info", {}, PRIM),
            4: ("control", STREAM, PRIM),
            5: ("enqueue", STREAM, STREAM),
        }
        declared = {
            number: (name, _lists(after), _lists(upstream))
            for number, (name, after, upstream) in self.service.protocol.graph.items()
        }
        self.assertEqual(declared, graph)

    def test_start(self) -> None:
        """N3: it starts, is listed, and cannot be started again."""
        self.started("echo3", "echo")

        self.assertEqual(self.list(), ["echo", "echo3"])
        self.assertEqual(
            self.start("echo"), [1, [[20991, 5], f"app 'echo' is running: {ALREADY}"]]
        )
        self.assertEqual(
            self.info("echo", 0), {"publushed": True, "state": "running", "uptime": 0}
        )
        self.assertTrue(self.node.directory.endpoints("echo"))

    def test_no_manifest(self) -> None:
        """N4: without a manifest nothing has been started."""
        self.assertEqual(
            self.start("nomanifest"),
            [1, [[12, 2], f"<core>/manifests/nomanifest: {MISSING}"]],
        )
        self.assertEqual(self.list(), [])

    def test_no_profile(self) -> None:
        """N5: nor without a profile."""
        self.assertEqual(
            self.start("echo2", "noprofile"),
            [1, [[12, 2], f"<core>/profiles/noprofile: {MISSING}"]],
        )
        self.assertEqual(self.list(), [])

    def test_no_slave(self) -> None:
        """N6: a manifest needs its program."""
        self.store("manifests", "noslave", {"environment": {}})

        kind, (pair, reason) = self.start("noslave")

        self.assertEqual((kind, pair), (1, [12, 22]))
        self.assertIn("runnable object has not been specified", reason)
        self.assertEqual(self.list(), [])

    def test_bad_manifest(self) -> None:
        """N7: a manifest that is no msgpack is a parse error."""
        self.store("manifests", "badman", b"\xc1")

        self.assertEqual(self.start("badman"), [1, [[7, 7], "parse error"]])
        self.assertEqual(self.list(), [])

    def test_no_archive(self) -> None:
        """N8: a failed spool leaves a broken app, which tells why."""
        reason = f"<core>/apps/echo: {MISSING}"
        self.node.spooling = StorageError(2, reason)

        self.assertEqual(self.start("echo"), [1, [[12, 2], reason]])

        self.assertEqual(self.list(), ["echo"])
        broken = {"cause": reason, "error": 2, "state": "broken"}
        self.assertEqual(self.info("echo", 0), broken)
        self.assertEqual(self.info("echo", 1), broken)
        self.assertEqual(self.pause("echo"), [0, []])
        self.assertEqual(self.list(), [])

    def test_start_broken_again(self) -> None:
        """A broken app can be started without pausing it (the original cannot)."""
        self.node.spooling = SpoolError("no archive")
        self.start("echo")
        self.node.spooling = None

        self.assertEqual(self.start("echo"), [0, []])

        self.assertEqual(self.info("echo")["state"], "running")

    def test_broken_stays(self) -> None:
        """A second attempt that fails before the spool leaves the first report."""
        self.node.spooling = SpoolError("no archive")
        self.start("echo")
        self.successResultOf(self.node.core.remove("manifests", "echo"))

        self.assertEqual(self.start("echo")[1][0], [12, 2])

        self.assertEqual(self.info("echo")["cause"], "no archive")

    def test_bad_archive(self) -> None:
        """N9: what the isolate says of an archive arrives with its code."""
        self.node.spooling = SpoolError("Unrecognized archive", errno.EILSEQ)

        self.assertEqual(self.start("echo"), [1, [[12, 84], "Unrecognized archive"]])
        self.assertEqual(self.info("echo")["error"], 84)

    def test_unknown_isolate(self) -> None:
        """N11: an isolate that is no plugin; near names are told."""
        self.store("profiles", "badisolate", {"isolate": {"type": "proces"}})

        kind, (pair, reason) = self.start("echo2", "badisolate")

        self.assertEqual((kind, pair), (1, [8, 7]))
        self.assertIn("did you mean 'process'?", reason)
        self.assertEqual(self.list(), [])

    def test_isolate_arguments(self) -> None:
        """Arguments that the isolate has not are named with their path."""
        self.store("profiles", "bad", {"isolate": {"args": {"spoool": "x"}}})

        kind, (pair, reason) = self.start("echo2", "bad")

        self.assertEqual((kind, pair), (1, [12, 22]))
        self.assertIn("unknown key", reason)
        self.assertEqual(self.list(), [])

    def test_bad_profile(self) -> None:
        """A profile with mistakes lists them all (pool-limit 0 kills the original)."""
        self.store("profiles", "zero", {"pool-limit": 0, "concurrency": 0})

        kind, (pair, reason) = self.start("echo2", "zero")

        self.assertEqual((kind, pair), (1, [12, 22]))
        self.assertIn("profile 'zero'", reason)
        self.assertIn("engine pool limit must be positive", reason)
        self.assertIn("engine concurrency must be positive", reason)

    def test_missing_argument(self) -> None:
        """N12: a start needs a profile; the connection lives on."""
        reason = "sequence size mismatch - got 1 element(s), expected at least 2"
        self.assertEqual(self.ask(0, "echo2"), [1, [[7, 2], reason]])
        self.assertEqual(self.list(), [])

    def test_no_names_of_files(self) -> None:
        """A name that cannot be a file's is refused before anything is read."""
        for name in ("", ".", "..", "a/b", "/etc", "a\0b"):
            kind, (pair, reason) = self.start(name)

            self.assertEqual((kind, pair), (1, [12, 22]), name)
            self.assertIn("cannot be the name of an app", reason)
        self.assertEqual(self.node.core.reads, [])
        self.assertEqual(self.list(), [])

    def test_long_name(self) -> None:
        """Names have a limit, counted in bytes."""
        self.assertEqual(self.start("k" * NAME_LIMIT)[1][0], [12, 2])

        kind, (pair, reason) = self.start("ä" * (NAME_LIMIT // 2) + "x")

        self.assertEqual((kind, pair), (1, [12, 22]))
        self.assertIn(f"at most {NAME_LIMIT} bytes, not {NAME_LIMIT + 1}", reason)

    def test_long_path_of_socket(self) -> None:
        """A runtime directory that is too deep for sockets is named."""
        self.node.runtime = "/" + "r" * 100

        kind, (pair, reason) = self.start("echo")

        self.assertEqual((kind, pair), (1, [12, 22]))
        self.assertIn("paths.runtime", reason)
        self.assertEqual(self.list(), [])

    def test_name_of_a_service(self) -> None:
        """An app cannot take the name of a service; it is broken and says so."""
        self.store("manifests", "locator", {"slave": "worker"})

        kind, (pair, reason) = self.start("locator")

        self.assertEqual((kind, pair), (1, [12, 22]))
        self.assertIn("'locator' exists already", reason)
        self.assertEqual(self.info("locator")["state"], "broken")

    def test_slow_spool(self) -> None:
        """The answer waits for the spool; the app is listed and taken meanwhile."""
        gate: Deferred[None] = Deferred()
        self.node.spooling = gate
        waiting = self.open(0, "echo", "default")

        self.assertEqual(self.list(), ["echo"])
        self.assertEqual(self.info("echo"), {"state": "spooling"})
        self.assertEqual(
            self.start("echo"), [1, [[20991, 5], f"app 'echo' is spooling: {ALREADY}"]]
        )
        gate.callback(None)

        self.assertEqual(self.client.receive(), [[waiting, 0, []]])
        self.assertEqual(self.info("echo")["state"], "running")

    def test_paused_while_spooling(self) -> None:
        """A pause ends the spool, and the start that waits for it fails."""
        cancelled: list[Any] = []
        self.node.spooling = Deferred(cancelled.append)
        waiting = self.open(0, "echo", "default")

        self._channel += 1
        answers = self.client.send([self._channel, 1, ["echo"]])

        self.assertEqual(len(cancelled), 1)
        self.assertIn([self._channel, 0, []], answers)
        (failed,) = [answer for answer in answers if answer[0] == waiting]
        self.assertEqual(failed[1:], [1, [[12, 32], failed[2][1]]])
        self.assertIn("paused", failed[2][1])
        self.assertEqual(self.list(), [])
        self.assertTrue(self.node.isolates[0].stopped)

    def test_paused_while_loading(self) -> None:
        """A pause while the documents are read ends the start before the spool."""
        gate: Deferred[None] = Deferred()
        self.node.core.held["echo"] = gate
        waiting = self.open(0, "echo", "default")
        self.assertEqual(self.pause("echo"), [0, []])

        gate.callback(None)

        (failed,) = self.client.receive()
        self.assertEqual((failed[0], failed[1], failed[2][0]), (waiting, 1, [12, 32]))
        self.assertEqual(self.list(), [])
        self.assertEqual(self.node.directory.endpoints("echo"), ())
        self.assertEqual(self.node.reactor.unixServers, [])

    def test_node_is_stopping(self) -> None:
        """A node that stops starts nothing any more."""
        self.service.drain()

        self.assertEqual(
            self.start("echo"),
            [1, [[12, 32], "the node is stopping and starts no app"]],
        )
        self.assertEqual(self.list(), [])

    def test_cache(self) -> None:
        """A storage called ``cache`` is asked before ``core``, and filled."""
        node: Any = self.node
        cache = MemoryStorage(node, "cache")
        self.node.storages["cache"] = cache
        client = self.connect(self.build(NodeArgs()))
        self.node.core.reads.clear()

        self.assertEqual(client.send([1, 0, ["echo", "default"]]), [[1, 0, []]])

        self.assertEqual(
            self.node.core.reads, [("manifests", "echo"), ("profiles", "default")]
        )
        self.assertTrue(self.successResultOf(cache.read("manifests", "echo")))


class PauseTests(NodeCase):
    """N13, N14: pausing apps."""

    def test_not_running(self) -> None:
        """N13: an app that is not there cannot be paused."""
        reason = "app 'echo2' is not running: application is not running"
        self.assertEqual(self.pause("echo2"), [1, [[20991, 6], reason]])

    def test_pause(self) -> None:
        """N14: a paused app is gone from the list, from info and from the ports."""
        self.started("echo3", "echo")

        self.assertEqual(self.pause("echo"), [0, []])

        self.assertEqual(self.list(), ["echo3"])
        self.assertEqual(
            self.ask(3, "echo"),
            [1, [[12, 22], "app 'echo' is not running: Invalid argument"]],
        )
        self.assertEqual(self.node.directory.endpoints("echo"), ())
        self.assertTrue(self.node.isolates[1].stopped)

    def test_start_again(self) -> None:
        """N14a: a paused app can be started again."""
        self.started("echo")
        self.pause("echo")

        self.started("echo")

        self.assertEqual(self.list(), ["echo"])

    def test_answers_at_once(self) -> None:
        """A pause does not wait for the workers (the original blocks the node)."""
        self.started("echo")
        control = self.open(4, "echo")
        self.client.send([control, 0, [1]])
        worker = MemoryWorker(self.node, self.node.isolates[0])
        self.pass_time()

        self.assertEqual(self.pause("echo"), [0, []])

        self.pass_time()
        self.assertEqual(worker.receive(), [[1, 1, [11, "overseer is shutting down"]]])
        self.assertFalse(self.node.isolates[0].stopped)
        worker.send([1, 1, [0, "bye"]])
        self.pass_time(5)
        self.assertTrue(self.node.isolates[0].stopped)


class InfoTests(NodeCase):
    """N1, N2: list and info."""

    def test_list(self) -> None:
        """N1: all apps, by their names' order."""
        self.started("echo3", "echo2", "echo")

        self.assertEqual(self.list(), ["echo", "echo2", "echo3"])

    def test_list_with_arguments(self) -> None:
        """N20: extra arguments are ignored, and ping is answered."""
        self.started("echo3")
        self.assertEqual(self.ask(2, 1), [0, [["echo3"]]])
        self.assertEqual(self.ask(65533), [0, []])

    def test_unknown(self) -> None:
        """N2: info of an app that is not there has an error of its own."""
        reason = "app 'nope' is not running: Invalid argument"
        self.assertEqual(self.ask(3, "nope"), [1, [[12, 22], reason]])

    def test_without_report(self) -> None:
        """N2b: without the first flag there are three keys, whatever else is asked."""
        self.started("echo3")
        self.pass_time(53.9)
        short = {"publushed": True, "state": "running", "uptime": 53}

        self.assertEqual(self.info("echo3"), short)
        for flags in (0, 2, 4, 6, 8):
            self.assertEqual(self.info("echo3", flags), short)

    def test_report(self) -> None:
        """N2b: the first flag gives the report."""
        self.started("echo3")

        report = self.info("echo3", 1)

        zeros = dict.fromkeys(report["timings"], 0)
        self.assertEqual(len(zeros), 7)
        self.assertEqual(len(report["timings_reversed"]), 9)
        for key in ("timings", "timings_reversed"):
            del report[key]
        self.assertEqual(
            report,
            {
                "load": 0,
                "pool": {
                    "active": 0,
                    "capacity": 10,
                    "idle": 0,
                    "slaves": {},
                    "total:crashed": 0,
                    "total:spawned": 0,
                },
                "profile": {"name": "default"},
                "publushed": True,
                "queue": {
                    "capacity": 100,
                    "depth": 0,
                    "depth_average": 0.0,
                    "oldest_event_age": 0,
                },
                "rate": [0.0, 0.0, 0.0],
                "rate_mean": 0.0,
                "requests": {"accepted": 0, "rejected": 0},
                "state": "running",
                "uptime": 0,
            },
        )

    def test_documents(self) -> None:
        """N2b: the other flags add manifest and profile, as they are stored."""
        self.store("manifests", "echo", {"slave": "worker", "own": [1, {"a": None}]})
        self.started("echo")

        report = self.info("echo", 7)

        self.assertEqual(
            report["manifest"], {"slave": "worker", "own": [1, {"a": None}]}
        )
        self.assertEqual(
            report["profile"], {"name": "default", "data": {"pool-limit": 10}}
        )
        self.assertNotIn("data", self.info("echo", 3)["profile"])
        self.assertNotIn("manifest", self.info("echo", 5))

    def test_negative_flags(self) -> None:
        """Flags are unsigned."""
        self.started("echo")

        self.assertEqual(
            self.ask(3, "echo", -1),
            [1, [[7, 2], "expected an unsigned integer, got a negative integer"]],
        )

    def test_unknown_method(self) -> None:
        """N19: there are six methods."""
        self.assertEqual(self.ask(6), [1, [[7, 5], "there is no method 6"]])


class ControlTests(NodeCase):
    """N15, N16: the number of workers."""

    def setUp(self) -> None:
        super().setUp()
        self.started("echo3")
        (self.isolate,) = self.node.isolates

    def idle(self) -> int:
        """Workers that there are, by the report."""
        return int(self.info("echo3", 1)["pool"]["idle"])

    def test_unknown(self) -> None:
        """N15: control of an app that is not there is an error."""
        self.assertEqual(
            self.ask(4, "nope"), [1, [[20991, 6], "application nope is not found"]]
        )

    def test_workers(self) -> None:
        """N16: so many workers, and no answer; the close ends the control."""
        channel = self.open(4, "echo3")
        self.assertEqual(self.client.send([channel, 0, [2]]), [])
        self.assertEqual(self.idle(), 2)
        self.assertEqual(len(self.isolate.spawned), 2)

        self.assertEqual(self.client.send([channel, 2, []]), [])

        self.assertEqual(self.list(), ["echo3"])

    def test_pool_limit(self) -> None:
        """More than the pool's limit are not spawned."""
        channel = self.open(4, "echo3")

        self.client.send([channel, 0, [50]])

        self.assertEqual(self.idle(), 10)

    def test_fewer(self) -> None:
        """A smaller number ends those that are too many."""
        channel = self.open(4, "echo3")
        self.client.send([channel, 0, [3]])
        workers = [MemoryWorker(self.node, self.isolate, number) for number in range(3)]

        self.client.send([channel, 0, [1]])

        self.pass_time()
        told = [worker.receive() for worker in workers]
        self.assertEqual(told.count([[1, 1, [14, "slave is sealing"]]]), 2)
        self.assertEqual(told.count([]), 1)

    def test_automatic_again(self) -> None:
        """Close, error and a lost connection give the number back."""
        for kind, args in ((2, []), (1, [[1, 1], "x"])):
            channel = self.open(4, "echo3")
            self.client.send([channel, 0, [2]])
            self.client.send([channel, kind, args])
            self.assertEqual(self.wanted(), 0)
        other = self.connect(self.service)
        other.send([1, 4, ["echo3"]], [1, 0, [2]])
        self.assertEqual(self.wanted(), 2)

        other.lose()

        self.assertEqual(self.wanted(), 0)

    def wanted(self) -> int:
        """What the pool has been asked for."""
        return self.service._apps["echo3"].overseer.pool.wanted

    def test_negative(self) -> None:
        """C1: a negative number is the automatic mode."""
        channel = self.open(4, "echo3")
        self.client.send([channel, 0, [1]])

        self.assertEqual(self.client.send([channel, 0, [-5]]), [])

        self.assertEqual(self.wanted(), 0)

    def test_string(self) -> None:
        """C2: a number that is none ends that channel, and the control."""
        channel = self.open(4, "echo3")
        self.client.send([channel, 0, [1]])

        self.assertEqual(
            self.client.send([channel, 0, ["x"]]),
            [[channel, 1, [[7, 2], "expected an integer, got a string"]]],
        )

        self.assertEqual(self.wanted(), 0)
        self.assertEqual(self.list(), ["echo3"])

    def test_control_of_a_broken_app(self) -> None:
        """Control of an app that spools or is broken is an error, with why."""
        self.node.spooling = Deferred()
        self.open(0, "echo", "default")
        self.assertEqual(
            self.ask(4, "echo"),
            [1, [[20991, 6], "app 'echo' is spooling: application is not running"]],
        )
        self.node.spooling = SpoolError("no archive")
        self.start("echo2")
        self.assertEqual(
            self.ask(4, "echo2"),
            [1, [[20991, 6], "app 'echo2' is broken: application is not running"]],
        )

    def test_control_outlives_app(self) -> None:
        """Control of an app that was paused meanwhile does no harm."""
        channel = self.open(4, "echo3")
        self.pause("echo3")

        self.assertEqual(self.client.send([channel, 0, [2]]), [])

        self.assertEqual(self.isolate.spawned, [])


class EnqueueTests(NodeCase):
    """N17, N18: events by way of the node."""

    def test_unknown(self) -> None:
        """N17: an unknown app is an error; what follows on the channel is dropped."""
        self.assertEqual(
            self.ask(5, "nope", "ping"),
            [1, [[20991, 6], "application nope is not found"]],
        )
        self.assertEqual(self.client.send([1, 2, []]), [])
        self.assertEqual(self.list(), [])

    def test_echo(self) -> None:
        """N18: a stream through the app and back."""
        self.started("echo3")
        channel = self.open(5, "echo3", "echo")
        worker = MemoryWorker(self.node, self.node.isolates[0])
        self.pass_time()
        self.assertEqual(worker.receive(), [[2, 0, ["echo"]]])

        self.assertEqual(self.client.send([channel, 0, ["x"]]), [])
        self.assertEqual(worker.receive(), [[2, 0, ["x"]]])
        worker.send([2, 0, ["x"]], [2, 2, []])

        self.assertEqual(self.client.receive(), [[channel, 0, ["x"]], [channel, 2, []]])

    def test_not_running(self) -> None:
        """An event for an app that spools or is broken is an error, with why."""
        self.node.spooling = Deferred()
        self.open(0, "echo", "default")
        self.assertEqual(
            self.ask(5, "echo", "ping"),
            [1, [[12, 32], "application echo is spooling: Broken pipe"]],
        )
        self.node.spooling = SpoolError("no archive")
        self.start("echo2")
        self.assertEqual(
            self.ask(5, "echo2", "ping"),
            [1, [[12, 32], "application echo2 is broken: Broken pipe"]],
        )

    def test_event_needs_a_name(self) -> None:
        """An event without its name is an error."""
        self.started("echo3")

        self.assertEqual(self.ask(5, "echo3")[1][0], [7, 2])


class StopTests(NodeCase):
    """Drain and stop."""

    def request(self) -> tuple[Client, MemoryWorker]:
        """Give a client with an open event, and the worker that has it."""
        self.started("echo3")
        client = self.connect(self.service)
        client.send([1, 5, ["echo3", "echo"]])
        worker = MemoryWorker(self.node, self.node.isolates[0])
        self.pass_time()
        self.assertEqual(worker.receive(), [[2, 0, ["echo"]]])
        return client, worker

    def drain(self) -> Deferred[None]:
        drained = self.service.drain()
        assert drained is not None
        return drained

    def stop(self) -> Deferred[None]:
        stopped = self.service.stop()
        assert stopped is not None
        return stopped

    def test_nothing_runs(self) -> None:
        """A node without apps is drained and stopped at once."""
        self.successResultOf(self.drain())
        self.successResultOf(self.stop())

    def test_drain_waits(self) -> None:
        """A drain lasts until the last event is finished; no other is taken."""
        client, worker = self.request()
        drained = self.drain()
        self.assertNoResult(drained)
        self.assertEqual(self.ask(5, "echo3", "late")[1][0], [12, 32])

        client.send([1, 2, []])
        worker.send([2, 0, ["x"]], [2, 2, []])

        self.successResultOf(drained)
        self.assertEqual(client.receive(), [[1, 0, ["x"]], [1, 2, []]])

    def test_drain_is_given_up(self) -> None:
        """A drain whose time is over is cancelled; that is no error of the app."""
        events = self.record_log()
        self.request()
        drained = self.drain()

        drained.cancel()

        self.successResultOf(drained)
        self.assertEqual([event for event in events if "log_failure" in event], [])

    def test_stop_ends_workers(self) -> None:
        """A stop waits until the workers have gone."""
        _, worker = self.request()
        stopped = self.stop()
        self.pass_time()
        self.assertEqual(worker.receive(), [[1, 1, [11, "overseer is shutting down"]]])
        self.assertNoResult(stopped)

        worker.send([1, 1, [0, "bye"]])
        self.pass_time(2)

        self.successResultOf(stopped)
        self.assertTrue(self.node.isolates[0].stopped)

    def test_patience(self) -> None:
        """A worker that does not answer is killed after the node's patience."""
        self.request()
        stopped = self.stop()
        self.pass_time(self.node.patience - 0.1)
        self.assertNoResult(stopped)

        self.pass_time(0.2)
        self.pass_time(2)

        self.successResultOf(stopped)
        (_, handle) = self.node.isolates[0].spawned[0]
        self.assertTrue(handle.ended)

    def test_stop_while_spooling(self) -> None:
        """A spool that is under way is given up."""
        cancelled: list[Any] = []
        self.node.spooling = Deferred(cancelled.append)
        self.open(0, "echo", "default")

        self.successResultOf(self.stop())

        self.assertEqual(len(cancelled), 1)

    def test_unpublished(self) -> None:
        """After a stop no app can be found any more."""
        self.started("echo", "echo2")

        self.successResultOf(self.stop())

        self.assertEqual(self.node.directory.endpoints("echo"), ())
        self.assertEqual(self.node.directory.endpoints("echo2"), ())
        self.assertEqual(self.list(), [])


class ArgumentTests(NodeCase):
    """The arguments of the service."""

    def test_original(self) -> None:
        """Arguments of the original are understood, even those without meaning."""
        args = convert(
            {
                "runlist": "default",
                "isolate_metrics": True,
                "isolate_metrics_poll_period_s": 10,
            },
            NodeArgs,
        )

        self.assertEqual(args.runlist, "default")
        self.assertRaises(ConfigError, convert, {"run-list": "x"}, NodeArgs)

    def test_no_core_storage(self) -> None:
        """Without the storage ``core`` there is no node service."""
        del self.node.storages["core"]

        self.assertRaises(ConfigError, self.build, NodeArgs())


def _lists(nested: Any) -> Any:
    return {number: list(entry) for number, entry in nested.items()}
