# -*- test-case-name: tests.test_options -*-
"""
Tests for `cocaine.detail.options`, `cocaine.exceptions` and `cocaine.detail.watch`.
"""

from __future__ import annotations

import io
import pickle
import sys
import unittest

from cocaine import exceptions
from cocaine.detail import options
from cocaine.detail.watch import Watch
from cocaine.exceptions import ConfigurationError


class ScanTests(unittest.TestCase):
    """The command line of a worker."""

    def test_pairs(self):
        """The five options, in any order, among the app's own."""
        found = options.scan(
            ["-v", "--app", "a", "x", "--uuid", "u", "--protocol", "1", "--other", "y"]
        )
        self.assertEqual(found, {"app": "a", "uuid": "u", "protocol": "1"})

    def test_equals(self):
        """`--name=value` is understood too."""
        self.assertEqual(options.scan(["--app=a=b"]), {"app": "a=b"})

    def test_missing_value(self):
        """A name at the very end has an empty value."""
        self.assertEqual(options.scan(["--app"]), {"app": ""})

    def test_value_like_a_name(self):
        """The word after a name is its value, whatever it is."""
        self.assertEqual(options.scan(["--app", "--uuid"]), {"app": "--uuid"})


class LocatorTests(unittest.TestCase):
    """The value of --locator."""

    def test_forms(self):
        """One, several, and IPv6 in brackets."""
        for value, expected in (
            ("127.0.0.1:10053", (("127.0.0.1", 10053),)),
            ("localhost:1", (("localhost", 1),)),
            ("1.2.3.4:5,[::1]:6", (("1.2.3.4", 5), ("::1", 6))),
            ("::1:6", (("::1", 6),)),
            ("/run/x/locator:0", (("/run/x/locator", 0),)),
        ):
            self.assertEqual(options.parse_locators(value), expected)

    def test_malformed(self):
        """The part that is wrong is in the message."""
        for value in ("host", "host:", ":5", "a:1,b", "a:x", "a:0", "a:65536", ""):
            with self.subTest(value), self.assertRaises(ConfigurationError) as caught:
                options.parse_locators(value)
            self.assertIn("--locator", str(caught.exception))

    def test_default(self):
        """Without the option, the usual port of this host (row 104)."""
        self.assertEqual(options.default_locators(), (("127.0.0.1", 10053),))


class ProtocolTests(unittest.TestCase):
    """The value of --protocol."""

    def test_values(self):
        """Missing and empty mean 0."""
        for value, expected in ((None, 0), ("", 0), ("0", 0), ("1", 1), (1, 1)):
            self.assertEqual(options.parse_protocol(value), expected)

    def test_unknown(self):
        """Others are refused."""
        for value in ("2", "x", -1):
            with self.assertRaises(ConfigurationError):
                options.parse_protocol(value)


class ExceptionTests(unittest.TestCase):
    """Errors as values."""

    ERRORS = (
        exceptions.ServiceError("s", "r", 2, 12),
        exceptions.DisconnectionError("s", "r"),
        exceptions.InvalidApiVersion("s", 1, 2),
        exceptions.InvalidMessageType("s", "r"),
        exceptions.RequestError(5, 2, "gone"),
        exceptions.ChokeEvent(),
    )

    def test_pickle(self):
        """They survive a trip between processes."""
        for error in self.ERRORS:
            copy = pickle.loads(pickle.dumps(error))
            self.assertIs(type(copy), type(error))
            self.assertEqual(str(copy), str(error))
            self.assertEqual(vars(copy), vars(error))

    def test_codes(self):
        """The codes of the frameworks, protocol.md 2.3."""
        codes = [getattr(error, "code", None) for error in self.ERRORS[1:4]]
        self.assertEqual(codes, [220, 230, 240])
        self.assertTrue(all(error.category == 42 for error in self.ERRORS[1:4]))

    def test_one_root(self):
        """One except clause catches all."""
        for error in self.ERRORS:
            self.assertIsInstance(error, exceptions.CocaineError)

    def test_without_reason(self):
        """An error without a reason still has a text."""
        error = exceptions.ServiceError("s", "", 1)
        self.assertEqual(str(error), "service 's': no reason given [42, 1]")
        self.assertEqual(error.servicename, "s")


class WatchTests(unittest.TestCase):
    """The watchdog itself is tested with a process."""

    def test_off(self):
        """0 turns it off."""
        watch = Watch(0)
        watch.touch()
        self.assertFalse(watch._is_on)
        watch.stop()

    def test_no_file(self):
        """Where standard error is no file, it gives up quietly."""
        saved = sys.stderr
        self.addCleanup(setattr, sys, "stderr", saved)
        for replacement in (io.StringIO(), None):
            sys.stderr = replacement
            watch = Watch(100)
            watch.touch()
            watch.stop()
            self.assertFalse(watch._is_on)
