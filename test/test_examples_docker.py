# -*- test-case-name: cocained.test.test_examples_docker -*-
"""
The parts of ``make docker-demo`` that need no Docker.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import tarfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed

from cocained.docker import Progress
from cocained.test.demo_case import COMMON, EXAMPLES, DemoCase
from cocained.testing.docker import LabError

PLACE = EXAMPLES / "docker"


class DockerDemoCase(DemoCase):
    """Tests of this one."""

    place = PLACE
    package = "docker_demo"

    def make_screen(self) -> Any:
        """Make a screen that prints into ``self.output``."""
        self.output = io.StringIO()
        steps = self.load("command").STEPS
        return self.load("screen", COMMON).Screen(steps, self.output)

    def make_directory(self) -> Path:
        """Make an empty directory."""
        place = Path(self.mktemp())
        place.mkdir()
        return place


class ScreenTests(DockerDemoCase):
    """Steps and bars."""

    def test_step(self) -> None:
        """A step shows its number, and then how long it took."""
        screen = self.make_screen()
        with screen.step("engine", "an engine"):
            screen.command("dockerd", "a b")
        self.assertRegex(
            self.output.getvalue(),
            r"\A\[2/9\] an engine\n    \$ dockerd 'a b'\n    0\.\d s\n\Z",
        )
        self.assertEqual(list(screen.seconds), ["engine"])

    def test_failed_step(self) -> None:
        """A step that fails has taken no time that would mean anything."""
        screen = self.make_screen()

        def push() -> None:
            with screen.step("push", "a push"):
                raise LabError("no registry")

        self.assertRaises(LabError, push)
        self.assertEqual(screen.seconds, {})

    def test_no_bar(self) -> None:
        """A file gets no bar, which would be full of escapes."""
        screen = self.make_screen()
        with screen.bar("pushing") as move:
            move(1, 2)
        self.assertEqual(self.output.getvalue().strip(), "")

    def test_markup(self) -> None:
        """What others have said is printed as it is."""
        screen = self.make_screen()
        screen.fail(LabError("[red]no[/red] [x]\nlog"))
        self.assertIn("work: [red]no[/red] [x]\nlog\n", self.output.getvalue())


class LayersTests(DockerDemoCase):
    """How far a push is."""

    def test_sum(self) -> None:
        """Bytes of all layers count."""
        layers = self.load("images").Layers()
        layers.follow(Progress(status="Pushing", id="a", current=10, total=100))
        step = Progress(status="Pushing", id="b", current=1, total=50)
        self.assertEqual(layers.follow(step), (11, 150))

    def test_sent(self) -> None:
        """A layer that was pushed is done, though more bytes than it has went out."""
        layers = self.load("images").Layers()
        layers.follow(Progress(status="Pushing", id="a", current=110, total=100))
        self.assertEqual(layers.follow(Progress(status="Pushed", id="a")), (110, 110))

    def test_unknown(self) -> None:
        """What has no size, or is no layer, does not count."""
        layers = self.load("images").Layers()
        self.assertEqual(layers.follow(Progress(status="Preparing", id="a")), (0, 0))
        self.assertEqual(layers.follow(Progress(status="latest: digest")), (0, 0))


class ArchiveTests(DockerDemoCase):
    """What is sent to the engine."""

    def test_pack(self) -> None:
        """Files become root's, links stay links, and the bar gets to its end."""
        root = self.make_directory()
        (root / "file").write_bytes(b"12345")
        (root / "link").symlink_to("file")
        moves: list[tuple[int, int]] = []
        archive = Path(self.mktemp())
        self.load("images").pack(root, archive, lambda *move: moves.append(move))
        with tarfile.open(archive) as tar:
            self.assertEqual({each.uname for each in tar}, {"root"})
            self.assertTrue(tar.getmember("./link").issym())
        self.assertEqual(moves[-1], (5, 5))

    def test_context(self) -> None:
        """Each file of a build can be executed."""
        packed = self.load("images").context({"Dockerfile": b"FROM x", "w": b"#!"})
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            self.assertEqual(tar.getnames(), ["Dockerfile", "w"])
            self.assertEqual({each.mode for each in tar}, {0o755})

    def test_dockerfile(self) -> None:
        """The Dockerfile names the image and the files that the tour has."""
        images, tour = self.load("images"), self.load("tour")
        lines = (PLACE / "Dockerfile").read_text().splitlines()
        self.assertIn(f"FROM {images.BASE}", lines)
        (copied,) = (line.split()[1:-1] for line in lines if line.startswith("COPY"))
        self.assertEqual({*copied, "Dockerfile"}, set(tour.context_files()))

    def test_forget(self) -> None:
        """Images are removed in the order that is asked for."""
        removed: list[str] = []

        class Client:
            def remove_image(self, name: str, force: bool) -> Deferred[None]:
                removed.append(name)
                return succeed(None)

        class Thread:
            def wait(self, call: Any, *args: Any, **kwargs: Any) -> Any:
                return self_.successResultOf(call(*args, **kwargs))

        self_ = self
        self.load("images").forget(Thread(), Client(), "app", "base")
        self.assertEqual(removed, ["app", "base"])


