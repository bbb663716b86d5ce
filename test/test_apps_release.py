"""
One release: the command line of its workers, and its end.
"""

from __future__ import annotations

from cocained.errors import IsolateError
from cocained.test.app_case import ENQUEUE
from cocained.test.running_case import Locators, RunningCase
from cocained.testing import Peer


class LaunchTests(RunningCase):
    """The command line of workers (§8.1): rows 100 to 106."""

    manifest = {"slave": "bin/worker", "environment": {"LANG": "C"}}

    def test_arguments(self) -> None:
        """All that protocol 1 needs."""
        app = self.start()
        self.client().send(1, ENQUEUE, b"event")

        (spawn,) = self.isolates[0].spawns
        self.assertEqual(spawn.executable, "bin/worker")
        self.assertEqual(spawn.environment, {"LANG": "C"})
        self.assertEqual(
            spawn.arguments,
            {
                "--app": "echo",
                "--endpoint": app.endpoint,
                "--locator": "127.0.0.1:10053",
                "--protocol": "1",
                "--uuid": spawn.uuid,
            },
        )
        self.assertRegex(spawn.uuid, r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

    def test_locators(self) -> None:
        """All endpoints of the locator, those of version 6 in brackets."""
        directory = Locators(self.node)
        directory.addresses = (("192.0.2.1", 10053), ("2001:db8::1", 10053))
        self.node.directory = directory
        app = self.start()

        self.assertEqual(
            app._release.arguments("u")["--locator"],
            "192.0.2.1:10053,[2001:db8::1]:10053",
        )

    def test_protocol_zero(self) -> None:
        """Old workers get one locator and no protocol."""
        directory = Locators(self.node)
        directory.addresses = (("192.0.2.1", 10053), ("2001:db8::1", 10053))
        self.node.directory = directory
        self.put("manifests", "echo", {"slave": "worker", "protocol": 0})
        app = self.start()

        arguments = app._release.arguments("u")

        self.assertEqual(arguments["--locator"], "192.0.2.1:10053")
        self.assertNotIn("--protocol", arguments)

    def test_no_locator(self) -> None:
        """Without a locator no worker can be started."""
        self.node.directory = Locators(self.node)
        app = self.start()

        self.assertRaises(IsolateError, app._release.arguments, "u")


class ServingTests(RunningCase):
    """A running app."""

    def test_event(self) -> None:
        """An event goes through service, socket and worker: rows 118 to 120."""
        app = self.start()
        client = self.client()
        client.send(1, ENQUEUE, b"ping")
        worker = self.worker(app)

        self.assertEqual(worker.take(), [[2, 0, [b"ping"]]])
        worker.chunk(2, b"pong")
        worker.close(2)

        self.assertEqual(client.take(), [[1, 0, [b"pong"]], [1, 2, []]])

    def test_too_many_connections(self) -> None:
        """The socket takes twice the pool and a few, no more."""
        app = self.start(pool_limit=1)
        factory = self.clock.ports[app.endpoint].factory
        peers = [Peer(self.clock, factory.buildProtocol(None)) for _ in range(10)]

        self.assertIsNone(factory.buildProtocol(None))
        peers[0].disconnect()
        self.assertIsNotNone(factory.buildProtocol(None))
