# -*- test-case-name: cocained.test.test_docker_models -*-
"""
Tests for what is read of answers, and for the choice of a version.
"""

from __future__ import annotations

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from cocained.docker.errors import MalformedStream, UnsupportedEngine
from cocained.docker.models import (
    Container,
    Event,
    Image,
    Stats,
    Version,
    decode,
    decode_event,
)
from cocained.docker.versions import negotiate
from cocained.test.strategies import octets


class DecodeTests(SynchronousTestCase):
    """Answers."""

    def test_nulls(self) -> None:
        """What is null is absent, however deep."""
        found = decode(b'{"Id":"x","Config":{"Env":null,"Labels":null}}', Container)
        self.assertEqual(found, Container("x"))

    def test_unknown(self) -> None:
        """What nobody reads is passed over."""
        self.assertEqual(decode(b'{"Id":"x","New":[1]}', Image), Image("x"))

    def test_old_entrypoint(self) -> None:
        """An entry point may be a string."""
        image = decode(b'{"Id":"x","Config":{"Entrypoint":"sh"}}', Image)
        self.assertEqual(image.config.entrypoint, "sh")

    def test_wrong(self) -> None:
        """What is missing or of the wrong type is told, with its place."""
        for data, words in (
            (b"{}", "Id"),
            (b'{"Id":1}', "$.Id"),
            (b'{"Id":"x","RepoTags":[1]}', "$.RepoTags[0]"),
            (b"", "truncated"),
            (b"[" * 100000, "recursion"),
        ):
            error = self.assertRaises(MalformedStream, decode, data, Image)
            self.assertIn(words, str(error))
            self.assertLess(len(str(error)), 400)

    @given(octets(60))
    def test_any_bytes(self, data: bytes) -> None:
        """Any bytes are an answer or told to be none."""
        try:
            decode(data, Stats)
        except MalformedStream as error:
            self.assertIn("not what was expected", str(error))

    def test_memory(self) -> None:
        """Memory is counted without what the kernel could drop, in both versions
        of control groups."""
        for name in ("total_inactive_file", "inactive_file"):
            text = f'{{"memory_stats":{{"usage":9,"stats":{{"{name}":4}}}}}}'
            self.assertEqual(decode(text.encode(), Stats).memory, 5)
        self.assertEqual(Stats().memory, 0)

    def test_event(self) -> None:
        """The time of an event is as precise as the engine tells it."""
        line = b'{"Type":"a","Action":"b","time":5}'
        self.assertEqual(decode_event(line), Event("a", "b", time=5.0))
        self.assertRaises(MalformedStream, decode_event, b"{}")


class NegotiateTests(SynchronousTestCase):
    """Versions of the API."""

    def test_choice(self) -> None:
        """It is the newest that both speak; numbers are no decimal fractions."""
        for newest, oldest, chosen in (
            ("1.24", "", "1.24"),
            ("1.41", "1.12", "1.41"),
            ("1.44", "1.24", "1.44"),
            ("1.52", "1.44", "1.44"),
            ("2.0", "1.44", "1.44"),
        ):
            version = Version(api_version=newest, min_api_version=oldest)
            self.assertEqual(negotiate(version, "e"), chosen)

    def test_none(self) -> None:
        """An engine that is too old or too new is told so, with a remedy."""
        for newest, oldest, words in (
            ("1.23", "1.12", "at most 1.23"),
            ("1.9", "", "at most 1.9"),
            ("1.60", "1.45", "at least 1.45"),
            ("", "", "which is none"),
            ("1.4x", "", "which is none"),
        ):
            version = Version(api_version=newest, min_api_version=oldest)
            error = self.assertRaises(UnsupportedEngine, negotiate, version, "e")
            self.assertIn(words, str(error))
            self.assertTrue(error.remedy)
