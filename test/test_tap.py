# -*- test-case-name: cocained.test.test_tap -*-
"""
``twistd cocained``: its options, and the process around a node.

The last class runs the real command, since exit statuses and signals are what
operators see of it.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
from typing import Any

from twisted.application.service import IService
from twisted.logger import ILogObserver
from twisted.python import usage
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cocained import tap
from cocained.interfaces import IReactor
from cocained.node import Node
from cocained.repository import Entry, Repository

#: Seconds that a command may take before the test gives up on it.
PATIENCE = 30

GOOD = """\
paths: {runtime: run, spool: spool}
network:
  endpoint: 127.0.0.1
logging:
  loggers:
    - {type: file, args: {path: node.log}}
storages:
  core: {type: memory}
services:
  locator: {type: locator}
  storage: {type: storage}
"""


class _TapCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = os.path.abspath(self.mktemp())
        os.makedirs(self.directory)

    def write(self, text: str) -> str:
        """Write a configuration; give its path."""
        path = os.path.join(self.directory, "node.yaml")
        with open(path, "w") as file:
            file.write(text)
        return path

    def capture(self, function: Any, *args: Any) -> tuple[Any, str, str]:
        """Give what a function returns or exits with, and what it prints."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                result = function(*args)
            except SystemExit as end:
                result = end
        return result, out.getvalue(), err.getvalue()

    def parse(self, *words: str) -> tuple[Any, str, str]:
        return self.capture(tap.Options().parseOptions, words)


class OptionTests(_TapCase):
    """The command line."""

    def test_nothing(self) -> None:
        """Without a configuration there is nothing to run; it says what to type."""
        error = self.assertRaises(usage.UsageError, tap.Options().parseOptions, [])

        self.assertIn("twistd cocained -c node.yaml", str(error))

    def test_configuration(self) -> None:
        """Short and long, as the original has them."""
        for words in (["-c", "x.yaml"], ["--configuration", "x.yaml"]):
            options = tap.Options()
            options.parseOptions(words)

            self.assertEqual(options["configuration"], "x.yaml")

    def test_unknown_option(self) -> None:
        """An unknown option is refused."""
        self.assertRaises(usage.UsageError, tap.Options().parseOptions, ["--nope"])

    def test_check_good(self) -> None:
        """``--check`` of a good file says so and exits with 0."""
        path = self.write(GOOD)

        end, out, err = self.parse("--check", "-c", path)

        self.assertEqual((end.code, out, err), (0, f"{path}: good\n", ""))
        self.assertEqual(os.listdir(self.directory), ["node.yaml"])

    def test_check_notes(self) -> None:
        """What is accepted but means nothing is noted."""
        path = self.write(GOOD.replace("{runtime", "{plugins: /usr/lib, runtime"))

        end, out, _ = self.parse("--check", "-c", path)

        self.assertEqual(end.code, 0)
        note, good = out.splitlines()
        self.assertTrue(note.startswith(f"{path}: note: "), note)
        self.assertIn("plugins", note)
        self.assertEqual(good, f"{path}: good")

    def test_check_bad_file(self) -> None:
        """``--check`` of a bad file names each mistake and exits with 1."""
        path = self.write(GOOD.replace("endpoint", "endpiont") + "extra: 1\n")

        end, out, err = self.parse("--check", "-c", path)

        self.assertEqual((end.code, out), (1, ""))
        self.assertIn(f"{path}:3: network.endpiont: unknown key", err)
        self.assertIn(f"{path}:12: extra", err)

    def test_check_bad_plugin(self) -> None:
        """Types and arguments of plugins are checked too."""
        path = self.write(GOOD.replace("{type: memory}", "{type: memry}"))

        end, _, err = self.parse("--check", "-c", path)

        self.assertEqual(end.code, 1)
        self.assertIn(f"{path}:8: storages.core.type: ", err)
        self.assertIn("did you mean 'memory'?", err)

    def test_check_missing_file(self) -> None:
        """A file that is not there is named."""
        path = os.path.join(self.directory, "none.yaml")

        end, _, err = self.parse("--check", "-c", path)

        self.assertEqual(end.code, 1)
        self.assertEqual(err, f"{path}: cannot be read: No such file or directory\n")

    def test_plugins(self) -> None:
        """``--plugins`` lists every plugin, and exits with 0 if all are good."""
        end, out, _ = self.parse("--plugins")

        lines = out.splitlines()
        self.assertEqual(end.code, 0, out)
        self.assertEqual(
            next(line.split() for line in lines if line.startswith("gateway")),
            ["gateway", "adhoc", "cocained.gateways.adhoc.AdhocGateway"],
        )
        self.assertTrue(any(line.startswith("service  node::v2") for line in lines))

    def test_optional(self) -> None:
        """Who does without an optional dependency has no error for it."""
        directory = self.mktemp()
        os.makedirs(directory)
        with open(os.path.join(directory, "lonely_plugin.py"), "w") as file:
            file.write("import no_such_dependency\n")
        self.patch(sys, "path", [directory, *sys.path])
        entry = Entry("gateway", "inner", "lonely_plugin.Gateway", "mongo")
        self.patch(Repository, "discover", lambda: Repository([entry]))

        end, out, _ = self.parse("--plugins")

        self.assertEqual(end.code, 0, out)
        self.assertIn("needs: pip install 'cocained[mongo]'", out)

    def test_logger(self) -> None:
        """The node's log is used, unless ``twistd`` was told otherwise."""
        for given in ({}, {"logfile": "x.log"}, {"syslog": 1}, {"logger": "a.b"}):
            parent: dict[str, Any] = {"logger": None, "logfile": None, "syslog": 0}
            parent.update(given)
            options = tap.Options()
            options.parent = parent  # type: ignore[assignment]  # as twistd does

            options.parseOptions(["-c", "x.yaml"])

            wanted = given.get("logger") if given else "cocained.tap.observer"
            self.assertEqual(parent["logger"], wanted)


