# -*- test-case-name: cocained.test.test_isolates_docker_container -*-
"""
One container's life, against an engine that is the test.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from cocained.config import convert
from cocained.errors import IsolateError, SpawnError
from cocained.interfaces import IWorkerHandle
from cocained.isolates.docker.container import (
    FIRST_DELAY,
    KILL_PATIENCE,
    OUTPUT_PATIENCE,
    USAGE_AGE,
    Container,
)
from cocained.isolates.docker.keys import DockerArgs
from cocained.test.docker_case import EngineCase, Exchange
from cocained.test.process_case import Observer
from cocained.test.test_docker_streams import frame
from cocained.test.test_isolates_docker_creation import ORDER

ID = "c0ffee" + "0" * 58
NAME = "cocained-u"


class ContainerCase(EngineCase):
    """A container, and the engine's side of it."""

    def setUp(self) -> None:
        super().setUp()
        self.observer = Observer()
        self.buried: list[str] = []

    def make(self, **keys: Any) -> Container:
        self.container = Container(
            self.reactor,
            self.client,
            convert({"kill_timeout": 5, **keys}, DockerArgs),
            NAME,
            ORDER,
            self.observer,
            self.buried.append,
        )
        return self.container

    def expect(self, line: str) -> Exchange:
        """Accept a connection, and check what is asked."""
        exchange = self.accept()
        self.assertEqual(exchange.line.partition("?")[0], line)
        return exchange

    def call_of(self, verb: str, method: str = "POST") -> Exchange:
        """The same for a call about our container."""
        return self.expect(f"{method} /v1.41/containers/{ID}/{verb}")

    def run_it(self, **keys: Any) -> Exchange:
        """Spawn a container; give the exchange of its output."""
        self.spawning = self.make(**keys).spawn()
        self.greet()
        self.create = self.expect("POST /v1.41/containers/create")
        self.create.answer({"Id": ID})
        attach = self.call_of("attach")
        attach.begin()
        self.call_of("start").answer(None, "204 No Content")
        self.assertIs(self.successResultOf(self.spawning), self.container)
        self.wait = self.call_of("wait")
        return attach

    def end(self, attach: Exchange | None = None, **state: Any) -> None:
        """End the container, and let the engine tell how."""
        if attach is not None:
            attach.end()
        self.wait.answer({"StatusCode": state.get("ExitCode", 0)})
        self.tell(**state)

    def tell(self, **state: Any) -> None:
        self.call_of("json", "GET").answer({"Id": ID, "State": state})

    def refuse(self) -> None:
        """Let nobody answer at the engine's address."""
        _, factory, *_ = self.reactor.unixClients.pop(0)
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))


class SpawnTests(ContainerCase):
    """The beginning."""

    def test_order(self) -> None:
        """Create, attach, start, and only then wait."""
        self.run_it()

        self.assertEqual(self.create.query["name"], [NAME])
        self.assertEqual(self.container.identity, "container c0ffee000000")
        self.assertTrue(verifyObject(IWorkerHandle, self.container))
        self.assertEqual(self.observer.ends, [])

    def test_refused(self) -> None:
        """What the engine refuses to create is a spawn error; nothing is left."""
        spawning = self.make().spawn()
        self.greet()
        self.accept().answer({"message": "No such image: x"}, "404 Not Found")

        error = self.failureResultOf(spawning, SpawnError).value
        self.assertIn("start the app again", error.reason)
        self.assertEqual(self.buried, [])
        self.assert_nothing_left()

    def test_lost_creating(self) -> None:
        """An engine that died over it may have made it all the same."""
        spawning = self.make().spawn()
        self.greet()
        self.accept().end(ConnectionLost())

        self.failureResultOf(spawning, SpawnError)
        self.assertEqual(self.buried, [NAME])

    def test_no_engine(self) -> None:
        """An engine that is away has made nothing."""
        spawning = self.make().spawn()
        self.refuse()

        error = self.failureResultOf(spawning, SpawnError).value
        self.assertIn("start the engine", error.reason)
        self.assertEqual(self.buried, [])

    def test_not_attached(self) -> None:
        """One whose output cannot be heard is not run."""
        spawning = self.make().spawn()
        self.greet()
        self.accept().answer({"Id": ID})
        self.call_of("attach").answer({"message": "odd"}, "500 Error")

        self.failureResultOf(spawning, SpawnError)
        self.assertEqual(self.buried, [NAME])

    def test_not_started(self) -> None:
        """A program that cannot be run is named, and its container removed."""
        spawning = self.make(init=False).spawn()
        self.greet()
        self.accept().answer({"Id": ID})
        self.call_of("attach").begin()
        words = 'exec: "/app/worker": stat /app/worker: no such file or directory'
        self.call_of("start").answer({"message": words}, "400 Bad Request")

        error = self.failureResultOf(spawning, SpawnError).value
        self.assertIn("cannot run '/app/worker'", error.reason)
        self.assertIn("see the manifest's 'slave'", error.reason)
        self.assertEqual(self.buried, [NAME])
        self.assertEqual(self.observer.ends, [])

    def test_output_waits(self) -> None:
        """The observer hears nothing before it knows of the worker."""
        spawning = self.make().spawn()
        self.greet()
        self.accept().answer({"Id": ID})
        attach = self.call_of("attach")
        attach.begin()
        start = self.call_of("start")
        self.assertEqual(attach.wire.producerState, "paused")
        self.assertNoResult(spawning)
        start.answer(None, "204 No Content")

        self.successResultOf(spawning)
        self.assertEqual(attach.wire.producerState, "producing")


