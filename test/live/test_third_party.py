# -*- test-case-name: cocained.test.live.test_third_party -*-
"""
Plugins of a third party, from its wheel to a call: ``examples/plugins``.

Two wheels are built, cocained's and the example's, and installed in a virtual
environment that has nothing else and knows nothing of the checkout.  Packages on
which cocained depends come from pip's cache, or from a registry.

Needs root, and Debian's ``iproute2``.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import yaml
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import RemoteError
from cocained.test.live.support import (
    LOOPBACK,
    ROOT,
    WORKERS,
    LiveNode,
    live_reason,
    live_suite,
    missing,
)

PLUGINS = ROOT / "examples" / "plugins"

#: What the wheel of cocained is made of.
SOURCES = (
    *("cocained", "isolates", "services", "test", "tools", "twisted"),
    *("LICENSE", "README.rst", "pyproject.toml", "setup.cfg", "setup.py"),
)

#: What appears in a checkout that is worked with.
LITTER = shutil.ignore_patterns("__pycache__", "dropin.cache", "build", "*.egg-info")

#: The distribution, and a namespace that no other run of the tests has.
DISTRIBUTION = "cocained-annex"
NAMESPACE = f"annexlive{os.getpid()}"

#: Seconds that a command may take; pip takes about five with its cache.
COMMAND_TIMEOUT = 120.0

#: Variables without which commands run: one leads into the checkout, with the
#: other each command compiles all that it imports.
REMOVED = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")

#: For pip: compiling all of Twisted takes fifteen seconds, and most is not used.
ADDED = {"PIP_COMPILE": "0"}


def run(*command: object, status: int = 0) -> str:
    """
    Run a command.

    :param status: the exit status that it must have.
    :returns: all that it printed.
    """
    environ = {key: os.environ[key] for key in os.environ if key not in REMOVED}
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=COMMAND_TIMEOUT,
        check=False,
        cwd=tempfile.gettempdir(),
        env={**environ, **ADDED},
    )
    text = done.stdout.decode(errors="replace")
    if done.returncode != status:
        raise AssertionError(f"{command} ended with {done.returncode}\n{text}")
    return text


class Environment:
    """
    A virtual environment with both wheels.

    :param directory: where it and the wheels are.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bin = directory / "venv" / "bin"
        self.wheels = directory / "wheels"

    def pip(self, *arguments: object) -> str:
        """Run pip of the tests' interpreter for this environment."""
        python = ("--python", self.bin / "python")
        return run(sys.executable, "-m", "pip", *python, "-q", *arguments)

    def build(self) -> None:
        """Build the wheels from copies, since builders write into sources."""
        sources = self.directory / "cocained"
        sources.mkdir()
        for name in SOURCES:
            path = ROOT / name
            if path.is_dir():
                shutil.copytree(path, sources / name, symlinks=True, ignore=LITTER)
            else:
                shutil.copy(path, sources)
        plugins = self.directory / "plugins"
        shutil.copytree(PLUGINS, plugins, ignore=LITTER)
        wheels = ("wheel", "-q", "--no-deps", "-w", self.wheels, sources, plugins)
        run(sys.executable, "-m", "pip", *wheels)

    def install(self) -> None:
        """Make the environment, and install both with what they need."""
        run(sys.executable, "-m", "venv", "--without-pip", self.directory / "venv")
        self.pip("install", *self.wheels.iterdir())

    def uninstall_plugins(self) -> None:
        """Take the example away."""
        self.pip("uninstall", "-y", DISTRIBUTION)

    def install_plugins(self) -> None:
        """Put the example back."""
        self.pip("install", "--no-deps", "--no-index", self.plugins())

    def plugins(self) -> Path:
        """Give the wheel of the example."""
        (wheel,) = self.wheels.glob("cocained_annex-*.whl")
        return wheel


@functools.cache
def environment() -> Environment:
    """Give the environment of all tests here; it goes away with the process."""
    if os.geteuid() or not shutil.which("ip"):
        raise missing("network namespaces need root and iproute2")
    if not (ROOT / "setup.cfg").exists():
        raise missing("the wheels are built from a checkout")
    found = Environment(Path(tempfile.mkdtemp(prefix="ct")))
    atexit.register(shutil.rmtree, found.directory, True)
    found.build()
    found.install()
    return found


class ThirdPartyCase(SynchronousTestCase):
    """Tests in the clean environment."""

    skip = live_reason()

    def setUp(self) -> None:
        """Find the environment, or make it."""
        self.environment = environment()

    def twistd(self, *arguments: object, status: int = 0) -> str:
        """Run ``twistd cocained``."""
        twistd = self.environment.bin / "twistd"
        return run(twistd, "-n", "--pidfile=", "cocained", *arguments, status=status)

    def uninstall(self) -> None:
        """Take the example away until the test is over."""
        self.environment.uninstall_plugins()
        self.addCleanup(self.environment.install_plugins)

    def python(self, *arguments: object) -> str:
        """Run the environment's interpreter."""
        return run(self.environment.bin / "python", *arguments)