class ObserverTests(SynchronousTestCase):
    """The observer that is there before the node."""

    def test_interface(self) -> None:
        """It is a log observer, and one for the whole process."""
        self.assertTrue(verifyObject(ILogObserver, tap.LateObserver()))
        self.assertIs(tap.observer(), tap.observer())

    def test_before(self) -> None:
        """Events before there is a node go nowhere."""
        tap.LateObserver()({"log_format": "x"})

    def test_after(self) -> None:
        """Events go to the node once there is one."""
        observer = tap.LateObserver()
        found: list[Any] = []
        observer.target = found.append

        observer({"log_format": "x"})

        self.assertEqual(found, [{"log_format": "x"}])


class ServiceTests(_TapCase):
    """What ``twistd`` is given."""

    def setUp(self) -> None:
        super().setUp()
        target = tap.observer().target
        handler = signal.getsignal(signal.SIGHUP)
        self.addCleanup(setattr, tap.observer(), "target", target)
        self.addCleanup(signal.signal, signal.SIGHUP, handler)

    def make(self, text: str) -> tuple[Any, str, str]:
        options = tap.Options()
        options.parseOptions(["-c", self.write(text)])
        return self.capture(tap.makeService, options)

    def test_node(self) -> None:
        """It is a node, whose log the observer passes events to."""
        node, _, _ = self.make(GOOD)

        self.assertIsInstance(node, Node)
        self.assertTrue(verifyObject(IService, node))
        self.assertIs(tap.observer().target, node.log)

    def test_bad(self) -> None:
        """What cannot be built is said in one sentence, without a traceback."""
        end, out, err = self.make(GOOD.replace("{type: memory}", "{type: memry}"))

        self.assertEqual((end.code, out), (1, ""))
        self.assertIn("storages.core.type", err)
        self.assertNotIn("Traceback", err)

    def test_reopen(self) -> None:
        """SIGHUP opens the log's files anew, in the reactor's own time."""
        from twisted.internet import reactor

        node, _, _ = self.make(GOOD)
        core: Any = reactor
        handed: list[Any] = []
        self.patch(core, "callFromThread", lambda *call: handed.append(call))

        os.kill(os.getpid(), signal.SIGHUP)

        self.assertEqual(handed, [(node.log.reopen,)])

    def test_reactor(self) -> None:
        """The running reactor can do all that a node needs."""
        needs: Any = IReactor.__bases__
        for need in needs:
            self.assertTrue(need.providedBy(tap.the_reactor()))

    def test_reactor_that_lacks(self) -> None:
        """One that cannot is named, with what it lacks."""
        import twisted.internet

        class Poor:
            """Provides nothing."""

        self.patch(twisted.internet, "reactor", Poor())

        end, _, err = self.capture(tap.the_reactor)

        self.assertEqual(end.code, 1)
        self.assertTrue(err.startswith("Poor does not provide IReactorCore, "), err)
        self.assertIn("IReactorUNIX", err)
        self.assertIn("choose another --reactor", err)


