# -*- test-case-name: cocained.test.test_isolates_docker -*-
"""
The docker isolate of an app: from spool to stop, against an engine that is the
test (legacy-and-seeds.md rows 22 to 26, 258, 259).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import formatEvent
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from cocained.config import convert
from cocained.errors import SpawnError, SpoolError
from cocained.interfaces import ICodeVersion, IIsolate, INode, ISpoolProgress
from cocained.isolates.docker import DockerIsolate, checks, orphans
from cocained.isolates.docker.dock import Dock
from cocained.isolates.docker.isolate import STOP_PATIENCE
from cocained.isolates.docker.keys import DockerArgs
from cocained.repository import Repository
from cocained.test.docker_case import ADDRESS, EngineCase, Exchange
from cocained.test.process_case import Observer
from cocained.test.service_case import LogCase
from cocained.testing import FakeNode, MemoryDoor

ID = "sha256:" + "1" * 64
DIGEST = "sha256:" + "2" * 64


class ThreadlessReactor(MemoryReactorClock):
    """A reactor whose threads are done before one can look."""

    def getThreadPool(self) -> Any:  # noqa: N802 - Twisted's name
        return self

    def callInThreadWithCallback(  # noqa: N802 - Twisted's name
        self, done: Callable[..., Any], function: Callable[..., Any], *args: Any
    ) -> None:
        try:
            result = function(*args)
        except Exception:
            done(False, Failure())
        else:
            done(True, result)

    def callFromThread(  # noqa: N802 - Twisted's name
        self, function: Callable[..., Any], *args: Any
    ) -> None:
        function(*args)


class IsolateCase(EngineCase, LogCase):
    """Isolates of one node, and the engine's side."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = ThreadlessReactor()
        # Short: the path of a socket holds a hundred bytes.
        self.runtime = os.path.realpath(tempfile.mkdtemp(prefix="cu"))
        self.addCleanup(shutil.rmtree, self.runtime)
        self.node = FakeNode(self.runtime)
        self.node.reactor = cast(Any, self.reactor)
        self.is_greeted = False

    def make(self, app: str = "app", **keys: Any) -> DockerIsolate:
        keys = {"endpoint": ADDRESS, **keys}
        return DockerIsolate(cast(INode, self.node), app, convert(keys, DockerArgs))

    def expect(self, line: str) -> Exchange:
        exchange = self.accept()
        self.assertEqual(exchange.line.partition("?")[0], line)
        return exchange

    def sweep(self, *found: Any) -> None:
        """Answer what an isolate asks before it looks for its image."""
        if not self.is_greeted:
            self.greet()
            self.is_greeted = True
        self.expect("GET /v1.41/containers/json").answer(list(found))

    def spooled(self, app: str = "app", **keys: Any) -> DockerIsolate:
        """Give an isolate whose image the engine has."""
        isolate = self.make(app, **keys)
        spooling = isolate.spool()
        self.sweep()
        self.accept().answer({"Id": ID})
        self.assertIsNone(self.successResultOf(spooling))
        return isolate

    def failed(self, spooling: Deferred[None]) -> str:
        return self.failureResultOf(spooling, SpoolError).value.reason

    def claims(self) -> list[str]:
        return [
            name for name in os.listdir(self.runtime) if name.startswith(".docker-")
        ]


class PluginTests(IsolateCase):
    """How it is found."""

    def test_types(self) -> None:
        """Under its name, and under the one that the original gave it later."""
        for type in ("docker", "legacy_docker"):
            isolate = Repository.discover().build(
                "isolate", type, cast(INode, self.node), "app", {}, "isolate.args"
            )
            self.assertIsInstance(isolate, DockerIsolate)

    def test_interfaces(self) -> None:
        """It is an isolate that tells its progress."""
        self.assertTrue(verifyObject(IIsolate, self.make()))
        self.assertTrue(verifyObject(ISpoolProgress, self.make()))
        self.assertTrue(verifyObject(ICodeVersion, self.make()))
        self.assertIsNone(self.make().progress)


