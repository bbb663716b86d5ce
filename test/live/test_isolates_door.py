# -*- test-case-name: cocained.test.live.test_isolates_door -*-
"""
Workers in a sandbox without a network that call services through UNIX sockets; and
people who do (needs ``bubblewrap``).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from cocained.test.live.door_case import DoorContract
from cocained.test.live.support import (
    ROOT,
    WORKERS,
    LiveCase,
    live_suite,
    missing,
    program,
)
from cocained.test.live.test_isolates_process import PYTHON


class SandboxDoorTests(DoorContract, LiveCase):
    """The ``process`` isolate with ``sandbox: bwrap``."""

    #: more of the isolate's arguments
    more: Mapping[str, Any] = {}

    @override
    def prepare(self) -> None:
        if not shutil.which("bwrap"):
            raise missing("no bwrap: install bubblewrap")

    @override
    def start_caller(self, services: list[str] | None = None) -> None:
        # The interpreter and the framework may be where a sandbox hides things.
        bwrap: dict[str, Any] = {"binds": [f"{sys.prefix}:ro", f"{ROOT}:ro"]}
        if services is not None:
            bwrap["services"] = services
        args = {"sandbox": "bwrap", "bwrap": bwrap, **self.more}
        self.node.upload("caller", {"worker": program("caller.py")})
        self.node.profile(
            "caller", pool_limit=1, isolate={"type": "process", "args": args}
        )
        self.node.start_app("caller", "caller")


class UserTests(LiveCase):
    """Workers of another user, behind the same walls."""

    def test_connects(self) -> None:
        """They can connect, though the sockets are nobody else's."""
        if os.geteuid() or not shutil.which("bwrap") or not os.path.exists(PYTHON):
            raise missing("needs root, Debian's python3 and bubblewrap")
        # Other users must get to the code.
        os.chmod(self.node.directory, 0o755)
        source = (WORKERS / "confined.py").read_bytes()
        self.node.upload("caged", {"worker": f"#!{PYTHON}\n".encode() + source})
        args = {"sandbox": "bwrap", "user": "nobody"}
        isolate = {"type": "process", "args": args}
        self.node.profile("caged", pool_limit=1, isolate=isolate)
        self.node.start_app("caged", "caged")
        (door,) = (self.node.directory / "run").glob("*.door")

        code = f"import socket; socket.socket(1).connect('{door}/storage')"
        with self.node.client("caged") as client:
            (answer,) = client.stream(f'id -un; {PYTHON} -c "{code}"')

        self.assertEqual(answer, b"nobody\n0")
        self.assertEqual((door.stat().st_mode & 0o777), 0o700)


class CommonDoorTests(LiveCase):
    """``network.unix``: everything, for those who may enter the directory."""

    changes = {"network": {"unix": "door"}}

    def tool(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        locator = str(self.node.directory / "door" / "locator")
        command = [sys.executable, "-m", "cocained.tools.cli", *words]
        return subprocess.run(
            [*command, "--host", locator], capture_output=True, check=False, timeout=20
        )

    def test_tool(self) -> None:
        """The tool works through it, from the locator to the storage."""
        stored = self.tool("call", "storage", "write", "c", "k", "text")
        self.assertEqual(stored.returncode, 0, stored)

        read = self.tool("call", "storage", "read", "c", "k")
        self.assertEqual(read.stdout, b'"text"\n', read)
        found = self.tool("locate", "-n", "storage").stdout
        self.assertIn(b"/door/storage", found)

    def test_closed_to_others(self) -> None:
        """It is made for the node's user alone."""
        mode = os.stat(self.node.directory / "door").st_mode & 0o777

        self.assertEqual(mode, 0o700)

    def test_after_a_kill(self) -> None:
        """Sockets that a killed node has left are replaced."""
        assert self.node.process is not None
        self.node.process.kill()
        self.node.process.wait()

        self.node.start()

        self.assertEqual(self.tool("uuid").returncode, 0)


test_suite = live_suite(__name__)
