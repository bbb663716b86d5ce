# -*- test-case-name: cocained.test.test_examples_docker -*-
"""
The steps, and the end of all that they have started.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from cocained.docker import DockerClient
from cocained.errors import CocainedError
from cocained.testing.docker import Engine, Registry
from cocained.tools.bench import store
from demonstration.screen import Screen
from docker_demo import images, machine, table
from docker_demo.starts import TIMER, Node

#: The app of the README and its place in a registry.
APP = "length"
REPOSITORY = "apps"

#: What the app measures.
KEY, TEXT = "key", "If you wanna get down, down on the ground"

#: Memory that a container may have.
MEMORY = 128 * 1024**2

#: What the first start of the app has to wait for.
HOW = {
    "docker": "with the pull of its image",
    "process": "with its code unpacked",
}

HERE = Path(__file__).resolve().parent.parent
EXAMPLE = HERE.parent / APP


class WrongAnswer(CocainedError):
    """The app has answered something else than it should."""


class Tour:
    """
    The demonstration, from the second step on.

    :param screen: where it is shown.
    :param reactor: one that does not run yet.
    :ivar record: what was found, for programs.
    """

    def __init__(self, screen: Screen, reactor: Any) -> None:
        self.record: dict[str, Any] = {}
        self._screen = screen
        self._reactor = reactor
        self._stack = contextlib.ExitStack()

    def close(self) -> None:
        """End everything, and remove what it has left."""
        with self._screen.step("clean-up", "everything ended, and removed"):
            self._stack.close()

    def run(self, rounds: int) -> None:
        """
        Show everything.

        :param rounds: cold starts of each kind.
        :raises CocainedError: something failed; :meth:`close` is due all the same.
        """
        self._begin()
        self._make_images()
        self._push()
        self._start_node()
        self._call()
        self._measure(rounds)

    def _begin(self) -> None:
        what = "an engine and a registry, in network and mount namespaces of their own"
        with self._screen.step("engine", what):
            machine.bring_up_loopback()
            self._stack.enter_context(machine.hidden(*machine.OTHERS))
            self._place = Path(tempfile.mkdtemp(prefix="cocained-demo-"))
            self._stack.callback(shutil.rmtree, self._place)
            group = f"cocained-demo-{os.getpid()}"
            self._stack.callback(machine.remove_cgroups, group)
            self._engine = self._stack.enter_context(
                Engine(
                    *("--cgroup-parent", f"/{group}"),
                    *("--exec-opt", "native.cgroupdriver=cgroupfs"),
                    place=self._place,
                )
            )
            self._registry = self._stack.enter_context(Registry(place=self._place))
            self._image = f"{self._registry.name}/{REPOSITORY}/{APP}"
            self._thread = self._stack.enter_context(
                images.ReactorThread(self._reactor)
            )
            self._client = DockerClient(self._reactor, self._engine.address)
            version = self._thread.wait(self._client.version)
            self._screen.say(f"Docker Engine {version.version}, {self._engine.address}")
            self._screen.say(f"a registry, {self._registry.name}")
            self.record["engine"] = version.version

    def _make_images(self) -> None:
        what = f"a base image, {images.BASE}: this machine's Python, and the framework"
        with self._screen.step("base image", what):
            place = self._place / "base"
            place.mkdir()
            base = images.make_base(self._screen, self._thread, self._client, place)
            shutil.rmtree(place)
            self._tell_size("base", base.size)
        with self._screen.step("app image", "the app of the README, in an image"):
            app = images.build_app(
                self._screen, self._thread, self._client, context_files(), self._image
            )
            self._tell_size("app", app.size)

    def _tell_size(self, name: str, size: int) -> None:
        self._screen.say(f"{size / 1e6:.1f} MB")
        self.record.setdefault("image_bytes", {})[name] = size

    def _push(self) -> None:
        what = f"the image, pushed to {self._image}, and removed from the engine"
        with self._screen.step("push", what):
            digest = images.push(self._screen, self._thread, self._client, self._image)
            images.forget(self._thread, self._client, self._image, images.BASE)
            self._screen.say(digest)

    def _start_node(self) -> None:
        with self._screen.step("node", "a node with a profile for each kind of worker"):
            place = self._place / "node"
            place.mkdir()
            self._node = Node(self._screen, place)
            self._stack.callback(self._node.close)
            arguments = {
                "endpoint": self._engine.address,
                "registry": self._registry.name,
                "repository": REPOSITORY,
                "image": APP,
                "memory": MEMORY,
            }
            self._node.add_profile("docker", {"type": "docker", "args": arguments})
            self._node.add_profile("process", {"type": "process"})
            self._node.tool("app", "upload", "-n", APP, str(EXAMPLE))
            self._node.tool("call", "storage", "write", "collection", KEY, TEXT)

    def _call(self) -> None:
        with self._screen.step("calls", "the app, in a container and as a process"):
            for profile in ("docker", "process"):
                began = time.monotonic()
                self._node.tool("app", "restart", "-n", APP, "-r", profile)
                took = time.monotonic() - began
                self.record.setdefault("first_start_s", {})[profile] = took
                self._screen.say(f"{took:.1f} s, {HOW[profile]}")
                call = ("call", APP, "enqueue", "calculate_length", "-d", KEY)
                said = self._node.tool(*call, "--unpack")
                if said != str(len(TEXT)):
                    raise WrongAnswer(f"{APP} says {said!r}, and not {len(TEXT)}")
                self.record.setdefault("answers", {})[profile] = int(said)

    def _measure(self, rounds: int) -> None:
        what = f"cold starts: the median of {rounds}, to the answer of the first call"
        with self._screen.step("cold starts", what):
            found: dict[str, list[dict[str, float]]] = {"docker": [], "process": []}
            for number in range(rounds + 1):
                for profile, starts in found.items():
                    starts.append(self._node.start_cold(profile, number))
            # The first of each fills caches: of files, of compiled code.
            measured = {profile: starts[1:] for profile, starts in found.items()}
            self._screen.say(table.render(measured))
            self.record["cold_starts"] = {"rounds": rounds, **table.summary(measured)}

    def show_around(self) -> None:
        """Say how to look at what runs."""
        inside = f"nsenter --net --target {os.getpid()}"
        self._screen.say(
            "\nIt keeps running; Ctrl-C ends it. In another shell, try:\n\n"
            f"    docker --host {self._engine.address} ps\n"
            f"    {inside} .venv/bin/cocaine-tool info\n"
            f"    {inside} curl {self._registry.name}/v2/_catalog\n",
            indent=0,
        )


def context_files() -> dict[str, bytes]:
    """Give the files that the image of the app is built from."""
    return {
        "Dockerfile": (HERE / "Dockerfile").read_bytes(),
        "length.py": (EXAMPLE / "length.py").read_bytes(),
        store.SLAVE: TIMER,
    }
