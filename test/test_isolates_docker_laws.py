# -*- test-case-name: cocained.test.test_isolates_docker_laws -*-
"""
Laws of containers: whatever engines and people do, one end and nothing left.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cocained.config import convert
from cocained.docker import DockerClient, Progress
from cocained.errors import ConfigError
from cocained.isolates.docker.binds import parse_bind
from cocained.isolates.docker.container import KILL_PATIENCE, LAST_DELAY, Container
from cocained.isolates.docker.creation import creation
from cocained.isolates.docker.graves import Graves
from cocained.isolates.docker.keys import DockerArgs
from cocained.isolates.docker.pulls import Course
from cocained.test.docker_case import ADDRESS, VERSION, Exchange
from cocained.test.process_case import Observer
from cocained.test.test_isolates_docker_creation import ORDER

ID = "c" * 64


class SimulatedEngine:
    """
    An engine with one container at most, which may crash, stop and come back.

    :param reactor: whose connections it accepts.
    """

    def __init__(self, reactor: MemoryReactorClock) -> None:
        self._reactor = reactor
        self._open: list[Exchange] = []
        self._waiting: list[Exchange] = []
        self.is_up = True
        self.exists = False
        self.is_running = False
        self.status = 0

    def serve(self, most: int | None = None) -> None:
        """Answer all that is asked, or so much of it."""
        while self._reactor.unixClients and most != 0:
            most = None if most is None else most - 1
            _, factory, *_ = self._reactor.unixClients.pop(0)
            if self.is_up:
                exchange = Exchange(self._reactor, factory)
                self._open.append(exchange)
                self._answer(exchange)
            else:
                factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))

    def _answer(self, exchange: Exchange) -> None:
        method, _, path = exchange.line.partition("?")[0].partition(" ")
        verb = path.rpartition("/")[2]
        if verb == "version":
            exchange.answer(VERSION)
        elif verb == "create":
            self.exists = True
            exchange.answer({"Id": ID})
        elif not self.exists:
            exchange.answer({"message": "No such container"}, "404 Not Found")
        elif method == "DELETE":
            self.exists = False
            self.end(137)
            exchange.answer(None, "204 No Content")
        elif verb == "json":
            state = {"Running": self.is_running, "ExitCode": self.status}
            exchange.answer({"Id": ID, "State": state})
        elif verb == "attach":
            exchange.begin()
            self._waiting.append(exchange)
        elif verb == "wait":
            self._waiting.append(exchange)
            if not self.is_running:
                self.end(self.status)
        elif verb == "kill" and not self.is_running:
            exchange.answer({"message": "is not running"}, "409 Conflict")
        else:
            exchange.answer(None, "204 No Content")
            if verb == "start":
                self.is_running = True
            else:
                self.end(137)

    def end(self, status: int) -> None:
        """The container ends."""
        self.is_running, self.status = False, status
        waiting, self._waiting = self._waiting, []
        for exchange in waiting:
            if "/wait" in exchange.line:
                exchange.answer({"StatusCode": status})
            else:
                exchange.end()

    def crash(self) -> None:
        """The engine ends, and its container goes on."""
        self.is_up = False
        self._waiting = []
        lost, self._open = self._open, []
        for exchange in lost:
            exchange.wire.end(ConnectionLost())

    def stop(self) -> None:
        """The engine ends, and its container before it."""
        if self.is_up:
            self.end(143)
        self.crash()
        self.is_running = False


ACTIONS = st.sampled_from(
    (
        *("crash", "stop", "back", "exit", "vanish", "terminate", "kill", "cancel"),
        *("time", "serve one", "serve", "serve one"),
    )
)


class LifeLaws(SynchronousTestCase):
    """Lives of containers."""

    @settings(max_examples=200, deadline=None)
    @given(st.lists(ACTIONS, max_size=16), st.booleans())
    def test_one_end(self, actions: list[str], is_served: bool) -> None:
        """
        A worker that was told of ends exactly once, one that was not never does,
        and no container, connection or timer is left.
        """
        reactor = MemoryReactorClock()
        engine = SimulatedEngine(reactor)
        client = DockerClient(reactor, ADDRESS, timeout=5, connect_timeout=2)
        graves = Graves(reactor, lambda each: client.remove(each, force=True))
        observer = Observer()
        args = convert({"kill_timeout": 3}, DockerArgs)
        container = Container(
            reactor, client, args, "cocained-u", ORDER, observer, graves.bury
        )
        spawning = container.spawn()
        told: list[Any] = []
        spawning.addCallbacks(told.append, lambda _: None)
        if is_served:
            engine.serve()
        for action in actions:
            self.act(action, reactor, engine, container, spawning, bool(told))
            reactor.advance(0)
        # In the end everything is well, and the worker is to go.
        engine.is_up = True
        for _ in range(40):
            if told:
                container.kill()
            elif not spawning.called:
                spawning.cancel()
            engine.serve()
            reactor.advance(LAST_DELAY)

        self.assertEqual(len(observer.ends), len(told))
        self.assertFalse(engine.exists)
        self.assertEqual(len(graves), 0)
        reactor.advance(10 * KILL_PATIENCE)
        self.assertEqual(reactor.unixClients, [])
        self.assertEqual(reactor.getDelayedCalls(), [])

    def act(
        self,
        action: str,
        reactor: MemoryReactorClock,
        engine: SimulatedEngine,
        container: Container,
        spawning: Any,
        is_told: bool,
    ) -> None:
        if action == "crash":
            engine.crash()
        elif action == "stop":
            engine.stop()
        elif action == "back":
            engine.is_up = True
        elif action == "exit" and engine.is_running:
            engine.end(3)
        elif action == "vanish":
            engine.exists = False
            engine.end(137)
        elif action == "terminate" and is_told:
            container.terminate()
        elif action == "kill" and is_told:
            container.kill()
        elif action == "cancel" and not spawning.called:
            spawning.cancel()
        elif action == "serve one":
            engine.serve(1)
        elif action == "serve":
            engine.serve()
        elif action == "time":
            reactor.advance(0.3)


class PureLaws(SynchronousTestCase):
    """What needs no engine."""

    @given(
        st.lists(
            st.builds(
                Progress,
                st.sampled_from(
                    (
                        *("Pulling fs layer", "Downloading", "Download complete"),
                        *("Extracting", "Pull complete", "Already exists", "odd"),
                    )
                ),
                st.sampled_from("abc") | st.just(""),
                st.none() | st.integers(-5, 2**70),
                st.none() | st.integers(1, 2**70),
            ),
            max_size=30,
        )
    )
    def test_percent(self, steps: list[Progress]) -> None:
        """Whatever an engine says, it is a percentage that never shrinks."""
        course = Course()
        before = 0
        for step in steps:
            course.follow(step)
            self.assertLessEqual(before, course.percent)
            before = course.percent
        self.assertLessEqual(before, 100)

    @given(st.text())
    def test_binds(self, text: str) -> None:
        """A bind is refused, or its mount has absolute paths and no third form."""
        try:
            bind = parse_bind(text)
        except ValueError:
            return
        self.assertTrue(bind.target.startswith("/"))
        self.assertNotEqual(bind.is_volume, bind.source.startswith("/"))
        mode = ":ro" if bind.read_only else ""
        self.assertEqual(parse_bind(f"{bind.source}:{bind.target}{mode}"), bind)

    @given(
        st.fixed_dictionaries(
            {},
            optional={
                "memory": st.integers(0, 2**40),
                "memory_swap": st.integers(-1, 2**40),
                "cpu": st.floats(0, 10),
                "pids": st.integers(0, 5000),
                "user": st.text(max_size=3),
                "binds": st.lists(st.text(alphabet="/ab:ro", max_size=9), max_size=3),
                "capabilities": st.lists(st.text(alphabet="A_", max_size=4)),
                "network_mode": st.text(max_size=4),
                "tmpfs": st.dictionaries(st.text(alphabet="/a", max_size=3), st.text()),
                "init": st.booleans(),
            },
        )
    )
    def test_never_privileged(self, keys: dict[str, Any]) -> None:
        """No profile is answered by less than the walls, or what no JSON can say."""
        try:
            args = convert(keys, DockerArgs)
        except ConfigError:
            return
        config = creation(args, ORDER)
        host = config["HostConfig"]
        self.assertEqual(host["CapDrop"], ["ALL"])
        self.assertNotIn("Privileged", host)
        self.assertNotIn("Devices", host)
        self.assertNotIn("PidMode", host)
        self.assertGreaterEqual(host["PidsLimit"], 1)
        self.assertEqual(json.loads(json.dumps(config)), config)
