# -*- test-case-name: cocained.test.live.test_isolates_docker_door -*-
"""
What every isolate promises of workers that reach services through a door only.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cocained.test.live.support import LiveNode, pack, program, wait_for

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as Base
else:
    Base = object

#: Seconds until what is stored or logged can be seen.
SOON = 15.0


class DoorContract(Base):
    """
    Tests of an app ``caller`` (``workers/caller.py``) without a network.

    :ivar node: where it runs.
    """

    node: LiveNode

    def start_caller(self, services: list[str] | None = None) -> None:
        """Start the app; *services* is what its profile says of its isolate."""
        raise NotImplementedError

    def ask(self, event: str, *words: Any) -> Any:
        """Have the worker call something; gives what it got, or the error."""
        with self.node.client("caller") as client:
            chunks = client.stream(event, json.dumps(words).encode())
        return json.loads(chunks[0])

    def test_storage(self) -> None:
        """By default a worker can write to the storage, and read there."""
        self.start_caller()

        self.ask("call", "storage", "write", "mine", "key", "value", ["tag"])

        with self.node.client("storage") as storage:
            self.assertEqual(storage.call(0, "mine", "key"), [b"value"])
        self.assertEqual(self.ask("call", "storage", "read", "mine", "key"), "value")
        self.assertEqual(self.ask("call", "storage", "find", "mine", ["tag"]), ["key"])

    def test_logging(self) -> None:
        """And to the log."""
        self.start_caller()

        self.ask("call", "logging", "emit", 1, "app/caller", "through the door", [])

        self.node.wait_for_log("through the door")
        self.assertIn("13", self.ask("call", "logging", "set_verbosity", 3))

    def test_not_the_nodes(self) -> None:
        """What the node keeps in its storage is neither read nor written."""
        self.start_caller()

        for words in (
            ("read", "profiles", "caller"),
            ("write", "manifests", "caller", "x", []),
            ("write", "Profiles", "caller", "x", []),
            ("write", "manifests/app", "caller", "x", []),
            ("remove", "apps", "caller"),
            ("find", "manifests", ["app"]),
        ):
            self.assertIn("Permission denied", self.ask("call", "storage", *words))

    def test_not_admitted(self) -> None:
        """Nothing else can be called, nor found, nor replaced."""
        self.start_caller()
        self.start_other()

        for name in ("node", "other", "admin", "nope"):
            answer = self.ask("call", name, "list")
            self.assertIn("service is not available", answer, name)
        answer = self.ask("call", "locator", "publish", "storage", [["::1", 1]])
        self.assertIn("Permission denied", answer)

    def test_other_app(self) -> None:
        """Another app that the profile names can be called, even if it comes later."""
        self.start_caller(["other"])
        self.assertIn("not available", self.ask("ask", "other", "echo", "x"))

        self.start_other()

        self.assertEqual(self.ask("ask", "other", "echo", "hello"), "hello")
        self.assertIn("Permission denied", self.ask("call", "other", "info"))
        self.assertIn("not available", self.ask("call", "storage", "read", "a", "b"))
        # It may go and come back: its socket is another one then.
        self.node.pause_app("other")
        self.node.start_app("other", "plain")
        self.assertEqual(self.ask("ask", "other", "echo", "again"), "again")

    def test_no_door(self) -> None:
        """With an empty list there is none, and the app answers all the same."""
        self.start_caller([])

        self.assertIn("Disconnection", self.ask("call", "storage", "read", "a", "b"))
        self.assertEqual(self.doors(), [])

    def test_removed(self) -> None:
        """The directory goes away with the app."""
        self.start_caller()
        self.ask("call", "storage", "find", "mine", [])
        self.assertEqual(len(self.doors()), 1)

        self.node.pause_app("caller")

        wait_for("the door is closed", lambda: not self.doors(), SOON)

    def doors(self) -> list[str]:
        """Name the doors that there are on the machine's side."""
        runtime = self.node.directory / "run"
        return [path.name for path in runtime.iterdir() if ".door" in path.name]

    def start_other(self) -> None:
        """Start an app that can be called."""
        self.node.upload("other", {"worker": program("probe.py")})
        self.node.write("profiles", "plain", pack({"pool-limit": 1}), "profile")
        self.node.start_app("other", "plain")