class TableTests(DockerDemoCase):
    """Figures side by side."""

    ROUNDS = {
        "docker": [
            {"spawn_ms": 120.0, "keeper_mib": 12.5},
            {"spawn_ms": 130.0, "keeper_mib": 12.5},
            {"spawn_ms": 500.0, "keeper_mib": 12.5},
        ],
        "process": [{"spawn_ms": 16.0}, {"spawn_ms": 15.0}, {"spawn_ms": 17.0}],
    }

    def test_render(self) -> None:
        """Medians stand side by side, and nothing where nothing was measured."""
        lines = self.load("table").render(self.ROUNDS).splitlines()
        self.assertEqual(lines[0].split(), ["docker", "process"])
        self.assertRegex(lines[1], r"^spawn: .* 130\.0 ms +16\.0 ms$")
        self.assertRegex(lines[-1], r"12\.5 MiB +-$")
        self.assertEqual(len({len(line) for line in lines}), 1)

    def test_summary(self) -> None:
        """The record has the spread, and only what was measured."""
        found = self.load("table").summary(self.ROUNDS)
        self.assertEqual(
            found["docker"]["spawn_ms"], {"median": 130.0, "least": 120, "most": 500}
        )
        self.assertEqual(list(found["process"]), ["spawn_ms"])


class WeighTests(DockerDemoCase):
    """Memory of workers, as ``/proc`` tells it."""

    def setUp(self) -> None:
        """Make a ``/proc``."""
        super().setUp()
        self.proc = self.make_directory()

    def add(self, pid: int, parent: int, name: str, command: str, kib: int) -> None:
        """Put a process there."""
        place = self.proc / str(pid)
        place.mkdir()
        (place / "cmdline").write_bytes(command.replace(" ", "\0").encode() + b"\0")
        (place / "comm").write_text(f"{name}\n")
        (place / "stat").write_text(f"{pid} (a) b) S {parent} 1 1")
        (place / "smaps_rollup").write_text(f"Rss: {2 * kib} kB\nPss: {kib} kB\n")

    def test_container(self) -> None:
        """The shim and the init of a container are its keepers."""
        self.add(1, 0, "systemd", "init", 1024)
        self.add(10, 1, "containerd-shim", "shim -id 7", 8192)
        self.add(11, 10, "docker-init", "/sbin/docker-init -- worker --app a", 1024)
        self.add(12, 11, "python", "python worker --app a --uuid 7", 4096)
        self.add(13, 1, "python", "python worker --app ab --uuid 8", 4096)
        (self.proc / "meminfo").touch()
        held = self.load("starts").weigh("a", self.proc)
        self.assertEqual(held, {"worker_mib": 4.0, "keeper_mib": 9.0})

    def test_process(self) -> None:
        """A process needs nobody to keep it."""
        self.add(1, 0, "twistd", "twistd", 1024)
        self.add(12, 1, "python", "python worker --app a --uuid 7", 6144)
        held = self.load("starts").weigh("a", self.proc)
        self.assertEqual(held, {"worker_mib": 6.0})


class MachineTests(DockerDemoCase):
    """What is done to the machine, and undone."""

    def test_no_services(self) -> None:
        """Packages are told to start nothing, until they are installed."""
        policy = self.make_directory() / "policy-rc.d"
        with self.load("packages", COMMON).no_services(policy):
            self.assertTrue(os.access(policy, os.X_OK))
            self.assertIn("exit 101", policy.read_text())
        self.assertFalse(policy.exists())

    def test_policy_of_the_machine(self) -> None:
        """A policy that is there stays as it is."""
        policy = self.make_directory() / "policy-rc.d"
        policy.write_text("theirs")
        with self.load("packages", COMMON).no_services(policy):
            self.assertEqual(policy.read_text(), "theirs")
        self.assertEqual(policy.read_text(), "theirs")

    def test_no_apt(self) -> None:
        """Where there is no apt, one is told what to install."""
        self.patch(os, "environ", {"PATH": str(self.make_directory())})
        install = self.load("packages", COMMON).install
        error = self.assertRaises(LabError, install, self.make_screen(), ["docker.io"])
        self.assertIn("no apt-get", str(error))
        self.assertIn("docker.io", str(error))

    def test_apt_fails(self) -> None:
        """What a failed command has said last is shown, after a remedy."""
        command = ("sh", "-c", "seq 100; echo Unable to locate >&2; exit 100")
        error = self.assertRaises(
            LabError, self.load("packages", COMMON).run_apt, command
        )
        self.assertRegex(str(error), re.compile(r"ended with 100 \(is there a network"))
        self.assertTrue(str(error).endswith("99\n100\nUnable to locate"))
        self.assertNotIn("\n50\n", str(error))

    def test_remove_cgroups(self) -> None:
        """Groups go in all hierarchies, and others stay."""
        root = self.make_directory()
        for name in ("demo-1", "memory/demo-1", "memory/docker", "cpu"):
            (root / name).mkdir(parents=True)
        self.load("machine").remove_cgroups("demo-1", root)
        left = {str(path.relative_to(root)) for path in root.rglob("*")}
        self.assertEqual(left, {"memory", "memory/docker", "cpu"})


class ArgumentTests(DockerDemoCase):
    """Arguments of the command."""

    def test_defaults(self) -> None:
        """Without arguments it shows some rounds and cleans up."""
        options = self.load("command").parse([])
        self.assertEqual(
            vars(options), {"rounds": 5, "keep": False, "json": False, "prepared": None}
        )

    def test_rounds(self) -> None:
        """Rounds are a number within bounds."""
        command = self.load("command")
        self.assertEqual(command.parse(["--rounds", "100"]).rounds, 100)
        for text in ("0", "101", "-1", "x", ""):
            self.assertRaises(argparse.ArgumentTypeError, command.parse_rounds, text)