class InstalledTests(ThirdPartyCase):
    """What is in the environment."""

    def test_listed(self) -> None:
        """Both plugins are listed, and nothing is wrong with them."""
        listed = self.twistd("--plugins")

        for category, type in (("isolate", "netns"), ("storage", "sqlite")):
            self.assertRegex(
                listed, rf"(?m)^\s*{category}\s+{type}\s+cocained_annex\.\S+\s*$"
            )

    def test_not_from_the_checkout(self) -> None:
        """The code comes from the wheels, and Twisted's package is whole."""
        for package in ("cocained", "cocained_annex"):
            place = self.python("-c", f"import {package}; print({package}.__file__)")
            self.assertTrue(place.startswith(f"{self.environment.directory}/"), place)
        with zipfile.ZipFile(self.environment.plugins()) as archive:
            names = [name for name in archive.namelist() if "twisted" in name]
        self.assertEqual(names, ["twisted/plugins/annex_cocained.py"])

    def test_own_tests(self) -> None:
        """
        The tests of the example pass, and none is skipped.

        Those of its storage are cocained's contract, out of the wheel.
        """
        results = self.environment.directory / "trial"
        trial = ("-m", "twisted.trial", f"--temp-directory={results}")
        output = self.python(*trial, "cocained_annex")

        self.assertRegex(output, r"(?m)^PASSED \(successes=\d+\)$")
        self.assertIn("ContractTests\n", output)
        self.assertIn("test_order_of_effects ...", output)

    def test_uninstalled(self) -> None:
        """Without the example its types are unknown; those there are, are named."""
        path = PLUGINS / "node.yaml"
        self.twistd("--check", "-c", path)
        self.uninstall()

        said = " ".join(self.twistd("--check", "-c", path, status=1).split())

        self.assertIn("storages.core", said)
        self.assertIn("storage type 'sqlite' has not been registered", said)
        self.assertIn("there are ['files', 'memory', ", said)
        self.assertNotIn("annex", self.twistd("--plugins"))


class NodeTests(ThirdPartyCase):
    """A node whose store is the example's, and whose app runs in its isolate."""

    def setUp(self) -> None:
        """Make a namespace, and start the node of ``examples/plugins/node.yaml``."""
        super().setUp()
        run("ip", "netns", "add", NAMESPACE)
        self.addCleanup(run, "ip", "netns", "delete", NAMESPACE)
        example = yaml.safe_load((PLUGINS / "node.yaml").read_text())
        self.node = LiveNode()
        for part in ("storages", "services"):
            self.node.configuration[part] = example[part]
        self.node.program = (
            "/usr/bin/env",
            *(f"--unset={name}" for name in REMOVED),
            str(self.environment.bin / "twistd"),
        )
        self.addCleanup(self.node.close)
        self.node.start()
        self.addCleanup(self.node.stop)

    def tool(self, *arguments: object, status: int = 0) -> str:
        """Run ``cocaine-tool`` of the environment for the node."""
        where = (f"--host={LOOPBACK}", f"--port={self.node.ports['locator']}")
        tool = self.environment.bin / "cocaine-tool"
        return run(tool, *arguments, *where, status=status)

    def upload(self) -> None:
        """Upload an app whose worker runs what it is told."""
        app = self.node.directory / "inside"
        app.mkdir()
        worker = app / "worker"
        source = (WORKERS / "confined.py").read_text()
        worker.write_text(f"#!{self.environment.bin / 'python'}\n{source}")
        worker.chmod(0o755)
        (app / "manifest.json").write_text(json.dumps({"slave": "worker"}))
        self.tool("app", "upload", app, "-n", "inside")

    def profile(self, name: str, netns: str) -> None:
        """Upload the example's profile, with another namespace."""
        profile = json.loads((PLUGINS / "profile.json").read_text())
        profile["isolate"]["args"]["netns"] = netns
        self.tool("profile", "upload", "-n", name, "--profile", json.dumps(profile))

    def start_inside(self) -> None:
        """Upload the app and start it in the namespace."""
        self.upload()
        self.profile("red", NAMESPACE)
        self.tool("app", "start", "-n", "inside", "-r", "red")

    def ask(self, command: str) -> str:
        """Run a command in a worker of the app."""
        return self.tool("call", "inside", "enqueue", command, "--raw")

    def test_worker_is_inside(self) -> None:
        """The app answers from within the namespace, which has no way out."""
        self.start_inside()

        inside = f"net:[{os.stat(f'/run/netns/{NAMESPACE}').st_ino}]"
        self.assertIn(inside, self.ask("readlink /proc/self/ns/net"))
        self.assertNotEqual(os.readlink("/proc/self/ns/net"), inside)
        links = self.ask("cat /proc/self/net/dev")
        self.assertEqual(re.findall(r"(?m)^\s*(\S+):", links), ["lo"])

    def test_store(self) -> None:
        """App, manifest and profile are in the file, and outlive the node."""
        self.start_inside()
        self.node.stop()

        self.node.start()

        self.assertTrue((self.node.directory / "var" / "core.sqlite").exists())
        self.assertEqual(json.loads(self.tool("app", "list", "--json")), ["inside"])
        self.tool("app", "start", "-n", "inside", "-r", "red")
        self.assertIn("alive", self.ask("echo alive"))

    def test_no_namespace(self) -> None:
        """An app cannot be started where there is none, and is told the remedy."""
        self.upload()
        self.profile("none", "annex-none")

        said = self.tool("app", "start", "-n", "inside", "-r", "none", status=128)

        self.assertIn("ip netns add annex-none", " ".join(said.split()))

    def test_isolate_uninstalled(self) -> None:
        """A profile that names the isolate fails the start of its app alone."""
        self.node.stop()
        self.uninstall()
        memory = {"core": {"type": "memory", "args": {}}}
        self.node.configuration["storages"] = memory
        self.node.start()
        self.upload()
        self.profile("red", NAMESPACE)

        error = self.assertRaises(RemoteError, self.node.start_app, "inside", "red")

        self.assertIn("isolate type 'netns' has not been registered", error.reason)
        self.assertIn("process", error.reason)


test_suite = live_suite(__name__)