class CancelTests(ContainerCase):
    """Spawns that nobody wants any more."""

    def cancel(self, spawning: Any) -> None:
        spawning.cancel()
        self.failureResultOf(spawning, CancelledError)

    def test_creating(self) -> None:
        """What is being made is removed once it is there."""
        spawning = self.make().spawn()
        self.greet()
        create = self.accept()
        self.cancel(spawning)
        self.assertEqual(self.buried, [])
        create.answer({"Id": ID})

        self.assertEqual(self.buried, [NAME])
        self.assert_nothing_left()

    def test_starting(self) -> None:
        """One that has been started meanwhile is removed, and never told of."""
        spawning = self.make().spawn()
        self.greet()
        self.accept().answer({"Id": ID})
        attach = self.call_of("attach")
        attach.begin()
        start = self.call_of("start")
        self.cancel(spawning)
        start.answer(None, "204 No Content")

        self.assertEqual(self.buried, [NAME])
        self.reactor.advance(0)
        self.assertTrue(attach.wire.is_closed)
        self.assertEqual(self.observer.ends, [])
        self.assert_nothing_left()

    def test_failing(self) -> None:
        """What goes wrong after that is nobody's business."""
        spawning = self.make().spawn()
        self.greet()
        create = self.accept()
        self.cancel(spawning)
        create.answer({"message": "odd"}, "500 Error")

        self.assertEqual(self.buried, [])
        self.assert_nothing_left()


