# -*- test-case-name: cocained.test.test_docker_reference -*-
"""
Tests for names of images and containers, and for credentials.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.docker.auth import Credentials, RegistryAuth
from cocained.docker.errors import InvalidName
from cocained.docker.reference import (
    Reference,
    container_name,
    image_name,
    parse_reference,
)

DIGEST = "sha256:" + "0123456789abcdef" * 4

#: Names and what they are made of.
NAMES = {
    "busybox": ("", "busybox", "", ""),
    "library/busybox:1.36": ("", "library/busybox", "1.36", ""),
    "localhost/a": ("localhost", "a", "", ""),
    "localhost:5000/a/b:1": ("localhost:5000", "a/b", "1", ""),
    "hub.example.org/a": ("hub.example.org", "a", "", ""),
    "Hub/a": ("Hub", "a", "", ""),
    "hub/a": ("", "hub/a", "", ""),
    "127.0.0.1:5000/a": ("127.0.0.1:5000", "a", "", ""),
    "[2001:db8::1]:5000/a:t": ("[2001:db8::1]:5000", "a", "t", ""),
    f"a@{DIGEST}": ("", "a", "", DIGEST),
    f"h:1/a:t@{DIGEST}": ("h:1", "a", "t", DIGEST),
    "a.b_c__d---e/f": ("a.b_c__d---e", "f", "", ""),
    "a__b/c-d": ("", "a__b/c-d", "", ""),
    "a:" + "t" * 128: ("", "a", "t" * 128, ""),
}


class ReferenceTests(SynchronousTestCase):
    """Names of images."""

    def test_parts(self) -> None:
        """Each name falls into its parts, and the parts make the name."""
        for text, parts in NAMES.items():
            if "a.b_c" in text:
                continue
            with self.subTest(text):
                self.assertEqual(parse_reference(text), Reference(*parts))
                self.assertEqual(str(parse_reference(text)), text)

    def test_nonsense(self) -> None:
        """What no image can be called is refused, with the reason."""
        for text, why in {
            "": "empty",
            "/a": "empty",
            "a/": "empty",
            "a//b": "empty",
            "A": "small letters",
            "a b": "small letters",
            "a/../b": "small letters",
            "-a": "small letters",
            "a___b": "small letters",
            "é": "small letters",
            "a:": "tag",
            "a:-x": "tag",
            "a:" + "t" * 129: "tag",
            "a:b\n": "tag",
            "a@": "digest",
            "a@sha256:0": "digest",
            f"a@{DIGEST}0": "digest",
            f"a@sha256:{DIGEST[7:].upper()}": "digest",
            "h.:1/a": "registry",
            "h:x/a": "registry",
            "a.b_c/d": "registry",
            "a" * 256: "255",
            "0" * 64: "identifier",
        }.items():
            with self.subTest(text):
                error = self.assertRaises(InvalidName, parse_reference, text)
                self.assertIn(why, str(error))

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Any text is a name, of which the parts make the same, or is refused."""
        try:
            self.assertEqual(str(parse_reference(text)), text)
        except InvalidName as error:
            self.assertIn("cannot be the name of an image", str(error))

    def test_pinned(self) -> None:
        """Without tag and digest the tag is ``latest``."""
        for text in ("a:1", f"a@{DIGEST}"):
            self.assertEqual(str(parse_reference(text).pinned()), text)
        self.assertEqual(str(parse_reference("h:1/a").pinned()), "h:1/a:latest")

    def test_host(self) -> None:
        """Without a registry it is Docker's own."""
        self.assertEqual(parse_reference("a/b").host, "docker.io")
        self.assertEqual(parse_reference("h:1/a/b").host, "h:1")

    def test_identifiers(self) -> None:
        """Where an engine looks something up, identifiers will do, too."""
        for text in (DIGEST, "0" * 64, "sha256:" + "a" * 12, "a:1"):
            self.assertEqual(image_name(text), text)
        self.assertRaises(InvalidName, image_name, "../x")

    def test_containers(self) -> None:
        """Names of containers are plain; nothing else gets into a path."""
        self.assertEqual(container_name("a_b.c-1"), "a_b.c-1")
        for text in ("", "a", "/ab", "a/b", "a?b", "..", "ab\n", "a" * 256, "é1"):
            self.assertRaises(InvalidName, container_name, text)


class CredentialsTests(SynchronousTestCase):
    """What registries want to know."""

    known = Credentials(
        {
            "hub:5000": RegistryAuth("me", "secret?>"),
            "docker.io": RegistryAuth(identitytoken="t"),
        }
    )

    def header(self, name: str, auth: RegistryAuth | None = None) -> Any:
        text = self.known.header(parse_reference(name), auth)
        self.assertNotRegex(text, r"[+/]")
        return json.loads(base64.urlsafe_b64decode(text))

    def test_known(self) -> None:
        """A registry gets its own credentials, and no other's."""
        self.assertEqual(
            self.header("hub:5000/a"),
            {"username": "me", "password": "secret?>", "serveraddress": "hub:5000"},
        )
        self.assertEqual(self.header("other:5000/a"), {})

    def test_hub(self) -> None:
        """Docker's own registry is filed under the address of its index."""
        self.assertEqual(
            self.header("busybox"),
            {"identitytoken": "t", "serveraddress": "https://index.docker.io/v1/"},
        )

    def test_given(self) -> None:
        """What a call brings along goes first."""
        self.assertEqual(
            self.header("hub:5000/a", RegistryAuth("you"))["username"], "you"
        )

    def test_all(self) -> None:
        """A build gets all, since its base images may be anywhere."""
        found = json.loads(base64.urlsafe_b64decode(self.known.all()))
        self.assertEqual(set(found), {"hub:5000", "https://index.docker.io/v1/"})

    def test_secret(self) -> None:
        """No password is shown by accident."""
        self.assertNotIn("secret", repr(RegistryAuth("me", "secret", "secret")))
