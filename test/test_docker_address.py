# -*- test-case-name: cocained.test.test_docker_address -*-
"""
Tests for addresses of engines, and for what connects to them.
"""

from __future__ import annotations

import importlib.util

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from cocained.docker.address import MAX_PATH, Address, TLSFiles, parse_address
from cocained.docker.connection import make_endpoint
from cocained.docker.errors import InvalidAddress

#: Whether TLS can be spoken here; it is an extra.
HAS_TLS = importlib.util.find_spec("OpenSSL") is not None


class AddressTests(SynchronousTestCase):
    """Addresses as they are written."""

    def test_good(self) -> None:
        """Each form has its parts, and says itself again."""
        tls = TLSFiles()
        for text, address in {
            "unix:///run/a?b#c": Address(path="/run/a?b#c"),
            "tcp://h:1": Address(host="h", port=1),
            "tcp://[::1]:1": Address(host="::1", port=1),
            "https://h:1": Address(host="h", port=1, tls=tls),
        }.items():
            with self.subTest(text):
                self.assertEqual(parse_address(text), address)
                self.assertEqual(str(address), text)

    def test_ports(self) -> None:
        """Without a port it is the usual one, with TLS another."""
        self.assertEqual(parse_address("tcp://h").port, 2375)
        self.assertEqual(parse_address("http://h/").port, 2375)
        self.assertEqual(parse_address("https://h").port, 2376)
        self.assertEqual(parse_address("tcp://h", TLSFiles()).port, 2376)

    def test_base(self) -> None:
        """What URLs begin with."""
        self.assertEqual(parse_address("unix:///x").base, "http://docker")
        self.assertEqual(parse_address("tcp://[::1]:1").base, "http://[::1]:1")
        self.assertEqual(parse_address("https://h").base, "https://h:2376")

    def test_wrong(self) -> None:
        """What is no address is refused, with what to write instead."""
        for text, why in {
            "": "unix:///path",
            "/var/run/docker.sock": "unix:///path",
            "unix://relative": "three slashes",
            "unix://": "three slashes",
            "unix:///a\0b": "three slashes",
            "unix:///" + "a" * MAX_PATH: "107 bytes",
            "tcp://": "names no host",
            "tcp://:1": "names no host",
            "tcp://h:x": "Port",
            "tcp://h:70000": "Port",
            "tcp://h:0": "port 0",
            "tcp://h/path": "beside host and port",
            "tcp://u:p@h": "beside host and port",
            "tcp://[h": "IPv6",
            "ssh://h": "ssh -L",
            "npipe://x": "Windows",
            "fd://": "engine itself",
        }.items():
            with self.subTest(text):
                error = self.assertRaises(InvalidAddress, parse_address, text)
                self.assertIn(why, str(error))

    def test_certificates_without_tls(self) -> None:
        """Certificates are refused where there is no TLS."""
        for text in ("unix:///x", "http://h"):
            self.assertRaises(InvalidAddress, parse_address, text, TLSFiles("ca"))

    def test_half_a_pair(self) -> None:
        """A certificate needs its key."""
        self.assertRaises(ValueError, TLSFiles, cert="x")

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Any text is an address or refused."""
        for each in (text, f"tcp://{text}", f"unix://{text}"):
            try:
                self.assertIsInstance(parse_address(each), Address)
            except InvalidAddress as error:
                self.assertIn("is no address of an engine", str(error))


class EndpointTests(SynchronousTestCase):
    """What connects."""

    def make(self, text: str, tls: TLSFiles | None = None) -> object:
        return make_endpoint(MemoryReactorClock(), parse_address(text, tls), 1)

    def test_plain(self) -> None:
        """Sockets and hosts have their endpoints."""
        self.assertIsInstance(self.make("unix:///x"), UNIXClientEndpoint)
        self.assertIsInstance(self.make("tcp://h"), HostnameEndpoint)

    def test_without_tls(self) -> None:
        """Where TLS is not installed, it is said how to."""
        error = self.assertRaises(InvalidAddress, self.make, "https://h")
        self.assertIn("pip install 'twisted[tls]'", str(error))

    def test_missing_file(self) -> None:
        """Files that cannot be read are named."""
        files = TLSFiles(ca=self.mktemp())
        error = self.assertRaises(InvalidAddress, self.make, "https://h", files)
        self.assertIn(str(files.ca), str(error))

    def test_no_certificate(self) -> None:
        """So are files that have no certificate."""
        files = TLSFiles(ca=__file__)
        error = self.assertRaises(InvalidAddress, self.make, "https://h", files)
        self.assertIn("there is no certificate in it", str(error))

    if HAS_TLS:
        test_without_tls.skip = "TLS is installed"  # type: ignore[attr-defined]
    else:
        test_missing_file.skip = "needs twisted[tls]"  # type: ignore[attr-defined]
        test_no_certificate.skip = "needs twisted[tls]"  # type: ignore[attr-defined]
