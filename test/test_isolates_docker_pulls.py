# -*- test-case-name: cocained.test.test_isolates_docker_pulls -*-
"""
Images on their way from a registry.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import formatEvent

from cocained.docker import Progress, RegistryAuth, parse_reference
from cocained.docker.errors import ImageError
from cocained.isolates.docker.pulls import INTERVAL, MAX_LAYERS, Course, Pull, Pulls
from cocained.test.docker_case import EngineCase, Exchange
from cocained.test.service_case import LogCase

APP = parse_reference("hub:5000/app:latest")
ID = "sha256:" + "1" * 64


class CourseTests(LogCase):
    """How far a pull is."""

    def percents(self, *steps: tuple[Any, ...]) -> list[int]:
        course = Course()
        found = []
        for status, id, *sizes in steps:
            current, total = sizes or (None, None)
            course.follow(Progress(status, id, current, total))
            found.append(course.percent)
        return found

    def test_course(self) -> None:
        """Announced, fetched, unpacked."""
        self.assertEqual(
            self.percents(
                ("Pulling from app", "latest"),
                ("Already exists", "base"),
                ("Pulling fs layer", "a"),
                ("Pulling fs layer", "b"),
                ("Downloading", "a", 50, 100),
                ("Downloading", "a", 100, 100),
                ("Downloading", "b", 100, 300),
                ("Download complete", "b"),
                ("Extracting", "b", 10, 300),
                ("Pull complete", "b"),
            ),
            [0, 0, 0, 0, 25, 50, 50, 100, 100, 100],
        )

    def test_small(self) -> None:
        """A layer whose size is never told counts once it is there."""
        self.assertEqual(
            self.percents(
                ("Pulling fs layer", "a"),
                ("Pulling fs layer", "b"),
                ("Download complete", "a"),
            )[-1],
            50,
        )

    def test_never_back(self) -> None:
        """It does not shrink when a registry changes its mind."""
        self.assertEqual(
            self.percents(("Downloading", "a", 50, 100), ("Downloading", "a", 50, 500)),
            [50, 50],
        )

    def test_hostile(self) -> None:
        """More than all is all, and layers without end are not kept."""
        self.assertEqual(self.percents(("Downloading", "a", 500, 100)), [100])
        steps = [("Pulling fs layer", str(number)) for number in range(MAX_LAYERS * 2)]
        last = ("Download complete", str(MAX_LAYERS * 2 - 1))
        self.assertEqual(self.percents(*steps, last)[-1], 0)


class PullTests(EngineCase, LogCase):
    """Pulls that are shared."""

    def setUp(self) -> None:
        super().setUp()
        self.pulls = Pulls(self.reactor, self.client)
        self.events = self.record_log()

    def begin(self) -> tuple[Pull, Exchange]:
        """Begin the first pull of a client."""
        pull = self.pulls.pull(APP, None)
        self.greet()
        exchange = self.accept()
        exchange.begin()
        return pull, exchange

    def finish(self, exchange: Exchange) -> None:
        exchange.end()
        self.accept().answer({"Id": ID})

    def lines(self) -> list[str]:
        return [formatEvent(event) for event in self.events]

    def test_pulled(self) -> None:
        """Who waits gets the image, and it is forgotten."""
        pull, exchange = self.begin()
        waiting = pull.join()
        self.assertEqual(exchange.query["fromImage"], ["hub:5000/app"])
        exchange.send(b'{"status": "Status: Downloaded newer image"}\n')
        self.finish(exchange)

        self.assertEqual(self.successResultOf(waiting).id, ID)
        told = "pulled hub:5000/app:latest: Status: Downloaded newer image"
        self.assertIn(told, self.lines())
        self.assertIsNot(self.pulls.pull(APP, None), pull)
        self.accept()

    def test_shared(self) -> None:
        """Two who want the same wait for the same."""
        pull, exchange = self.begin()
        self.assertIs(self.pulls.pull(APP, None), pull)
        waiting = [pull.join(), pull.join()]
        self.finish(exchange)

        for each in waiting:
            self.assertEqual(self.successResultOf(each).id, ID)
        self.assert_nothing_left()

    def test_not_shared(self) -> None:
        """Other images, and other credentials, are pulled by themselves."""
        pull, _ = self.begin()

        self.assertIsNot(self.pulls.pull(parse_reference("app:2"), None), pull)
        self.assertIsNot(self.pulls.pull(APP, RegistryAuth("a", "b")), pull)

    def test_failed(self) -> None:
        """All who wait learn why there is none."""
        pull, exchange = self.begin()
        waiting = [pull.join(), pull.join()]
        exchange.send(b'{"error": "manifest unknown"}\n')

        for each in waiting:
            self.assertIn(
                "manifest unknown", self.failureResultOf(each, ImageError).value.message
            )

    def test_left(self) -> None:
        """It goes on while anybody waits."""
        pull, exchange = self.begin()
        first, second = pull.join(), pull.join()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertFalse(exchange.wire.is_aborted)
        self.finish(exchange)

        self.assertEqual(self.successResultOf(second).id, ID)

    def test_abandoned(self) -> None:
        """When nobody waits any more the engine is told, and nothing is left."""
        pull, exchange = self.begin()
        waiting = pull.join()
        waiting.cancel()

        self.failureResultOf(waiting, CancelledError)
        self.reactor.advance(0)
        self.assertTrue(exchange.wire.is_closed)
        self.assert_nothing_left()
        # Who comes now begins anew.
        self.assertIsNot(self.pulls.pull(APP, None), pull)
        self.accept()

    def test_progress(self) -> None:
        """How far it is, for people and for programs."""
        pull, exchange = self.begin()
        exchange.send(
            b'{"status": "Downloading", "id": "a", "progressDetail":'
            b' {"current": 45, "total": 100}}\n'
        )

        self.assertEqual(
            pull.progress,
            {"text": "pulling hub:5000/app:latest: 45 %", "percent": 45},
        )

    def test_log(self) -> None:
        """The log has a line now and then, however much the engine says."""
        _, exchange = self.begin()
        line = b'{"status": "Downloading", "id": "a", "progressDetail": {"total": 9}}\n'
        exchange.send(line * 50)
        self.reactor.advance(INTERVAL)
        exchange.send(line * 50)

        told = [line for line in self.lines() if "%" in line]
        self.assertEqual(told, ["pulling hub:5000/app:latest: 0 %"])

    def tearDown(self) -> None:
        """No pull is left to fail when nobody looks."""
        for pull in list(self.pulls._running.values()):
            left: Deferred[Any] = pull.join()
            left.addErrback(lambda failure: failure.trap(CancelledError))
            left.cancel()
