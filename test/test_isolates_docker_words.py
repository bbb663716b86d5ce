# -*- test-case-name: cocained.test.test_isolates_docker_words -*-
"""
Errors of engines and ends of containers, as people read them.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.config import convert
from cocained.docker.errors import DockerError, EngineUnreachable, ImageError, NotFound
from cocained.docker.models import ContainerState
from cocained.errors import SpawnError, SpoolError
from cocained.isolates.docker.keys import DockerArgs
from cocained.isolates.docker.words import MESSAGE, cannot_spawn, ending, explained
from cocained.test.test_isolates_docker_creation import ORDER

ENGINE = "unix:///run/d.sock"


class ErrorTests(SynchronousTestCase):
    """What an engine said, and what to do about it."""

    def explain(self, message: str, status: int = 500) -> SpoolError:
        error = DockerError(message, asked="x", engine=ENGINE, status=status)
        return explained(SpoolError, "cannot pull app", error)

    def test_words(self) -> None:
        """The engine's own words, behind what was to be done."""
        error = self.explain("it rains")

        self.assertTrue(error.reason.startswith("cannot pull app: it rains ("))

    def test_kind(self) -> None:
        """The code is that of the error, the kind that of the step."""
        error = explained(
            SpawnError, "cannot run", NotFound("gone", asked="x", engine=ENGINE)
        )
        self.assertIsInstance(error, SpawnError)
        self.assertEqual(error.code, NotFound.code)

    def test_unreachable(self) -> None:
        """Who cannot be asked is named."""
        cause = EngineUnreachable("refused", asked="x", engine=ENGINE)
        error = explained(SpoolError, "cannot use the engine", cause)

        self.assertIn(f"the engine at {ENGINE}: refused", error.reason)
        self.assertIn("start the engine", error.reason)

    def test_remedies(self) -> None:
        """What engines and registries were seen to say."""
        for message, remedy in (
            ("manifest for a:latest not found: manifest unknown", "push it there"),
            ("manifest for network/a:1 not found", "push it there"),
            ("pull access denied for x, repository does not exist", "push it there"),
            ("unauthorized: authentication required", "correct 'auth'"),
            ("dial tcp 127.0.0.1:1: connect: connection refused", "registry is up"),
            ("lookup nowhere on 1.1.1.1:53: no such host", "registry is up"),
            ("server gave HTTP response to HTTPS client", "insecure-registries"),
            ("x509: certificate signed by unknown authority", "certs.d"),
            ("write /data/x: no space left on device", "free some space"),
            ("network blue not found", "network_mode"),
            ("unable to find user eve: no matching entries in passwd file", "'user'"),
            (
                'exec: "docker-init": executable file not found in $PATH',
                "tini",
            ),
            (
                'OCI runtime create failed: exec: "/x": stat /x: no such file or'
                " directory: unknown",
                "'slave'",
            ),
            ('exec: "/x": permission denied: unknown', "chmod +x"),
            ("exec /x: exec format error", "not for this machine"),
            (
                "invalid mount config: bind source path does not exist: /x",
                "machine of the node",
            ),
        ):
            self.assertIn(remedy, self.explain(message).reason)

    def test_long(self) -> None:
        """An engine that talks without end is cut short."""
        self.assertLess(len(self.explain("x" * 10**6).reason), MESSAGE + 200)

    def test_image_error(self) -> None:
        """What was said inside of a pull has a remedy of its own, if none fits."""
        error = explained(SpoolError, "cannot pull", ImageError("odd", engine=ENGINE))
        self.assertIn("see what was printed before", error.reason)

    def test_spawn(self) -> None:
        """A spawn error names the program."""
        error = cannot_spawn(DockerError("it rains", status=500), ORDER)
        self.assertIn("cannot run '/app/worker': it rains", error.reason)

    def test_image_gone(self) -> None:
        """An image that was removed after the app had started."""
        cause = NotFound("No such image: sha256:1", status=404)
        self.assertIn("start the app again", cannot_spawn(cause, ORDER).reason)


class EndTests(SynchronousTestCase):
    """How a container ended."""

    def end(
        self, complaint: str = "", keys: dict[str, Any] | None = None, **state: Any
    ) -> tuple[str, bool]:
        args = convert(keys or {}, DockerArgs)
        return ending(ContainerState(**state), args, "/app/worker", complaint)

    def test_status(self) -> None:
        """Zero is no error."""
        self.assertEqual(self.end(), ("exited with status 0", False))
        self.assertEqual(self.end(exit_code=3), ("exited with status 3", True))

    def test_signal(self) -> None:
        """Beyond 128 it is a signal."""
        self.assertEqual(self.end(exit_code=137), ("was killed by SIGKILL", True))
        self.assertEqual(self.end(exit_code=143), ("was killed by SIGTERM", True))
        self.assertEqual(self.end(exit_code=128), ("exited with status 128", True))

    def test_memory(self) -> None:
        """The kernel's verdict, with the limit."""
        self.assertEqual(
            self.end(exit_code=137, oom_killed=True, keys={"memory": 64 * 1024**2}),
            ("was killed by the kernel: out of its memory limit of 64 MiB", True),
        )

    def test_memory_of_a_child(self) -> None:
        """A worker may survive what the kernel did to its child."""
        reason, error = self.end(oom_killed=True)

        self.assertTrue(reason.startswith("exited with status 0; the kernel had"))
        self.assertFalse(error)

    def test_no_program(self) -> None:
        """An init that could not run the program."""
        reason, error = self.end("No such file or directory", exit_code=127)

        self.assertIn("could not run '/app/worker': No such file", reason)
        self.assertTrue(error)

    def test_own_127(self) -> None:
        """A program may end with any status, and may quote an init."""
        self.assertEqual(self.end(exit_code=127), ("exited with status 127", True))
        self.assertEqual(self.end("quoted", exit_code=1)[0], "exited with status 1")

    def test_engine_error(self) -> None:
        """What the engine adds is added."""
        self.assertEqual(
            self.end(exit_code=1, error="odd")[0], "exited with status 1 (odd)"
        )
