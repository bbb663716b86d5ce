# -*- test-case-name: cocained.test.test_node -*-
"""
A whole node of components that write down what is done to them.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, formatEvent
from zope.interface.verify import verifyObject

from cocained.config import loads
from cocained.errors import (
    StorageError,
    to_wire,
)
from cocained.interfaces import (
    INode,
)
from cocained.node import Log, Node
from cocained.repository import Repository
from cocained.test.node_case import ENTRIES, STEP, NodeCase


class BuildTests(NodeCase):
    """What a configuration can say, and what is said when it is wrong."""

    def test_interface(self) -> None:
        """A node is what plugins expect."""
        self.assertTrue(verifyObject(INode, self.build()))

    def test_touches_nothing(self) -> None:
        """Building a node starts nothing, listens nowhere and makes no directory."""
        self.build()

        self.assertEqual(self.reactor.journal, [])
        self.assertFalse(os.path.exists(self.runtime))

    def test_unknown_type(self) -> None:
        """A type that is no plugin is named with file, line and path."""
        said = self.refuse(self.text({"a": STEP, "b": "{type: stepp}"}))

        self.assertEqual(
            said,
            "node.yaml:9: services.b.type: service type 'stepp' has not been"
            " registered in the repository; did you mean 'step'?",
        )

    def test_bad_arguments(self) -> None:
        """So are arguments, of loggers and storages too."""
        said = self.refuse(self.text({}, {"core": "{type: step, args: {stat: x}}"}))
        self.assertTrue(
            said.startswith("node.yaml:6: storages.core.args.stat: unknown key"), said
        )
        text = self.text().replace("[{type: step}", "[{type: step, args: {x: 1}}")
        said = self.refuse(text)
        self.assertTrue(
            said.startswith("node.yaml:4: logging.loggers[0].args.x: unknown key"), said
        )

    def test_no_storage(self) -> None:
        """A storage that a service needs is named where it should be."""
        said = self.refuse(
            self.text({"a": "{type: step, args: {needs: 'storage:core'}}"}, {"c": STEP})
        )

        self.assertEqual(
            said,
            "node.yaml:5: storages.core: there is no storage 'core', which is needed;"
            " add it",
        )

    def test_component_inside(self) -> None:
        """What is wrong with a part of a component is told with its place."""
        said = self.refuse(
            self.text(
                {"a": "{type: step, args: {needs: 'storage:x', start: ''}}"}
            ).replace("storage:x", "logger:x")
        )

        self.assertTrue(
            said.startswith("node.yaml:8: services.a: logger.args.sart: unknown key"),
            said,
        )

    def test_unknown_host(self) -> None:
        """A host name without addresses is named with its place and the remedy."""
        text = self.text().replace(
            "endpoint: 127.0.0.1", "endpoint: '::', hostname: 'a..b'"
        )

        said = self.refuse(text)

        self.assertTrue(said.startswith("node.yaml:3: network.hostname: "), said)
        self.assertIn("'a..b' has no address", said)

    def test_addresses_of_host(self) -> None:
        """At all addresses, those of the host's name are announced."""
        for endpoint, hostname in (("'::'", "192.0.2.3"), ("0.0.0.0", "192.0.2.3")):
            node = self.start(
                self.text().replace(
                    "endpoint: 127.0.0.1", f"endpoint: {endpoint}, hostname: {hostname}"
                )
            )

            self.assertEqual(node.directory.endpoints("a")[0][0], "192.0.2.3")

    def test_uuid(self) -> None:
        """A node has a fresh uuid, unless the configuration gives one."""
        uuid = "11111111-2222-4333-8444-555555555555"

        self.assertNotEqual(self.build().uuid, self.build().uuid)
        self.assertEqual(self.build(self.text(more=f"uuid: {uuid}")).uuid, uuid)

    def test_paths(self) -> None:
        """Paths of the configuration start at its directory."""
        config = loads(self.text(), "node.yaml", "/etc/cocained")
        node = Node(
            cast(Any, self.reactor), config, Repository(ENTRIES), self.failures.append
        )

        self.assertEqual(node.resolve("../x"), "/etc/x")
        self.assertEqual(node.resolve("/x"), "/x")

    def test_limits(self) -> None:
        """Limits of the configuration are those of connections."""
        node = self.build(
            self.text(more="limits: {frame: 70000, connections: 7, write-stall: 5}")
        )

        limits = node.wiring.limits
        self.assertEqual(
            (limits.frame, limits.connections, limits.write_stall), (70000, 7, 5.0)
        )

    def test_storage_limit(self) -> None:
        """No storage keeps anybody waiting for longer than the limit."""
        node = self.build(self.text(more="limits: {storage: 5}"))

        answer = node.storage("core").write("c", "k", b"v")
        self.reactor.advance(4.9)
        self.assertNoResult(answer)
        self.reactor.advance(0.1)

        error = self.failureResultOf(answer, StorageError).value
        self.assertEqual(to_wire(error)[:2], (12, errno.ETIMEDOUT))