class CodeVersionTests(IsolateCase):
    """Which image a release would have (row 187)."""

    def ask(self, **keys: Any) -> tuple[Deferred[str], Exchange]:
        asked = self.make(**keys).code_version()
        self.greet()
        return asked, self.accept()

    def test_pulled(self) -> None:
        """Where it is pulled each time, the registry's digest counts."""
        asked, exchange = self.ask(registry="hub:5000", repository="team")
        self.assertEqual(
            exchange.line, "GET /v1.41/distribution/hub:5000/team/app:latest/json"
        )
        exchange.answer({"Descriptor": {"digest": DIGEST}})

        self.assertEqual(self.successResultOf(asked), DIGEST)

    def test_local(self) -> None:
        """Where it never is, the engine's own image counts."""
        asked, exchange = self.ask()
        self.assertEqual(exchange.line, "GET /v1.41/images/app:latest/json")
        exchange.answer({"Id": ID})

        self.assertEqual(self.successResultOf(asked), ID)

    def test_fixed(self) -> None:
        """What is never asked for again cannot change."""
        for keys in ({"pull": "missing"}, {"image": f"app@{DIGEST}"}):
            asked = self.make(registry="hub:5000", **keys).code_version()
            self.assertEqual(self.successResultOf(asked), "")
        self.assert_nothing_left()

    def test_cannot_tell(self) -> None:
        """An engine that cannot ask a registry (Podman) leaves it at documents."""
        asked, exchange = self.ask(registry="hub:5000")
        exchange.answer(None, "404 Not Found")

        self.assertEqual(self.successResultOf(asked), "")

    def test_registry_is_down(self) -> None:
        """What goes wrong is said as in a spool."""
        asked, exchange = self.ask(registry="hub:5000")
        exchange.answer({"message": "connection refused"}, "500 Server Error")

        error = self.failureResultOf(asked, SpoolError).value
        self.assertIn("cannot find hub:5000/app:latest", str(error))


class SpoolTests(IsolateCase):
    """How an app comes to its image (rows 22, 23)."""

    def test_local(self) -> None:
        """Without a registry the engine's own image is taken, and none pulled."""
        spooling = self.make().spool()
        self.sweep()
        self.expect("GET /v1.41/images/app:latest/json").answer({"Id": ID})

        self.assertIsNone(self.successResultOf(spooling))
        self.assert_nothing_left()

    def test_pulled(self) -> None:
        """With one, it is asked each time; that is what the original does."""
        isolate = self.make(registry="hub:5000", repository="team")
        spooling = isolate.spool()
        self.sweep()
        pull = self.expect("POST /v1.41/images/create")
        self.assertEqual(pull.query["fromImage"], ["hub:5000/team/app"])
        pull.begin()
        self.assertEqual(
            isolate.progress,
            {"text": "pulling hub:5000/team/app:latest: 0 %", "percent": 0},
        )
        pull.end()
        self.accept().answer({"Id": ID})

        self.assertIsNone(self.successResultOf(spooling))
        self.assertIsNone(isolate.progress)

    def test_missing_only(self) -> None:
        """What the engine has is not pulled, if that is enough."""
        keys = {"registry": "hub:5000", "pull": "missing"}
        self.spooled(**keys)
        spooling = self.make("other", **keys).spool()
        self.sweep()
        self.accept().answer({"message": "No such image"}, "404 Not Found")
        pull = self.expect("POST /v1.41/images/create")
        pull.begin()
        pull.end()
        self.accept().answer({"Id": ID})

        self.successResultOf(spooling)

    def test_pinned(self) -> None:
        """A digest that is there is never asked for again."""
        self.spooled(registry="hub:5000", image=f"app@{DIGEST}")
        self.assert_nothing_left()

    def test_not_there(self) -> None:
        """An image that may not be pulled must be there."""
        for keys, why in (
            ({}, "the profile names no 'registry'"),
            ({"registry": "hub:5000", "pull": "never"}, "'pull' is 'never'"),
        ):
            spooling = self.make(**keys).spool()
            self.sweep()
            self.accept().answer({"message": "No such image"}, "404 Not Found")
            self.assertIn(why, self.failed(spooling))

    def test_pull_failed(self) -> None:
        """The engine's words, and what to do."""
        isolate = self.make(registry="hub:5000")
        spooling = isolate.spool()
        self.sweep()
        self.accept().answer({"message": "manifest unknown"}, "404 Not Found")

        reason = self.failed(spooling)
        self.assertIn("cannot pull hub:5000/app:latest: manifest unknown", reason)
        self.assertIn("push it there", reason)
        self.assertIsNone(isolate.progress)

    def test_not_found_out(self) -> None:
        """An engine that cannot say whether it has the image."""
        spooling = self.make().spool()
        self.sweep()
        self.accept().answer({"message": "odd"}, "500 Error")

        self.assertIn("cannot find app:latest: odd", self.failed(spooling))

    def test_no_engine(self) -> None:
        """An engine that is away is named."""
        spooling = self.make().spool()
        self.accept().end()

        self.assertIn(f"the engine at {ADDRESS}", self.failed(spooling))

    def test_old_engine(self) -> None:
        """One that is too old is refused."""
        spooling = self.make().spool()
        self.accept().answer({"Version": "1.12", "ApiVersion": "1.24"})

        self.assertIn("Docker 1.13", self.failed(spooling))

    def test_name(self) -> None:
        """A name that no image can have needs no engine to be refused."""
        self.assertIn("'image'", self.failed(self.make("My App").spool()))
        self.assert_nothing_left()

    def test_binds(self) -> None:
        """Nor does a bind that is not there."""
        spooling = self.make(binds=["/nonexistent/x:/x"]).spool()
        self.assertIn("does not exist", self.failed(spooling))

    def test_no_runtime(self) -> None:
        """A node that may not write where its sockets are."""
        self.node.runtime = "/nonexistent/run"
        spooling = self.make().spool()

        error = self.failureResultOf(spooling, SpoolError).value
        self.assertIn("paths.runtime", error.reason)
        self.assertEqual(error.code, errno.ENOENT)

    def test_cancelled(self) -> None:
        """A pause while it pulls ends the pull."""
        isolate = self.make(registry="hub:5000")
        spooling = isolate.spool()
        self.sweep()
        pull = self.accept()
        pull.begin()
        spooling.cancel()

        self.failureResultOf(spooling, CancelledError)
        self.reactor.advance(0)
        self.assertTrue(pull.wire.is_closed)
        self.assertIsNone(isolate.progress)
        self.assert_nothing_left()

    def test_shared(self) -> None:
        """Two apps of one image pull it once."""
        keys = {"registry": "hub:5000", "image": "same"}
        first = self.make("one", **keys).spool()
        self.sweep()
        pull = self.accept()
        pull.begin()
        second = self.make("two", **keys).spool()
        self.sweep()
        self.assertEqual(self.reactor.unixClients, [])
        pull.end()
        self.accept().answer({"Id": ID})

        self.successResultOf(first)
        self.successResultOf(second)


