# -*- test-case-name: cocained.test.test_isolates_docker_checks -*-
"""
What an app asks of its isolate, held against this machine.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.config import convert
from cocained.errors import SpawnError, SpoolError
from cocained.isolates.docker import checks
from cocained.isolates.docker.keys import DockerArgs

DIGEST = "sha256:" + "1" * 64


class ReferenceTests(SynchronousTestCase):
    """The name of an app's image (row 69)."""

    def find(self, app: str = "app", **keys: Any) -> str:
        return str(checks.find_reference(convert(keys, DockerArgs), app))

    def refused(self, app: str = "app", **keys: Any) -> str:
        args = convert(keys, DockerArgs)
        error = self.assertRaises(SpoolError, checks.find_reference, args, app)
        return error.reason

    def test_names(self) -> None:
        """``[registry/][repository/]image``, as the original has it (row 69)."""
        for keys, name in (
            ({}, "app:latest"),
            ({"repository": "team"}, "team/app:latest"),
            ({"registry": "hub:5000"}, "hub:5000/app:latest"),
            (
                {"registry": "hub:5000", "repository": "a/b"},
                "hub:5000/a/b/app:latest",
            ),
            ({"registry": "<default>"}, "app:latest"),
            ({"registry": "<default>", "repository": "me"}, "me/app:latest"),
            ({"image": "other:1.2"}, "other:1.2"),
            ({"image": f"other@{DIGEST}"}, f"other@{DIGEST}"),
            ({"repository": "/team/"}, "team/app:latest"),
        ):
            self.assertEqual(self.find(**keys), name)

    def test_impossible(self) -> None:
        """An app whose name no image can have needs the key."""
        self.assertIn("name it by 'image'", self.refused("My App"))
        self.assertIn("'image'", self.refused(image="Wrong"))

    def test_elsewhere(self) -> None:
        """A registry that would be taken for something else."""
        self.assertIn("host:port", self.refused(registry="hub"))
        reason = self.refused(registry="<default>", repository="hub:5000")
        self.assertIn("does not lead to 'Docker Hub'", reason)


class BindTests(SynchronousTestCase):
    """What must not be shared."""

    def setUp(self) -> None:
        # Short: the path of a socket has at most 107 bytes.
        self.place = os.path.realpath(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.place)
        self.runtime = os.path.join(self.place, "run")
        for name in ("run", "engine", "data"):
            os.makedirs(os.path.join(self.place, name))

    def check(self, source: str) -> None:
        engine = os.path.join(self.place, "engine", "d.sock")
        args = convert(
            {"endpoint": f"unix://{engine}", "binds": [f"{source}:/x"]}, DockerArgs
        )
        checks.check_binds(args, self.runtime)

    def refused(self, source: str) -> str:
        return self.assertRaises(SpoolError, self.check, source).reason

    def test_fine(self) -> None:
        """A directory that is there, and volumes."""
        self.check(os.path.join(self.place, "data"))
        self.check("volume")

    def test_missing(self) -> None:
        """One that is not."""
        self.assertIn("does not exist", self.refused(f"{self.place}/nothing"))

    def test_engine(self) -> None:
        """The engine's socket, what is above it, and links to that."""
        os.symlink(f"{self.place}/engine", f"{self.place}/link")
        for source in ("engine", "engine/d.sock", "link", "data/../engine"):
            reason = self.refused(f"{self.place}/{source}")
            self.assertIn("root of the machine", reason)
        self.assertIn("root of the machine", self.refused("/"))

    def test_runtime(self) -> None:
        """Sockets of other apps."""
        for source in ("run", "run/other.7"):
            self.assertIn("sockets of apps", self.refused(f"{self.place}/{source}"))


class SocketTests(SynchronousTestCase):
    """Who may use the app's socket."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(listening.close)
        place = os.getcwd()
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        os.chdir(os.path.dirname(self.path))
        self.addCleanup(os.chdir, place)
        self.path = os.path.basename(self.path)
        listening.bind(self.path)

    def test_group(self) -> None:
        """The node's own group, when that is not root's."""
        group = checks.open_socket(self.path, 1000, os.getegid())

        self.assertEqual(group, os.getegid())
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o660)

    def test_root(self) -> None:
        """A group of nobody's, when the node is root."""
        if os.geteuid():
            error = self.assertRaises(
                SpawnError, checks.open_socket, self.path, 0, os.getegid()
            )
            self.assertIn("Operation not permitted", error.reason)
            return
        self.assertEqual(checks.open_socket(self.path, 0, 0), checks.WORKERS)
        self.assertEqual(os.stat(self.path).st_gid, checks.WORKERS)

    def test_missing(self) -> None:
        """An app that has just closed its socket spawns nothing."""
        error = self.assertRaises(
            SpawnError, checks.open_socket, "nothing", 1000, os.getegid()
        )
        self.assertIn("No such file", error.reason)


class VersionTests(SynchronousTestCase):
    """Engines that are too old."""

    def test_versions(self) -> None:
        """Mounts are of 1.25."""
        for version in ("1.25", "1.41", "2.0"):
            checks.check_api(version)
        for version in ("1.24", "1", ""):
            error = self.assertRaises(SpoolError, checks.check_api, version)
            self.assertIn("Docker 1.13", error.reason)
