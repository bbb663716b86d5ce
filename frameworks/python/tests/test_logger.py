# -*- test-case-name: tests.test_logger -*-
"""
Tests for `cocaine.logger`.
"""

from __future__ import annotations

import contextlib
import io
import unittest

from cocaine import logger as module
from cocaine.logger import Logger

from .support import LOGGING, FakeEngine, FakeNode, FolderTestCase, eventually


class LoggerTestCase(unittest.TestCase):
    """A node with a logging service."""

    verbosity = 0

    def setUp(self):
        self.stderr = io.StringIO()
        redirect = contextlib.redirect_stderr(self.stderr)
        redirect.__enter__()
        self.addCleanup(redirect.__exit__, None, None, None)
        self.node = FakeNode(self)
        self.logging = self.node.add("logging", LOGGING, self.answer)
        self.log = self.make()

    def make(self, **options):
        log = Logger(endpoints=self.node.locators, **options)
        self.addCleanup(log._service.disconnect)
        return log

    def answer(self, connection, channel, kind, args, headers):
        return [(channel, 0, [self.verbosity], [])] if kind == 1 else []

    def records(self, count):
        """What arrived, after the verbosity question."""
        self.log.flush(timeout=20)
        self.assertTrue(eventually(lambda: len(self.logging.received) > count))
        return [frame[2] for frame in self.logging.received[1:]]


class RecordTests(LoggerTestCase):
    """What the service gets."""

    def test_verbosity_is_asked_first(self):
        """Then each record is a channel of its own."""
        self.log.info("one")
        self.log.info("two")
        self.records(2)
        self.assertEqual(
            [frame[:2] for frame in self.logging.received], [[1, 1], [2, 0], [3, 0]]
        )

    def test_levels(self):
        """Debug 0 to error 3."""
        for name in ("debug", "info", "warning", "warn", "error"):
            getattr(self.log, name)(name)
        levels = [record[0] for record in self.records(5)]
        self.assertEqual(levels, [0, 1, 2, 2, 3])

    def test_source(self):
        """The source is app/<name>."""
        self.log.info("x")
        self.assertEqual(self.records(1)[0][1:3], [b"app/standalone", b"x"])
        self.assertEqual(Logger(app="echo").source, "app/echo")

    def test_arguments(self):
        """Messages are formatted; a bad format loses nothing."""
        self.log.info("%d items in %s", 5, "box")
        self.log.info("%d items", "no")
        self.log.info("100%")
        texts = [record[2] for record in self.records(3)]
        self.assertEqual(texts, [b"5 items in box", b"%d items ('no',)", b"100%"])

    def test_attributes(self):
        """Scalars as they are, the rest as text: the service takes no others."""
        extra = {"s": "x", "b": b"y", "i": -1, "f": 0.5, "t": True, "n": None}
        self.log.info("x", extra={**extra, "l": [1], "big": 2**70})
        sent = dict(map(tuple, self.records(1)[0][3]))
        self.assertEqual(
            sent,
            {
                b"s": b"x",
                b"b": b"y",
                b"i": -1,
                b"f": 0.5,
                b"t": True,
                b"n": b"None",
                b"l": b"[1]",
                b"big": str(2**70).encode(),
            },
        )

    def test_strange_messages(self):
        """Anything can be logged."""
        for message in (b"\xff", "\ud800", ValueError("x"), None):
            self.log.error(message)
        texts = [record[2] for record in self.records(4)]
        self.assertEqual(texts, ["\ufffd".encode(), b"\\ud800", b"x", b"None"])

    def test_exception(self):
        """The traceback is part of the message."""
        try:
            raise KeyError("k")
        except KeyError:
            self.log.exception("failed %d", 1)
        ((level, _, text, _),) = self.records(1)
        self.assertEqual(level, 3)
        self.assertTrue(text.startswith(b"failed 1\nTraceback"))
        self.assertIn(b"KeyError: 'k'", text)


class VerbosityTests(LoggerTestCase):
    """Filtering on this side."""

    verbosity = 2

    def test_filter(self):
        """Records below the service's verbosity are not sent."""
        self.log.info("dropped")
        self.log.error("kept")
        self.assertEqual([record[2] for record in self.records(1)], [b"kept"])
        self.log.info("dropped early")
        self.log.warning("kept")
        self.assertEqual([record[0] for record in self.records(2)], [3, 2])


class FailureTests(LoggerTestCase):
    """No service to log to."""

    def test_unavailable(self):
        """Records go to standard error, with the reason."""
        del self.node.names[b"logging"]
        self.log.error("lost %d", 1)
        self.log.flush(timeout=20)
        self.assertIn("[error] lost 1", self.stderr.getvalue())
        self.assertIn("not available", self.stderr.getvalue())

    def test_not_asked_again_at_once(self):
        """For some seconds further ones go there without a question."""
        del self.node.names[b"logging"]
        self.log.error("one")
        self.log.flush(timeout=20)
        self.log.error("two")
        self.assertIn("two", self.stderr.getvalue())
        self.assertEqual(len(self.node.locator.received), 1)

    def test_bounded(self):
        """While connecting only so many records are kept; the loss is told."""
        for number in range(module.MAX_WAITING + 5):
            self.log.info(str(number))
        records = self.records(module.MAX_WAITING + 1)
        self.assertEqual(records[0][2], b"5 records were dropped: no connection")
        self.assertEqual(records[1][2], b"5")


class WorkerLoggerTests(FolderTestCase):
    """In a worker, and at the end of a script."""

    def test_in_a_worker(self):
        """Source and uuid come from the command line."""
        node = FakeNode(self)
        answer = LoggerTestCase.answer.__get__(LoggerTestCase())
        logging = node.add("logging", LOGGING, answer)
        host, port = node.locators[0]
        engine = FakeEngine(self)
        process = engine.start(
            "from cocaine.logger import Logger\n"
            "from cocaine.worker import Worker\n"
            "log = Logger()\n"
            "def handler(request, response):\n"
            "    log.info('hello', extra={'a': 1})\n"
            "Worker().run({'x': handler})\n",
            locator=f"{host}:{port}",
        )
        engine.accept()
        engine.send((2, 0, ["x"], []))
        engine.read(1)
        self.assertTrue(eventually(lambda: len(logging.received) > 1))
        _, source, message, attributes = logging.received[1][2]
        self.assertEqual((source, message), (b"app/echo", b"hello"))
        self.assertEqual(attributes[0], [b"a", 1])
        self.assertEqual(attributes[1][0], b"uuid")
        engine.send((1, 1, [0, "bye"], []))
        self.assertEqual(process.wait(20), 0)

    def test_at_exit(self):
        """A script's records leave before it ends."""
        node = FakeNode(self)
        answer = LoggerTestCase.answer.__get__(LoggerTestCase())
        logging = node.add("logging", LOGGING, answer)
        process = FakeEngine(self).start(
            "from cocaine.logger import Logger\n"
            f"Logger(endpoints={node.locators!r}).error('bye')\n"
        )
        self.assertEqual(process.wait(20), 0)
        self.assertTrue(eventually(lambda: len(logging.received) > 1))
        self.assertEqual(logging.received[1][2][2], b"bye")
