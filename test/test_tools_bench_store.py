# -*- test-case-name: cocained.test.test_tools_bench_store -*-
"""
What the benchmark gives to a node: its documents and its configuration.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import msgpack
import yaml
from twisted.trial.unittest import SynchronousTestCase

from cocained.tools.bench import store, subject


class StoreTests(SynchronousTestCase):
    """Documents, and the layout of a files storage (protocol.md §4.1, 12.7)."""

    def setUp(self) -> None:
        """Make an empty storage."""
        self.root = Path(self.mktemp())
        self.blobs = store.FileBlobs(self.root)

    def read(self, collection: str, tag: str, key: str) -> object:
        """Read a document by its tag's link."""
        path = self.root / collection / tag / key
        self.assertEqual(path.readlink(), self.root / collection / key)
        return msgpack.unpackb((self.root / collection / key).read_bytes(), raw=True)

    def test_blob(self) -> None:
        """A blob lies as it is in a file of its key."""
        self.blobs.write("c", "k", b"blob", [])
        self.assertEqual((self.root / "c" / "k").read_bytes(), b"blob")
        self.assertEqual([each.name for each in (self.root / "c").iterdir()], ["k"])

    def test_again(self) -> None:
        """Writing again replaces the blob and adds tags."""
        self.blobs.write("c", "k", b"one", ["a"])
        self.blobs.write("c", "k", b"two", ["a", "b"])
        for tag in ("a", "b"):
            link = self.root / "c" / tag / "k"
            self.assertEqual(link.readlink(), self.root / "c" / "k")
        self.assertEqual((self.root / "c" / "k").read_bytes(), b"two")

    def test_app(self) -> None:
        """An app is a manifest and a doubly packed archive."""
        store.write_app(self.blobs, "a", b"tar", {"X": "1"})
        self.assertEqual(
            self.read("manifests", "app", "a"),
            {b"slave": b"worker", b"environment": {b"X": b"1"}},
        )
        self.assertEqual(self.read("apps", "app", "a"), b"tar")

    def test_profile(self) -> None:
        """The profile has one worker and room for everything."""
        store.write_profile(self.blobs, "process", {"spool": "/s"})
        profile = self.read("profiles", "profile", store.PROFILE)
        assert isinstance(profile, dict)
        self.assertEqual(profile[b"pool-limit"], 1)
        self.assertEqual(profile[b"isolate"][b"type"], b"process")
        self.assertEqual(profile[b"isolate"][b"args"], {b"spool": b"/s"})
        self.assertGreater(profile[b"queue-limit"], 100_000)

    def test_profile_of_a_pool(self) -> None:
        """A profile under another name may have more workers."""
        store.write_profile(self.blobs, "process", {}, "pool", 64)
        profile = self.read("profiles", "profile", "pool")
        assert isinstance(profile, dict)
        self.assertEqual(profile[b"pool-limit"], 64)

    def test_archive(self) -> None:
        """The archive holds one executable file."""
        packed = store.archive(b"program")
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            (member,) = tar.getmembers()
            held = tar.extractfile(member)
            assert held is not None
            self.assertEqual(held.read(), b"program")
        self.assertEqual((member.name, member.mode), (store.SLAVE, 0o755))

    def test_framework_app(self) -> None:
        """The app on the framework is a program with an interpreter's path."""
        for coroutine, expected in ((True, b"\nasync def "), (False, b"\ndef ")):
            program = store.framework_app(coroutine)
            self.assertTrue(program.startswith(b"#!/"))
            self.assertIn(expected, program)
            compile(program, "app", "exec")


class ConfigurationTests(SynchronousTestCase):
    """The configuration of a node."""

    def test_document(self) -> None:
        """It has every section, and survives the way through YAML."""
        made = subject.node_configuration(Path("/d"), [1, 2, 3, 4])
        self.assertEqual(yaml.safe_load(yaml.safe_dump(made)), made)
        self.assertEqual(
            json.loads(json.dumps(made)),
            {
                "version": 4,
                "paths": {"runtime": "/d/run", "spool": "/d/spool"},
                "network": {
                    "endpoint": "127.0.0.1",
                    "pinned": {"locator": 1, "storage": 2, "logging": 3, "node": 4},
                },
                "logging": {
                    "loggers": [{"type": "console", "args": {"severity": "warning"}}]
                },
                "storages": {"core": {"type": "files", "args": {"path": "/d/store"}}},
                "services": {
                    "locator": {"type": "locator"},
                    "storage": {"type": "storage"},
                    "logging": {"type": "logging"},
                    "node": {"type": "node", "args": {"runlist": ""}},
                },
            },
        )

    def test_ports(self) -> None:
        """Free ports are all different."""
        self.assertEqual(len(set(subject.free_ports(20))), 20)
