# -*- test-case-name: cocained.test.test_loggers_syslog -*-
"""
Tests for :mod:`cocained.loggers.syslog`.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from typing import Any

from twisted.logger import ILogObserver, LogLevel
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cocained.errors import ConfigError
from cocained.interfaces import LOG_ATTRIBUTES as ATTRIBUTES
from cocained.interfaces import LOG_SOURCE as SOURCE
from cocained.interfaces import ILogger
from cocained.loggers import syslog
from cocained.loggers.syslog import SyslogArgs, SyslogLogger, parse_address
from cocained.test.logger_case import NOW, UNSAFE, event
from cocained.testing import StubNode


class SyslogCase(SynchronousTestCase):
    """A logger and a socket that stands for the daemon."""

    def setUp(self) -> None:
        self.node: Any = StubNode()
        self.node.reactor.rightNow = NOW
        # Left relative: the path of a socket has to be short.
        self.path = self.mktemp()
        self.daemon = self.listen()

    def listen(self) -> socket.socket:
        daemon = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        daemon.bind(self.path)
        daemon.settimeout(20)
        self.addCleanup(daemon.close)
        self.addCleanup(self.unlink)
        return daemon

    def unlink(self) -> None:
        if os.path.exists(self.path):
            os.unlink(self.path)

    def build(self, **args: Any) -> SyslogLogger:
        args.setdefault("address", self.path)
        logger = SyslogLogger(self.node, "core", SyslogArgs(**args))
        self.addCleanup(logger.stop)
        self.assertIsNone(logger.start())
        return logger


class SyslogLoggerTests(SyslogCase):
    """Datagrams to the system's log."""

    def test_interfaces(self) -> None:
        """It is a logger, and an observer of Twisted's."""
        logger = self.build()

        self.assertTrue(verifyObject(ILogger, logger))
        self.assertTrue(verifyObject(ILogObserver, logger))

    def test_local(self) -> None:
        """The local daemon gets the C library's form."""
        self.build()(event("hi", **{SOURCE: "app/x", ATTRIBUTES: [("k", "v")]}))

        self.assertEqual(
            self.daemon.recv(9999).decode(),
            f"<30>cocained[{os.getpid()}]: app/x: hi k=v",
        )

    def test_priorities(self) -> None:
        """Facility and level make the number in front."""
        logger = self.build(facility="local3", severity="debug")
        for level, number in (
            (LogLevel.debug, 159),
            (LogLevel.info, 158),
            (LogLevel.warn, 156),
            (LogLevel.error, 155),
            (LogLevel.critical, 154),
        ):
            logger(event(log_level=level))
            self.assertTrue(self.daemon.recv(9999).startswith(b"<%d>" % number))

    def test_json(self) -> None:
        """The body can be JSON."""
        self.build(format="json", identity="node-1")(event())

        head, _, body = self.daemon.recv(9999).partition(b": ")
        self.assertEqual(head, b"<30>node-1[%d]" % os.getpid())
        self.assertEqual(json.loads(body)["message"], "hello")

    def test_long(self) -> None:
        """A datagram keeps to its limit, in text and in JSON, and is marked."""
        for form in ("text", "json"):
            self.build(format=form)(event("ä" * 100_000))

            datagram = self.daemon.recv(99999)

            self.assertLessEqual(len(datagram), syslog.MAX_LOCAL)
            self.assertIn("…[" if form == "text" else "more]", datagram.decode())

    def test_remote(self) -> None:
        """Another machine gets RFC 5424."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(20)
            host, port = server.getsockname()
            self.build(address=f"{host}:{port}")(event())
            datagram = server.recv(9999).decode()

        self.assertEqual(
            datagram,
            f"<30>1 2026-11-22T04:33:00.123Z {socket.gethostname()} cocained "
            f"{os.getpid()} - - cocained.test: hello",
        )

    def test_remote_long(self) -> None:
        """A datagram to another machine is no larger than receivers take."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(20)
            host, port = server.getsockname()
            for form in ("text", "json"):
                self.build(address=f"{host}:{port}", format=form)(event("ä" * 9999))
                self.assertLessEqual(len(server.recv(99999)), syslog.MAX_REMOTE)

    def test_no_forged_datagram(self) -> None:
        """A message cannot begin a second line or send commands."""
        self.build()(event("one\n<0>kernel: \x1b[2Jtwo"))

        datagram = self.daemon.recv(9999).decode()

        self.assertIsNone(UNSAFE.search(datagram))
        self.assertIn(r"one\n<0>kernel: \x1b[2Jtwo", datagram)

    def test_path_too_long(self) -> None:
        """A path that no socket can have costs lines and nothing else."""
        logger = self.build(address="/" + "x" * 200)

        logger(event())

        self.assertEqual(logger.dropped, 1)

    def test_no_daemon(self) -> None:
        """Without a daemon lines are dropped, and it is said when one comes."""
        self.daemon.close()
        self.unlink()
        logger = self.build()
        logger(event("lost 1"))
        logger(event("lost 2"))
        self.assertEqual(logger.dropped, 2)

        self.daemon = self.listen()
        self.node.reactor.advance(syslog.RETRY)
        logger(event("fine"))
        logger(event("fine too"))

        notice = self.daemon.recv(9999).decode()
        self.assertIn("2 log lines were lost: No such file or directory", notice)
        self.assertTrue(self.daemon.recv(9999).endswith(b"fine"))
        self.assertTrue(self.daemon.recv(9999).endswith(b"fine too"))

    def test_retry_has_a_pace(self) -> None:
        """A missing socket is not looked for with every line."""
        self.daemon.close()
        self.unlink()
        logger = self.build()
        logger(event("lost 1"))
        self.daemon = self.listen()

        logger(event("lost 2"))

        self.assertEqual(logger.dropped, 2)

    def test_daemon_started_anew(self) -> None:
        """A new socket at the old path is found without losing a line."""
        logger = self.build()
        logger(event("one"))
        self.daemon.close()
        self.unlink()
        self.daemon = self.listen()

        logger(event("two"))

        self.assertTrue(self.daemon.recv(9999).endswith(b"two"))
        self.assertEqual(logger.dropped, 0)

    def test_stuck_daemon(self) -> None:
        """A daemon that does not read costs lines and no time."""
        logger = self.build()
        for _ in range(5000):
            logger(event())
        self.assertGreater(logger.dropped, 0)
        dropped = logger.dropped
        self.daemon.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while self.daemon.recv(9999):
                pass
        self.daemon.settimeout(20)

        logger(event("fine"))

        self.assertIn(f"{dropped} log lines were lost", self.daemon.recv(9999).decode())
        self.assertTrue(self.daemon.recv(9999).endswith(b"fine"))

    def test_reopen(self) -> None:
        """SIGHUP makes the next event connect at once."""
        self.daemon.close()
        self.unlink()
        logger = self.build()
        logger(event("lost"))
        self.daemon = self.listen()

        logger.reopen()
        logger(event("found"))

        self.assertIn("1 log lines were lost", self.daemon.recv(9999).decode())

    def test_after_stop(self) -> None:
        """A stopped logger opens no socket any more."""
        logger = self.build()
        logger.stop()

        logger(event())

        self.assertIsNone(logger._socket)
        self.assertEqual(logger.dropped, 1)


class AddressTests(SynchronousTestCase):
    """Where syslog datagrams can go."""

    def test_addresses(self) -> None:
        """Paths, and numeric addresses with or without a port."""
        for given_text, address in (
            ("/dev/log", "/dev/log"),
            ("192.0.2.1", ("192.0.2.1", 514)),
            ("192.0.2.1:1514", ("192.0.2.1", 1514)),
            ("[2001:db8::1]:1514", ("2001:db8::1", 1514)),
            ("[2001:db8::1]", ("2001:db8::1", 514)),
            ("2001:db8::1", ("2001:db8::1", 514)),
        ):
            self.assertEqual(parse_address(given_text), address)

    def test_mistakes(self) -> None:
        """Anything else is an error that says what is wanted."""
        for wrong in (
            "",
            "host",
            "host:514",
            "192.0.2.1:0",
            "192.0.2.1:x",
            "[::1",
            ":",
        ):
            error = self.assertRaises(ConfigError, parse_address, wrong)
            self.assertEqual(error.path, "address")
            self.assertIn("192.0.2.1:514", str(error))
