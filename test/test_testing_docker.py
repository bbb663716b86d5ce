# -*- test-case-name: cocained.test.test_testing_docker -*-
"""
The lab of real daemons, as far as it can be seen without Docker's.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from cocained.testing.docker import Daemon, Engine, LabError, Registry, lacking


class Idle(Daemon):
    """A daemon that creates a file when it is ready, and waits for a signal."""

    script = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); {then}"
    then = "time.sleep(600)"

    @property
    def sign(self) -> Path:
        return self.directory / "ready"

    @override
    def command(self) -> list[str]:
        return [
            *(sys.executable, "-c", self.script.format(then=self.then)),
            str(self.sign),
        ]

    @override
    def is_ready(self) -> bool:
        self.sign.stat()
        return True


class Broken(Idle):
    """One that complains and ends."""

    script = "print('no such thing as a free port'); raise SystemExit(3)"


class Absent(Idle):
    """One that needs a program that is not here."""

    programs: Sequence[str] = ("docker-registry",)


class DaemonTests(SynchronousTestCase):
    """Daemons are started, waited for and ended."""

    def setUp(self) -> None:
        """Make a place for directories."""
        self.place = Path(self.mktemp())
        self.place.mkdir()

    def test_life(self) -> None:
        """It is ready in its block, and ended and without a trace after it."""
        with Idle(place=self.place) as daemon:
            self.assertTrue(daemon.sign.exists())
            assert daemon.process is not None
            pid = daemon.process.pid
        self.assertEqual(list(self.place.iterdir()), [])
        self.assertRaises(ProcessLookupError, os.kill, pid, 0)

    def test_enter(self) -> None:
        """It is started by the command that enters its namespace."""
        with Idle(["env", "MARK=seen"], self.place) as daemon:
            assert daemon.process is not None
            environment = Path(f"/proc/{daemon.process.pid}/environ").read_bytes()
        self.assertIn(b"\0MARK=seen\0", b"\0" + environment + b"\0")

    def test_broken(self) -> None:
        """One that ends is an error with its log, and leaves nothing."""
        error = self.assertRaises(LabError, Broken, place=self.place)
        self.assertIn("Broken ended with 3", str(error))
        self.assertIn("no such thing as a free port", str(error))
        self.assertEqual(list(self.place.iterdir()), [])

    def test_restart(self) -> None:
        """It can be killed and started again in the same directory."""
        with Idle(place=self.place) as daemon:
            daemon.kill()
            self.assertIsNone(daemon.process)
            daemon.start()
            self.assertIsNotNone(daemon.process)

    def test_missing_program(self) -> None:
        """What is missing is named with the package that has it."""
        self.patch(os, "environ", {**os.environ, "PATH": str(self.place)})
        error = self.assertRaises(LabError, Absent, place=self.place)
        self.assertEqual(
            str(error), "no docker-registry: apt-get install docker-registry"
        )

    def test_lacking(self) -> None:
        """Programs that are here are not missed."""
        program = self.place / "ip"
        program.touch(0o755)
        self.patch(os, "environ", {**os.environ, "PATH": str(self.place)})
        self.assertEqual(lacking(("ip", "dockerd")), {"dockerd": "docker.io"})


class Unstarted(Engine):
    """An engine that is only asked how it would be started."""

    programs: Sequence[str] = ()

    @override
    def start(self) -> None:
        """Do nothing."""


class EngineTests(SynchronousTestCase):
    """How an engine is started."""

    def test_state(self) -> None:
        """Each start has a state of its own: a killed engine leaves one behind."""
        with Unstarted(place=Path(".").absolute()) as engine:
            first, second = engine.command(), engine.command()
        states = [each[each.index("--exec-root") + 1] for each in (first, second)]
        self.assertEqual(len(set(states)), 2)

    def test_alone(self) -> None:
        """It changes no firewall, and keeps all it has in its directory."""
        with Unstarted("--debug", place=Path(".").absolute()) as engine:
            command = engine.command()
            directory = str(engine.directory)
        self.assertIn("--iptables=false", command)
        self.assertEqual(command[-1], "--debug")
        for option in ("--data-root", "--exec-root", "--pidfile"):
            self.assertIn(directory, command[command.index(option) + 1])


class UnstartedRegistry(Registry):
    """A registry that is only asked how it would be started."""

    programs: Sequence[str] = ()

    @override
    def start(self) -> None:
        """Do nothing."""


class RegistryTests(SynchronousTestCase):
    """How a registry is started."""

    def test_configuration(self) -> None:
        """It listens on loopback, and has its images in its directory."""
        with UnstartedRegistry(port=5003, place=Path(".").absolute()) as registry:
            configuration = json.loads(Path(registry.command()[-1]).read_text())
            directory = str(registry.directory)
        self.assertEqual(configuration["http"], {"addr": "127.0.0.1:5003"})
        root = configuration["storage"]["filesystem"]["rootdirectory"]
        self.assertTrue(root.startswith(directory))
        self.assertNotIn("auth", configuration)
