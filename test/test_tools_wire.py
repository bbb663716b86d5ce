# -*- test-case-name: cocained.test.test_tools_wire -*-
"""
What the tool sends, against what the published one was recorded to send.

The expected frames are those of tools.md §10.1, without their header part:
``[channel, method, arguments]``.
"""

from __future__ import annotations

import os
from typing import Any

from cocained.rpc.codec import pack
from cocained.rpc.graph import Root
from cocained.test.memory_network import RawFactory, graph_on_the_wire, reply
from cocained.test.tool_case import (
    LOCATOR,
    MemoryLocator,
    MemoryNode,
    MemoryStorage,
    ToolCase,
)

#: Answers by service and method; an empty one where there is none.
ANSWERS: dict[tuple[str, int], tuple[Any, ...]] = {
    ("storage", 0): (pack({}),),
    ("storage", 3): ([b"echo", b"R", b"G"],),
    ("node", 2): ([b"echo"],),
    ("node", 3): ({"state": "running", "profile": {"name": "NP"}},),
    ("locator", 3): ({},),
    ("locator", 6): (b"uuid",),
}

PORTS = {"storage": 4001, "node": 4002, "locator": LOCATOR[1]}


class WireTests(ToolCase):
    """Each service is a recording stand-in that answers like the recorded one."""

    def setUp(self) -> None:
        super().setUp()
        self.sent: list[tuple[str, list[Any]]] = []
        graphs: dict[str, Root] = {
            "storage": MemoryStorage.protocol.graph,
            "node": MemoryNode.protocol.graph,
            "locator": MemoryLocator.protocol.graph,
        }
        self.places = {
            name.encode(): ([["127.0.0.1", port]], 1, graph_on_the_wire(graphs[name]))
            for name, port in PORTS.items()
        }
        for name, port in PORTS.items():
            self.network.listeners["127.0.0.1", port] = self.stand_in(name)

    def stand_in(self, service: str) -> RawFactory:
        """Record what a service is sent, and answer."""

        def react(frame: Any) -> bytes:
            channel, method, args = frame[:3]
            if (service, method) == ("locator", 0):
                if args[0] not in self.places:
                    return reply(channel, 1, [10, 1], "service is not available")
                return reply(channel, 0, *self.places[args[0]])
            self.sent.append((service, [channel, method, args]))
            return reply(channel, 0, *ANSWERS.get((service, method), ()))

        return RawFactory(react)

    def frames(self, *args: str) -> list[Any]:
        """What a command sends to the one service that it needs."""
        self.sent.clear()
        self.succeed(*args)
        self.assertLessEqual(len({service for service, _ in self.sent}), 1)
        return [frame for _, frame in self.sent]

    def test_info(self) -> None:
        """The apps are listed, then asked with the flags of the letters."""
        self.assertEqual(self.frames("info"), [[1, 2, []], [2, 3, [b"echo", 1]]])
        self.assertEqual(self.frames("info", "-m", "-p")[1], [2, 3, [b"echo", 7]])
        self.assertEqual(self.frames("info", "-b")[1], [2, 3, [b"echo", 0]])
        self.assertEqual(self.frames("info", "-w", "-n", "x"), [[1, 3, [b"x", 1]]])

    def test_check(self) -> None:
        """A check asks with one argument."""
        frames = self.frames("app", "check", "-n", "echo")
        self.assertEqual(frames, [[1, 2, []], [2, 3, [b"echo"]]])

    def test_start(self) -> None:
        """A start is one call."""
        frames = self.frames("app", "start", "-n", "echo", "-r", "NP")
        self.assertEqual(frames, [[1, 0, [b"echo", b"NP"]]])

    def test_stop(self) -> None:
        """So is a stop."""
        frames = self.frames("app", "stop", "-n", "echo")
        self.assertEqual(frames, [[1, 1, [b"echo"]]])

    def test_restart(self) -> None:
        """A restart asks for the profile, stops and starts."""
        self.assertEqual(
            self.frames("app", "restart", "-n", "echo"),
            [[1, 3, [b"echo", 1]], [2, 1, [b"echo"]], [3, 0, [b"echo", b"NP"]]],
        )

    def test_list_and_view(self) -> None:
        """Manifests are found by their tag, and read by their name."""
        self.assertEqual(self.frames("app", "list"), [[1, 3, [b"manifests", [b"app"]]]])
        self.assertEqual(
            self.frames("app", "view", "-n", "echo"), [[1, 0, [b"manifests", b"echo"]]]
        )

    def test_upload(self) -> None:
        """The archive is a raw string inside msgpack, the manifest a map."""
        folder = self.folder(manifest_json=b'{"slave": "a"}', noise=os.urandom(999))
        archive, manifest = self.frames("app", "upload", folder)
        self.assertEqual(archive[:2] + archive[2][:2], [1, 1, b"apps", b"echo"])
        blob = archive[2][2]
        self.assertEqual((blob[0], blob[3:5]), (0xDA, b"\x1f\x8b"))
        self.assertEqual(archive[2][3], [b"app"])
        packed = b"\x81\xa5slave\xa1a"
        self.assertEqual(manifest, [2, 1, [b"manifests", b"echo", packed, [b"app"]]])

    def test_remove(self) -> None:
        """An app is looked for, then its manifest goes, then its archive."""
        self.assertEqual(
            self.frames("app", "remove", "-n", "echo"),
            [
                [1, 3, [b"manifests", [b"app"]]],
                [2, 2, [b"manifests", b"echo"]],
                [3, 2, [b"apps", b"echo"]],
            ],
        )

    def test_profile(self) -> None:
        """A profile is a map with its tag."""
        frames = self.frames("profile", "upload", "-n", "P1", "-r", '{"pool-limit": 2}')
        packed = b"\x81\xaapool-limit\x02"
        self.assertEqual(frames, [[1, 1, [b"profiles", b"P1", packed, [b"profile"]]]])
        self.assertEqual(
            self.frames("profile", "view", "-n", "P1"), [[1, 0, [b"profiles", b"P1"]]]
        )

    def test_runlist(self) -> None:
        """An app is added to what was read."""
        args = ("-n", "R", "--app", "echo", "--profile", "NP")
        self.assertEqual(
            self.frames("runlist", "add-app", *args),
            [
                [1, 3, [b"runlists", [b"runlist"]]],
                [2, 0, [b"runlists", b"R"]],
                [3, 1, [b"runlists", b"R", b"\x81\xa4echo\xa2NP", [b"runlist"]]],
            ],
        )
        self.assertEqual(
            self.frames("runlist", "create", "-n", "S"),
            [[1, 1, [b"runlists", b"S", b"\x80", [b"runlist"]]]],
        )

    def test_group(self) -> None:
        """A group has two tags; a refresh takes a list of names."""
        packed = b"\x81\xa4echo\x0a"
        self.assertEqual(
            self.frames("group", "create", "-n", "G", "-c", '{"echo": 10}'),
            [[1, 1, [b"groups", b"G", packed, [b"group", b"active"]]]],
        )
        self.assertEqual(self.frames("group", "refresh", "-n", "G"), [[1, 2, [[b"G"]]]])

    def test_crashlog(self) -> None:
        """Logs are found by app and day."""
        self.assertEqual(
            self.frames("crashlog", "list", "-n", "echo", "-d", "today"),
            [[1, 3, [b"crashlogs", [b"echo", b"cocaine-2026-11-22"]]]],
        )

    def test_locator(self) -> None:
        """The locator is asked without resolving it."""
        self.assertEqual(self.frames("cluster"), [[1, 3, []]])
        self.assertEqual(self.frames("uuid"), [[1, 6, []]])

    def test_first_call_resolves(self) -> None:
        """Names are resolved when the first call is made, on one connection."""
        self.frames("app", "remove", "-n", "echo")
        self.assertEqual(self.network.attempts, [LOCATOR, ("127.0.0.1", 4001)])
