# -*- test-case-name: cocained.test.test_docker_tls -*-
"""
Tests for TLS towards an engine.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cocained.docker.address import TLSFiles, parse_address
from cocained.docker.errors import InvalidAddress
from cocained.docker.tls import REMEDY, RENAME, is_tls_error, tls_failure, tls_options

#: Whether TLS can be spoken here; it is an extra.
HAS_TLS = importlib.util.find_spec("OpenSSL") is not None

ADDRESS = parse_address("https://h:1")


class Imitated(Exception):
    """An error of OpenSSL, which need not be here."""

    __module__ = "OpenSSL.SSL"


class Mismatch(Exception):
    """What a certificate for another name fails with."""

    __module__ = "service_identity.exceptions"

    def __init__(self) -> None:
        super().__init__()
        self.errors = ["an object"]


def queue(words: str) -> Imitated:
    """Make an error as OpenSSL's queue gives it."""
    return Imitated([("SSL routines", "", words)])


class FailureTests(SynchronousTestCase):
    """What an error of TLS means."""

    def explain(self, error: BaseException) -> str:
        self.assertTrue(is_tls_error(error))
        return str(tls_failure(error, "ping", ADDRESS))

    def test_remedies(self) -> None:
        """What is known to go wrong has its remedy, beside OpenSSL's own words."""
        for words, remedy in (
            ("certificate verify failed", "give as ca"),
            ("tls alert bad certificate", "give as cert and key"),
            ("tlsv13 alert certificate required", "give as cert and key"),
            ("tlsv1 alert unknown ca", "give as cert and key"),
            ("wrong version number", "write tcp://"),
            ("tlsv1 alert protocol version", REMEDY),
        ):
            text = self.explain(queue(words))
            self.assertIn(
                f"cannot ping: the engine at https://h:1: TLS failed: {words} (", text
            )
            self.assertIn(remedy, text)

    def test_name(self) -> None:
        """A certificate for another name is told with the name that is missing."""
        text = self.explain(Mismatch())
        self.assertIn(f"certificate is not for 'h' ({RENAME})", text)

    def test_several(self) -> None:
        """All reasons in OpenSSL's queue are told."""
        error = Imitated([("a", "", "one"), ("b", "", "two")])
        self.assertIn("TLS failed: one; two (", self.explain(error))

    def test_nothing(self) -> None:
        """An error without words is told by its name."""
        self.assertIn("TLS failed: Imitated (", self.explain(Imitated([])))
        self.assertIn("TLS failed: Imitated (", self.explain(Imitated()))

    def test_others(self) -> None:
        """Errors of other origin are not ours to explain."""
        self.assertFalse(is_tls_error(ValueError("x")))


class OptionsTests(SynchronousTestCase):
    """Certificates that can be used, and others."""

    if not HAS_TLS:
        skip = "needs twisted[tls]"

    def setUp(self) -> None:
        """Make certificates and keys, and their files."""
        from cocained.test.certificates import Authority

        self.authority = Authority("ours")
        self.pair = self.authority.issue("client")
        self.ca = self.write(self.authority.certificate)
        self.cert = self.write(self.pair.certificate)

    def write(self, data: bytes) -> str:
        path = Path(self.mktemp())
        path.write_bytes(data)
        return str(path)

    def refused(self, files: TLSFiles, address: str = "https://h") -> str:
        error = self.assertRaises(
            InvalidAddress, tls_options, parse_address(address), files
        )
        return str(error)

    def test_good(self) -> None:
        """A file with several authorities is taken, and a pair of ours."""
        ca = self.write(self.authority.certificate * 2)
        files = TLSFiles(ca, self.cert, self.write(self.pair.key))
        self.assertIsNotNone(tls_options(ADDRESS, files))

    def test_foreign_key(self) -> None:
        """A key that belongs to another certificate is refused."""
        key = self.write(self.authority.issue("other").key)
        text = self.refused(TLSFiles(self.ca, self.cert, key))
        self.assertIn("do not match: check that", text)
        self.assertIn(key, text)

    def test_passphrase(self) -> None:
        """So is a key with a passphrase, which the terminal would be asked for."""
        protected = self.pair.protected_key(b"secret")
        both = self.write(protected + self.pair.certificate)
        key = self.write(protected)
        for files in (
            TLSFiles(self.ca, self.cert, key),
            TLSFiles(self.ca, both, self.write(self.pair.key)),
        ):
            text = self.refused(files)
            self.assertIn("the key has a passphrase: remove it", text)

    def test_no_key(self) -> None:
        """So is a file that has something else in it, without a list's brackets."""
        text = self.refused(TLSFiles(self.ca, self.cert, self.write(b"nonsense")))
        self.assertIn(self.cert, text)
        self.assertNotIn("[(", text)

    def test_host(self) -> None:
        """A host's name that breaks the rules of names is the address's fault."""
        text = self.refused(TLSFiles(self.ca), "https://" + "x" * 70)
        self.assertIn("has a host that no certificate can name", text)