class OrphanTests(IsolateCase):
    """What dead nodes have left."""

    def listed(self, node: str) -> dict[str, Any]:
        labels = orphans.labels("lost", node, self.runtime, "w")
        return {"Id": f"{node}00", "Names": ["/cocained-w"], "Labels": labels}

    def test_removed(self) -> None:
        """It is removed in the background, and told."""
        events = self.record_log()
        spooling = self.make().spool()
        self.sweep(self.listed("dead"), self.listed(self.node.uuid))
        remove = self.expect("DELETE /v1.41/containers/dead00")
        self.assertEqual(remove.query["force"], ["1"])
        self.accept().answer({"Id": ID})

        self.successResultOf(spooling)
        lines = [formatEvent(event) for event in events]
        told = "removing container cocained-w of app lost, whose node is gone"
        self.assertIn(told, lines)
        remove.answer(None, "204 No Content")
        self.assert_nothing_left()

    def test_asked(self) -> None:
        """Only containers of this runtime directory are asked for."""
        self.make().spool().addErrback(lambda _: None)
        self.greet()
        exchange = self.accept()
        filters = json.loads(exchange.query["filters"][0])

        self.assertEqual(filters, {"label": [f"cocained.runtime={self.runtime}"]})
        self.assertEqual(exchange.query["all"], ["1"])

    def test_claim(self) -> None:
        """A node lives from its first app with containers to its last."""
        first, second = self.spooled("one"), self.spooled("two")
        self.assertEqual(self.claims(), [f".docker-{self.node.uuid}"])
        self.successResultOf(first.stop())
        self.assertEqual(len(self.claims()), 1)
        self.successResultOf(second.stop())

        self.assertEqual(self.claims(), [])

    def test_never_spooled(self) -> None:
        """An app that did not come to that holds nothing."""
        self.successResultOf(self.make().stop())
        self.assertEqual(self.claims(), [])