class CommandTests(_TapCase):
    """The real command."""

    def environment(self) -> dict[str, str]:
        root = os.path.dirname(os.path.dirname(os.path.abspath(tap.__file__)))
        return {**os.environ, "PYTHONPATH": root, "PYTHONWARNINGS": "ignore"}

    def twistd(self, path: str) -> list[str]:
        code = "from twisted.scripts.twistd import run; run()"
        return [sys.executable, "-c", code, "-n", "cocained", "-c", path]

    def run_node(self, text: str) -> subprocess.CompletedProcess[str]:
        """Run a node that ends by itself."""
        return subprocess.run(
            self.twistd(self.write(text)),
            cwd=self.directory,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def log(self) -> str:
        with open(os.path.join(self.directory, "node.log")) as file:
            return file.read()

    def test_port_in_use(self) -> None:
        """A node that cannot listen says why, exits with 1, and leaves no pid file."""
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        port = taken.getsockname()[1]

        done = self.run_node(
            GOOD.replace("127.0.0.1", f"127.0.0.1\n  pinned: {{locator: {port}}}")
        )

        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("the node cannot start: service 'locator' cannot", done.stderr)
        self.assertIn(f"port {port}: Address already in use", done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        self.assertIn("the node cannot start", self.log())
        self.assertNotIn("twistd.pid", os.listdir(self.directory))

    def test_bad_configuration(self) -> None:
        """A bad configuration is told without a traceback; the status is 1."""
        done = self.run_node(GOOD.replace("endpoint", "endpiont"))

        self.assertEqual(done.returncode, 1)
        self.assertIn("network.endpiont: unknown key", done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def test_life(self) -> None:
        """It serves, reopens its log at SIGHUP, and ends in order at SIGTERM."""
        listening, log = (
            os.path.join(self.directory, name) for name in ("node.log", "node.log.1")
        )
        node = subprocess.Popen(
            self.twistd(self.write(GOOD)),
            cwd=self.directory,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.addCleanup(node.wait)
        self.addCleanup(node.kill)
        assert node.stdout is not None
        self.addCleanup(node.stdout.close)
        self.wait_for(node, lambda: "is ready" in self.log())
        os.rename(listening, log)

        node.send_signal(signal.SIGHUP)
        self.wait_for(node, lambda: os.path.exists(listening))
        node.send_signal(signal.SIGTERM)

        # In order, and then by the same signal, as twistd does for its parent.
        self.assertEqual(node.wait(PATIENCE), -signal.SIGTERM)
        self.assertIn("stops", self.log())
        self.assertNotIn("is ready", self.log())

    def wait_for(self, node: subprocess.Popen[bytes], is_so: Any) -> None:
        """Wait until that is so, as long as the node lives."""
        for _ in range(PATIENCE * 50):
            with contextlib.suppress(OSError):
                if is_so():
                    return
            try:
                node.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            assert node.stdout is not None
            self.fail(f"the node has ended: {node.stdout.read().decode()}")
        self.fail("the node does not do what it should")


class FailureTests(SynchronousTestCase):
    """A node that cannot start."""

    def test_reactor_is_stopped_when_it_runs(self) -> None:
        """A start that fails at once stops the reactor as soon as it runs."""
        from twisted.internet import reactor

        core: Any = reactor
        called: list[Any] = []
        registered: list[Any] = []
        self.patch(core, "callWhenRunning", called.append)
        self.patch(atexit, "register", registered.append)
        err = io.StringIO()
        self.patch(sys, "__stderr__", err)

        tap._give_up(Failure(ZeroDivisionError("oops")))

        self.assertEqual(called, [core.stop])
        self.assertEqual(len(registered), 1)
        self.assertIn("ZeroDivisionError", err.getvalue())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