class StartTests(NodeCase):
    """The start of a node."""

    def test_order(self) -> None:
        """Loggers, storages by name, services by name, and then their ports."""
        self.start(self.text({"b": STEP, "a": STEP}, {"z": STEP, "core": STEP}))

        self.assertEqual(
            self.reactor.journal,
            [
                "start 0",
                "start 1",
                "start core",
                "start z",
                "start a",
                "start b",
                "listen",
                "listen",
            ],
        )
        self.assertEqual(self.failures, [])

    def test_waits(self) -> None:
        """A component that takes its time holds up those behind it."""
        self.start(self.text({"a": "{type: step, args: {start: wait}}", "b": STEP}))
        self.assertEqual(self.reactor.journal[-1], "start a")

        self.reactor.waiting["start a"].callback(None)

        self.assertEqual(self.reactor.journal[-3:], ["start b", "listen", "listen"])

    def test_runtime_directory(self) -> None:
        """The directory of sockets is made, for the node's user to write."""
        self.start()

        mode = os.stat(self.runtime).st_mode
        self.assertTrue(stat.S_ISDIR(mode))
        self.assertEqual(mode & 0o022, 0)

    def test_runtime_directory_is_there(self) -> None:
        """A directory that is there already is fine."""
        os.makedirs(self.runtime)

        self.start()

        self.assertEqual(self.failures, [])

    def test_bad_runtime_directory(self) -> None:
        """One that cannot be made ends the start, and is named with its place."""
        with open(self.runtime, "w"):
            pass

        node = self.start()

        (failure,) = self.failures
        said = str(failure.value)
        self.assertTrue(said.startswith("node.yaml:2: paths.runtime: "), said)
        self.assertIn(self.runtime, said)
        self.assertEqual(self.reactor.journal, [])
        self.successResultOf(node.stopService())

    def test_failing_component(self) -> None:
        """A component that cannot start ends the start; nobody behind it begins."""
        node = self.start(
            self.text({"a": "{type: step, args: {start: error}}", "b": STEP})
        )

        (failure,) = self.failures
        self.assertEqual(str(failure.value), "cannot start a")
        self.assertEqual(self.take_journal()[-1], "start a")
        self.successResultOf(node.stopService())
        self.assertEqual(
            [step for step in self.take_journal() if step.startswith("stop")],
            ["stop a", "stop core", "stop 1", "stop 0"],
        )

    def test_late_failure(self) -> None:
        """So does one that fails after a while, with an error of any kind."""
        self.start(self.text({"a": "{type: step, args: {start: wait}}"}))
        self.assertEqual(self.failures, [])

        self.reactor.waiting["start a"].errback(ZeroDivisionError("late"))

        (failure,) = self.failures
        self.assertIsInstance(failure.value, ZeroDivisionError)

    def test_port_in_use(self) -> None:
        """A port in use ends the start with a sentence that names it."""
        self.reactor.taken.add(10053)
        text = self.text().replace(
            "endpoint: 127.0.0.1", "endpoint: 127.0.0.1, pinned: {a: 10053}"
        )

        self.start(text)

        (failure,) = self.failures
        self.assertIn(
            "service 'a' cannot listen at 127.0.0.1 port 10053: Address already in use",
            str(failure.value),
        )

    def test_common_door(self) -> None:
        """``network.unix`` starts at the file's directory, and is opened in time."""
        text = self.text().replace("127.0.0.1}", "127.0.0.1, unix: door}")
        node = Node(
            cast(Any, self.reactor),
            loads(text, "node.yaml", "/etc/cocained"),
            Repository(ENTRIES),
            self.failures.append,
        )
        opened: list[tuple[str, bool]] = []
        self.patch(
            node.directory,
            "open_common_door",
            lambda path: opened.append((path, "listen" in self.reactor.journal)),
        )

        node.startService()

        self.assertEqual(opened, [("/etc/cocained/door", False)])
        self.assertEqual(self.failures, [])

    def test_no_common_door(self) -> None:
        """By default there is none."""
        node = self.build()
        self.patch(node.directory, "open_common_door", None)

        node.startService()

        self.assertEqual(self.failures, [])

    def test_notes(self) -> None:
        """What means nothing in a configuration is a line in the log."""
        events = self.record_log()
        text = self.text().replace("paths:", "paths:\n  plugins: /usr/lib/cocaine")

        self.start(text)

        (note,) = [event for event in events if event["log_level"] is LogLevel.warn]
        self.assertIn("plugins", formatEvent(note))

    def test_ready(self) -> None:
        """A line in the log says that the node is ready."""
        events = self.record_log()
        node = self.start()

        self.assertEqual(formatEvent(events[-1]), f"node {node.uuid} is ready")