class EndTests(ContainerCase):
    """The end, once and in words."""

    def test_output(self) -> None:
        """Both outputs are heard, up to the last word."""
        attach = self.run_it()
        attach.send(frame(1, b"out"))
        self.wait.answer({"StatusCode": 3})
        self.tell(ExitCode=3)
        attach.send(frame(2, b"err"))
        self.assertEqual(self.observer.ends, [])
        attach.end()

        self.assertEqual(self.observer.data, b"outerr")
        self.assertEqual(self.observer.ends, [("exited with status 3", True)])
        self.assertEqual(self.buried, [NAME])
        self.assert_nothing_left()

    def test_stuck_output(self) -> None:
        """An output that does not end is not waited for without end."""
        self.run_it()
        self.end(ExitCode=0)
        self.assertEqual(self.observer.ends, [])
        self.reactor.advance(OUTPUT_PATIENCE)

        self.assertEqual(self.observer.ends, [("exited with status 0", False)])
        self.assert_nothing_left()

    def test_out_of_memory(self) -> None:
        """The kernel's doing is told as such."""
        self.end(self.run_it(memory=2**26), ExitCode=137, OOMKilled=True)

        ((reason, _),) = self.observer.ends
        self.assertIn("out of its memory limit of 64 MiB", reason)

    def test_no_program(self) -> None:
        """An init that found no program says so in the output."""
        attach = self.run_it()
        words = b"[FATAL tini (7)] exec /app/worker failed: No such file or directory\n"
        attach.send(frame(2, words))
        self.end(attach, ExitCode=127)

        ((reason, _),) = self.observer.ends
        self.assertIn("could not run '/app/worker': No such file", reason)

    def test_removed_by_others(self) -> None:
        """A container that is not there any more has ended."""
        attach = self.run_it()
        self.wait.answer({"message": "gone"}, "404 Not Found")
        attach.send(frame(1, b"last words"))
        attach.end()

        self.assertEqual(self.observer.data, b"last words")
        ((reason, error),) = self.observer.ends
        self.assertIn("somebody has removed", reason)
        self.assertTrue(error)
        self.assertEqual(self.buried, [NAME])

    def test_bad_observer(self) -> None:
        """Who raises over output hears no more of it, and still of the end."""
        attach = self.run_it()

        def output(data: bytes) -> None:
            raise ValueError("no")

        self.observer.output = output  # type: ignore[method-assign]
        attach.send(frame(1, b"x"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.end(ExitCode=0)

        self.assertEqual(len(self.observer.ends), 1)


class LossTests(ContainerCase):
    """Engines that go away."""

    def lose(self) -> Exchange:
        attach = self.run_it()
        attach.end(ConnectionLost())
        self.wait.end(ConnectionLost())
        self.assertEqual(self.observer.ends, [])
        return attach

    def test_died_with_it(self) -> None:
        """A container that went with its engine ends when that is back."""
        self.lose()
        self.reactor.advance(FIRST_DELAY)
        self.refuse()
        self.refuse()
        self.reactor.advance(2 * FIRST_DELAY)
        self.greet()
        self.tell(Status="exited", ExitCode=137)
        self.wait = self.call_of("wait")
        self.end(ExitCode=137)

        self.assertEqual(self.observer.ends, [("was killed by SIGKILL", True)])
        self.assertEqual(self.buried, [NAME])
        self.assert_nothing_left()

    def test_survived(self) -> None:
        """One that goes on is heard and waited for again."""
        self.lose()
        self.reactor.advance(FIRST_DELAY)
        self.greet()
        self.tell(Running=True)
        attach = self.call_of("attach")
        attach.begin()
        attach.send(frame(1, b"still here"))
        self.wait = self.call_of("wait")
        self.end(attach, ExitCode=0)

        self.assertEqual(self.observer.data, b"still here")
        self.assertEqual(self.observer.ends, [("exited with status 0", False)])

    def test_signal_repeated(self) -> None:
        """What it was to be told is told again."""
        self.run_it()
        self.container.kill()
        self.call_of("kill").end(ConnectionLost())
        self.wait.end(ConnectionLost())
        self.reactor.advance(FIRST_DELAY)
        self.greet()
        self.tell(Running=True)
        self.call_of("kill").answer(None, "204 No Content")
        self.wait = self.call_of("wait")
        self.end(ExitCode=137)
        self.reactor.advance(OUTPUT_PATIENCE)

        self.assertEqual(len(self.observer.ends), 1)
        self.assert_nothing_left()

    def test_never_back(self) -> None:
        """A worker that is to go does not wait for an engine that stays away."""
        self.lose()
        self.container.kill()
        self.refuse()
        for _ in range(int(KILL_PATIENCE / FIRST_DELAY) + 1):
            self.reactor.advance(FIRST_DELAY)
            while self.reactor.unixClients:
                self.refuse()

        ((reason, error),) = self.observer.ends
        self.assertIn("could not be ended", reason)
        self.assertTrue(error)
        self.assertEqual(self.buried, [NAME])
        self.assert_nothing_left()

    def test_odd_answer(self) -> None:
        """A wait that ends while the container runs is repeated, not at once."""
        attach = self.run_it()
        self.wait.answer({"message": "odd"}, "500 Error")
        self.assertEqual(self.reactor.unixClients, [])
        self.reactor.advance(FIRST_DELAY)
        self.tell(Running=True)
        self.wait = self.call_of("wait")
        self.end(attach, ExitCode=0)

        self.assertEqual(len(self.observer.ends), 1)

    def test_still_running(self) -> None:
        """An answer that contradicts itself is not believed, nor asked in a hurry."""
        attach = self.run_it()
        self.end(Running=True)
        self.assertEqual(self.reactor.unixClients, [])
        self.reactor.advance(FIRST_DELAY)
        self.tell(Running=True)
        self.wait = self.call_of("wait")
        self.end(attach, ExitCode=0)

        self.assertEqual(len(self.observer.ends), 1)


class SignalTests(ContainerCase):
    """Ends that were asked for."""

    def test_terminate(self) -> None:
        """SIGTERM first, SIGKILL when that does not help."""
        attach = self.run_it()
        self.container.terminate()
        self.container.terminate()
        kill = self.call_of("kill")
        self.assertEqual(kill.query["signal"], ["SIGTERM"])
        kill.answer(None, "204 No Content")
        self.reactor.advance(5)
        kill = self.call_of("kill")
        self.assertEqual(kill.query["signal"], ["SIGKILL"])
        kill.answer(None, "204 No Content")
        self.end(attach, ExitCode=137)

        self.assertEqual(len(self.observer.ends), 1)
        self.assert_nothing_left()

    def test_obedient(self) -> None:
        """Who ends in time is not killed."""
        attach = self.run_it()
        self.container.terminate()
        self.call_of("kill").answer(None, "204 No Content")
        self.end(attach, ExitCode=143)

        self.assertEqual(self.observer.ends, [("was killed by SIGTERM", True)])
        self.assert_nothing_left()

    def test_too_late(self) -> None:
        """Signals for one that has ended are nothing, in whatever order."""
        attach = self.run_it()
        self.container.kill()
        self.call_of("kill").answer({"message": "not running"}, "409 Conflict")
        self.end(attach, ExitCode=0)
        self.container.terminate()
        self.container.kill()

        self.assert_nothing_left()

    def test_unwilling(self) -> None:
        """An engine that does not kill is not waited for; removal goes on."""
        self.run_it()
        self.container.kill()
        self.container.kill()
        self.call_of("kill").answer({"message": "odd"}, "500 Error")
        self.reactor.advance(KILL_PATIENCE)

        ((reason, _),) = self.observer.ends
        self.assertIn("could not be ended", reason)
        self.assertEqual(self.buried, [NAME])
        self.assert_nothing_left()


class UsageTests(ContainerCase):
    """What it takes."""

    STATS = {
        "cpu_stats": {"cpu_usage": {"total_usage": 1_500_000_000}},
        "memory_stats": {"usage": 3000, "stats": {"inactive_file": 1000}},
        "pids_stats": {"current": 4},
    }

    def test_usage(self) -> None:
        """The engine's last answer, which is asked for when somebody looks."""
        attach = self.run_it()
        self.assertIsNone(self.container.usage())
        self.assertIsNone(self.container.usage())
        self.call_of("stats", "GET").answer(self.STATS)
        self.assertEqual(
            self.container.usage(), {"memory": 2000, "cpu": 1.5, "processes": 4}
        )
        self.assertEqual(self.reactor.unixClients, [])
        self.reactor.advance(USAGE_AGE)
        self.container.usage()
        self.call_of("stats", "GET").answer(self.STATS)
        self.end(attach, ExitCode=0)

        self.assertIsNone(self.container.usage())

    def test_unknown(self) -> None:
        """An engine that does not tell is asked again."""
        self.run_it()
        self.container.usage()
        self.call_of("stats", "GET").answer({"message": "odd"}, "500 Error")
        self.assertIsNone(self.container.usage())
        self.reactor.advance(USAGE_AGE)
        self.container.usage()

        self.call_of("stats", "GET")


class BugTests(ContainerCase):
    """What must not happen."""

    def test_broken_client(self) -> None:
        """A bug before the start fails the spawn, and is logged."""
        spawning = self.make().spawn
        self.client.create = self.broken  # type: ignore[method-assign]
        failed = spawning()

        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.failureResultOf(failed, IsolateError)

    def test_broken_watch(self) -> None:
        """A bug after it is logged, and the worker still ends once."""
        attach = self.run_it()
        self.client.inspect = self.broken  # type: ignore[method-assign]
        attach.end()
        self.wait.answer({"StatusCode": 0})

        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        ((reason, error),) = self.observer.ends
        self.assertEqual((reason, error), ("is lost: odd", True))
        self.assertEqual(self.buried, [NAME])

    def broken(self, *args: Any, **options: Any) -> Any:
        raise ValueError("odd")