class SpawnTests(IsolateCase):
    """How a worker is started (row 24)."""

    def setUp(self) -> None:
        super().setUp()
        self.endpoint = os.path.join(self.runtime, "app.7")
        listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(listening.close)
        listening.bind(self.endpoint)
        self.observer = Observer()

    def spawn(self, isolate: DockerIsolate, **changes: str) -> Deferred[Any]:
        arguments = {"--uuid": "u-1", "--endpoint": self.endpoint, **changes}
        return isolate.spawn("/worker", arguments, {"A": "1"}, self.observer)

    @property
    def doors(self) -> list[MemoryDoor]:
        return self.node.directory.doors

    def test_not_spooled(self) -> None:
        """Not before there is an image."""
        error = self.failureResultOf(self.spawn(self.make()), SpawnError).value
        self.assertIn("has not been spooled", error.reason)

    def test_created(self) -> None:
        """With a name, labels and the mounted socket (rows 24, 258, 259)."""
        isolate = self.spooled(memory=2**26)
        self.unfinished(self.spawn(isolate))
        create = self.expect("POST /v1.41/containers/create")
        self.reactor.pump([0.01] * 5)

        self.assertEqual(create.query["name"], ["cocained-u-1"])
        config = json.loads(create.body)
        self.assertEqual(config["Image"], ID)
        self.assertEqual(
            config["Labels"],
            {
                "cocained.app": "app",
                "cocained.node": self.node.uuid,
                "cocained.runtime": self.runtime,
                "cocained.worker": "u-1",
            },
        )
        own, services = config["HostConfig"]["Mounts"]
        self.assertEqual(own["Source"], self.endpoint)
        (door,) = self.doors
        self.assertEqual(services["Source"], door.path)
        self.assertEqual(config["HostConfig"]["Memory"], 2**26)
        self.assertEqual(os.stat(self.endpoint).st_mode & 0o777, 0o660)

    def test_door(self) -> None:
        """Workers find the locator by the socket that they see inside."""
        isolate = self.spooled(services=["storage", "echo"])
        self.unfinished(self.spawn(isolate, **{"--locator": "127.0.0.1:10053"}))
        create = self.expect("POST /v1.41/containers/create")
        self.reactor.pump([0.01] * 5)

        (door,) = self.doors
        self.assertEqual(door.path, f"{self.runtime}/app.{os.getpid()}.door")
        self.assertEqual(door.services, {"storage", "echo"})
        self.assertEqual(door.inside, "/run/cocaine/services")
        self.assertEqual(
            door.owner, (-1, checks.workers_group(os.geteuid(), os.getegid()))
        )
        command = json.loads(create.body)["Cmd"]
        place = command.index("--locator") + 1
        self.assertEqual(command[place], "/run/cocaine/services/locator:0")

    def test_door_closed(self) -> None:
        """The door is closed with the app."""
        isolate = self.spooled()
        self.assertTrue(self.doors[0].is_open)

        self.assertIsNone(self.successResultOf(isolate.stop()))

        self.assertFalse(self.doors[0].is_open)

    def test_no_door(self) -> None:
        """With a network, workers have the locator's addresses and no door."""
        isolate = self.spooled(network_mode="host")
        self.unfinished(self.spawn(isolate, **{"--locator": "127.0.0.1:10053"}))
        create = self.expect("POST /v1.41/containers/create")
        self.reactor.pump([0.01] * 5)

        config = json.loads(create.body)
        self.assertEqual(self.doors, [])
        self.assertIn("127.0.0.1:10053", config["Cmd"])
        self.assertEqual(len(config["HostConfig"]["Mounts"]), 1)

    def test_no_socket(self) -> None:
        """An app that closes its socket meanwhile starts no worker."""
        isolate = self.spooled()
        spawning = self.spawn(isolate, **{"--endpoint": f"{self.runtime}/gone"})

        self.failureResultOf(spawning, SpawnError)
        self.assert_nothing_left()

    def test_stop(self) -> None:
        """A stop waits until what is left has been removed (row 25)."""
        isolate = self.spooled()
        self.fail_to_start(isolate)
        remove = self.expect("DELETE /v1.41/containers/cocained-u-1")
        stopping = isolate.stop()
        self.assertNoResult(stopping)
        remove.answer(None, "204 No Content")

        self.assertIsNone(self.successResultOf(stopping))
        self.assertEqual(self.claims(), [])
        self.assert_nothing_left()

    def test_stop_in_vain(self) -> None:
        """It does not wait for an engine that cannot, and says so."""
        events = self.record_log()
        isolate = self.spooled()
        self.fail_to_start(isolate)
        self.expect("DELETE /v1.41/containers/cocained-u-1").end()

        self.assertIsNone(self.successResultOf(isolate.stop()))
        lines = [formatEvent(event) for event in events]
        self.assertIn("1 containers of app app are not removed yet", lines)

    def test_stop_too_slow(self) -> None:
        """Nor for one that does not answer."""
        isolate = self.spooled()
        self.fail_to_start(isolate)
        self.accept()
        stopping = isolate.stop()
        self.reactor.advance(STOP_PATIENCE)

        self.assertIsNone(self.successResultOf(stopping))

    def fail_to_start(self, isolate: DockerIsolate) -> None:
        """Let a container be made that is to be removed."""
        spawning = self.spawn(isolate)
        self.accept().answer({"Id": "c" * 64})
        self.accept().answer({"message": "odd"}, "500 Error")
        self.failureResultOf(spawning, SpawnError)


class DockTests(IsolateCase):
    """What the apps of a node share."""

    def test_shared(self) -> None:
        """One for each node, and one client for each engine."""
        dock = Dock.of(cast(INode, self.node))

        self.assertIs(Dock.of(cast(INode, self.node)), dock)
        self.assertIsNot(Dock.of(cast(INode, FakeNode(self.runtime))), dock)
        self.assertIs(dock.engine(ADDRESS), dock.engine(ADDRESS))
        self.assertIsNot(dock.engine(ADDRESS), dock.engine("tcp://h:1"))