class StopTests(NodeCase):
    """The end of a node."""

    def stop(self, node: Node) -> Deferred[None]:
        self.take_journal()
        return node.stopService()

    def test_order(self) -> None:
        """Drained first, then all in the reverse order of their start."""
        node = self.start(self.text({"b": STEP, "a": STEP}, {"z": STEP, "core": STEP}))

        self.successResultOf(self.stop(node))

        self.assertEqual(
            self.take_journal(),
            [
                "drain a",
                "drain b",
                "stop b",
                "stop a",
                "stop z",
                "stop core",
                "stop 1",
                "stop 0",
            ],
        )
        self.assertEqual(self.reactor.ports, {})

    def test_ports_are_closed_first(self) -> None:
        """No one new is let in while the old ones are drained."""
        node = self.start(self.text({"a": "{type: step, args: {drain: wait}}"}))

        stopped = self.stop(node)

        self.assertEqual(self.take_journal(), ["drain a"])
        self.assertEqual(self.reactor.ports, {})
        self.assertNoResult(stopped)
        self.reactor.waiting["drain a"].callback(None)
        self.successResultOf(stopped)

    def test_drain_timeout(self) -> None:
        """A drain that takes too long is given up, and the log says so."""
        events = self.record_log()
        node = self.start(
            self.text(
                {"a": "{type: step, args: {drain: wait}}"},
                more="shutdown: {drain: 7}",
            )
        )
        stopped = self.stop(node)

        self.reactor.advance(6.9)
        self.assertNoResult(stopped)
        self.reactor.advance(0.2)

        self.successResultOf(stopped)
        self.assertEqual(self.take_journal()[1], "cancel drain a")
        (warning,) = [event for event in events if event["log_level"] is LogLevel.warn]
        self.assertEqual(
            formatEvent(warning),
            "requests are still running after 7.0 s and are ended",
        )

    def test_no_call_is_left(self) -> None:
        """A drain that ends in time leaves no timer behind."""
        node = self.start()

        self.successResultOf(self.stop(node))

        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_failures(self) -> None:
        """Components that fail to drain or to stop do not keep others from it."""
        bad = "{type: step, args: {drain: bug, stop: bug}}"
        node = self.start(self.text({"a": bad, "b": bad}, {"core": bad}))

        self.successResultOf(self.stop(node))

        self.assertEqual(
            self.take_journal(),
            ["drain a", "drain b", "stop b", "stop a", "stop core", "stop 1", "stop 0"],
        )
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 5)

    def test_during_start(self) -> None:
        """A node that is stopped while it starts stops what has begun."""
        node = self.start(
            self.text({"a": "{type: step, args: {start: wait}}", "b": STEP})
        )

        self.successResultOf(self.stop(node))

        journal = self.take_journal()
        self.assertEqual(journal[0], "cancel start a")
        self.assertNotIn("start b", journal)
        self.assertNotIn("stop b", journal)
        self.assertEqual(journal[-4:], ["stop a", "stop core", "stop 1", "stop 0"])
        self.assertEqual(self.failures, [])

    def test_patience(self) -> None:
        """Plugins learn how long workers have when the node stops."""
        node = self.build(self.text(more="shutdown: {kill: 1.5}"))

        self.assertEqual(node.patience, 1.5)


class LogTests(NodeCase):
    """The log of a node."""

    def log(self, severity: str) -> tuple[Log, list[Any]]:
        """Give a log of two loggers, and them."""
        node = self.build(
            self.text().replace("logging: {", f"logging: {{severity: {severity}, ")
        )
        return node.log, self.reactor.built[:2]

    def test_severity(self) -> None:
        """Lesser events are dropped; all others go to every logger."""
        log, loggers = self.log("warning")
        levels = (LogLevel.debug, LogLevel.info, LogLevel.warn, LogLevel.critical)

        for level in levels:
            log({"log_level": level})

        for logger in loggers:
            self.assertEqual(
                [event["log_level"] for event in logger.events],
                [LogLevel.warn, LogLevel.critical],
            )

    def test_without_level(self) -> None:
        """An event without a level counts as info."""
        log, (logger, _) = self.log("info")

        log({"message": ("old",)})

        self.assertEqual(len(logger.events), 1)

    def test_old_events(self) -> None:
        """What Twisted still says in the old way is for debugging."""
        event = {"log_level": LogLevel.info, "log_namespace": "log_legacy"}
        log, (logger, _) = self.log("info")
        log(event)
        self.assertEqual(logger.events, [])

        log(event | {"log_level": LogLevel.critical})
        self.assertEqual(len(logger.events), 1)

    def test_old_events_at_debug(self) -> None:
        """At debug they are there."""
        log, (logger, _) = self.log("debug")

        log({"log_level": LogLevel.info, "log_namespace": "log_legacy"})

        self.assertEqual(len(logger.events), 1)

    def test_reopen(self) -> None:
        """Log rotation reaches every logger."""
        log, _ = self.log("info")

        log.reopen()

        self.assertEqual(self.reactor.journal, ["reopen 0", "reopen 1"])
