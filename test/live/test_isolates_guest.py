# -*- test-case-name: cocained.test.live.test_isolates_guest -*-
"""
Workers in control groups of version 2, on a kernel that has nothing else: that
of a guest (legacy-and-seeds.md row 258).
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import RemoteError
from cocained.isolates.hierarchies import LEAF
from cocained.test.live.guest import PATIENCE, shared
from cocained.test.live.guest_node import GuestNode, confined_worker
from cocained.test.live.support import live_reason, live_suite, wait_for

MIB = 1024**2

#: The root of all groups there.
TOP = "/sys/fs/cgroup"

CONTROLLERS = ("cpu", "memory", "pids")

#: What a worker tells of the group that it is in.
OWN_GROUP = f"{TOP}$(sed s/.*:// /proc/self/cgroup)"

#: A daemon of the old school, which hides in a group of its own besides.
ESCAPE = (
    f"G={OWN_GROUP}/hidden; mkdir $G; setsid sh -c"
    ' "echo 0 >$G/cgroup.procs; exec sleep 98765" >/dev/null 2>&1 </dev/null &'
)

BOMB = "b() { b | b & }; b; sleep 60"


class GuestCase(SynchronousTestCase):
    """A guest, and a group in which nodes are started."""

    skip = live_reason()

    def setUp(self) -> None:
        self.guest = shared()
        self.above = f"{TOP}/{self.id().rpartition('.')[2]}"
        self.place = f"{self.above}/service"
        self.delegate(*CONTROLLERS)

    def delegate(self, *controllers: str) -> None:
        """Make the place anew, and give it these controllers only."""
        self.clear()
        enabled = " ".join(f"+{name}" for name in controllers)
        self.guest.run(
            f"for name in {' '.join(CONTROLLERS)}; do"
            f" echo +$name >{TOP}/cgroup.subtree_control; done;"
            f" mkdir {self.above}; echo {enabled} >{self.above}/cgroup.subtree_control;"
            f" mkdir {self.place}"
        )
        self.addCleanup(self.clear)

    def clear(self) -> None:
        """End what is in the place and remove it."""
        self.guest.run(
            f"[ ! -d {self.above} ] || {{ echo 1 >{self.above}/cgroup.kill;"
            f" while ! find {self.above} -depth -type d -exec rmdir {{}} +;"
            " do sleep 0.1; done 2>/dev/null; }"
        )

    def start(self, place: str | None = None, user: int = 0) -> GuestNode:
        """Start a node that has an app."""
        node = GuestNode(self.guest, place or self.place, user)
        self.addCleanup(node.close)
        node.start()
        self.addCleanup(node.stop)
        node.upload("caged", {"worker": confined_worker()})
        return node

    def start_app(self, node: GuestNode, app: str = "caged", **args: Any) -> None:
        """Start an app with these arguments of its isolate."""
        isolate = {"type": "process", "args": args}
        node.profile(
            app,
            pool_limit=1,
            # The machine is emulated.
            spawn_timeout=PATIENCE,
            handshake_timeout=PATIENCE,
            heartbeat_timeout=PATIENCE,
            isolate=isolate,
        )
        node.start_app(app, app)

    def run_inside(self, node: GuestNode, command: str, app: str = "caged") -> str:
        """Run a command in a worker, and give what it prints, and its status."""
        with node.client(app) as client:
            return b"".join(client.stream(command)).decode()

    def spawn(self, node: GuestNode) -> str:
        """Have a worker launched, and give its group once it is in there."""
        client = node.client("caged")
        self.addCleanup(client.close)
        client.send(1, 0, ["true"])
        return self.group(TOP if node.group == TOP else self.above)

    def refused(self, node: GuestNode, part: str, **args: Any) -> None:
        """See that an app cannot be started, why, and what to do."""
        error = self.assertRaises(RemoteError, self.start_app, node, **args)
        self.assertIn(part, error.reason)

    def groups(self, place: str = "") -> list[str]:
        """List the groups of nodes, without the leaf."""
        return self.guest.run(
            f"find {place or self.above} -type d -path '*/cocained-*'"
            f" ! -path '*/{LEAF}*' 2>/dev/null; true"
        ).split()

    def group(self, place: str = "") -> str:
        """Wait for the group of the only worker that has one; give that."""

        def found() -> str:
            for path in self.groups(place):
                if "/app-caged/" in path and self.read(f"{path}/cgroup.procs"):
                    return path
            return ""

        path: str = wait_for("a worker", found, PATIENCE)
        return path

    def read(self, path: str) -> str:
        """Read a file of the guest; one that is not there is empty."""
        return self.guest.run(f"cat {path} 2>/dev/null; true").strip()

    def usage(self, node: GuestNode) -> dict[bytes, float]:
        """Give what ``info`` says that the worker takes."""
        (slave,) = node.info("caged")[b"pool"][b"slaves"].values()
        found: dict[bytes, float] = slave[b"usage"]
        return found

    def processor(self, group: str) -> dict[str, int]:
        """Give the kernel's counts of processor time."""
        lines = self.read(f"{group}/cpu.stat").splitlines()
        return {name: int(value) for name, value in map(str.split, lines)}

    def wait_until_clean(self, place: str = "") -> None:
        """Wait until no group of a node is left."""
        wait_for("no group is left", lambda: not self.groups(place), PATIENCE)


class LimitTests(GuestCase):
    """What the kernel keeps, counts and ends."""

    def start_both(self) -> GuestNode:
        """Start a node with an app beside, which has no limits."""
        node = self.start()
        node.upload("plain", {"worker": confined_worker()})
        self.start_app(node, "plain")
        return node

    def others_answer(self, node: GuestNode) -> None:
        """See that the other app is well."""
        self.assertEqual(self.run_inside(node, "true", "plain"), "0")

    def test_memory(self) -> None:
        """A worker that takes too much is killed, and the reason says so."""
        node = self.start_both()
        self.start_app(node, memory=48 * MIB)
        with node.client("caged") as client:
            self.assertRaises(RemoteError, client.stream, "!eat")

        (lines,) = wait_for("a log", lambda: node.crashlogs("caged"), PATIENCE)

        self.assertIn(
            b"was killed by the kernel: out of its memory limit of 48 MiB",
            b"\n".join(lines),
        )
        self.others_answer(node)

    def test_processor(self) -> None:
        """A worker with a quarter of a processor waits for the rest of the time."""
        node = self.start()
        self.start_app(node, cpu=0.25)
        # Python's own start is more than a few periods' work there.
        group = self.spawn(node)
        clock = f"cat /proc/uptime {group}/cpu.stat"
        began, _, _, before = self.guest.run(clock).split()[:4]
        wait_for(
            "it has to wait",
            lambda: self.processor(group)["nr_throttled"] > 4,
            PATIENCE,
        )
        ended, _, _, after = self.guest.run(clock).split()[:4]

        self.assertEqual(self.read(f"{group}/cpu.max"), "25000 100000")
        elapsed = float(ended) - float(began)
        # As much as one period may be late at both ends.
        self.assertLess((int(after) - int(before)) / 10**6, elapsed / 4 + 0.2)

    def test_processes(self) -> None:
        """A fork bomb ends in its own group, and with its worker."""
        node = self.start_both()
        self.start_app(node, pids=16)
        with node.client("caged") as client:
            client.send(1, 0, [BOMB])
            events = f"{self.group()}/pids.events"
            wait_for(
                "the limit is reached",
                lambda: self.read(events) not in ("", "max 0"),
                PATIENCE,
            )
            self.others_answer(node)
            self.assertLessEqual(self.usage(node)[b"processes"], 16)

            node.pause_app("caged")

        self.wait_until_clean()
        self.others_answer(node)

    def test_usage(self) -> None:
        """``info`` says what the kernel says."""
        node = self.start()
        self.start_app(node, contain=True)
        self.run_inside(node, "true")
        group = self.group()
        before = self.processor(group)["usage_usec"]

        usage = self.usage(node)

        after = self.processor(group)["usage_usec"]
        self.assertTrue(before / 10**6 <= usage[b"cpu"] <= after / 10**6)
        memory = int(self.read(f"{group}/memory.current"))
        self.assertAlmostEqual(usage[b"memory"], memory, delta=MIB)
        self.assertEqual(usage[b"processes"], 1)

    def test_end(self) -> None:
        """Nothing that a worker has started outlives it, wherever it hides."""
        node = self.start()
        self.start_app(node, contain=True)
        self.run_inside(node, ESCAPE)
        hidden = f"{self.group_of_escaped()}/cgroup.procs"
        process = wait_for("it has escaped", lambda: self.read(hidden), PATIENCE)

        node.pause_app("caged")

        self.wait_until_clean()
        self.assertFalse(self.guest.says(f"kill -0 {process}"))

    def group_of_escaped(self) -> str:
        """Give the group in which the daemon hides."""
        (found,) = [path for path in self.groups() if path.endswith("/hidden")]
        return found

    def test_node_is_killed(self) -> None:
        """What a killed node has left, processes too, is ended by the next one."""
        node = self.start()
        self.start_app(node, contain=True)
        self.run_inside(node, ESCAPE)
        hidden = f"{self.group_of_escaped()}/cgroup.procs"
        process = wait_for("it has escaped", lambda: self.read(hidden), PATIENCE)
        node.kill()
        left = set(self.groups())
        self.assertTrue(self.guest.says(f"kill -0 {process}"))

        # With limits below it the kernel lets nobody into the group itself.
        again = self.start(f"{self.place}/{LEAF}")
        self.start_app(again, contain=True)

        self.spawn(again)
        self.assertEqual(left.intersection(self.groups()), set())
        self.assertFalse(self.guest.says(f"kill -0 {process}"))


class PlaceTests(GuestCase):
    """Where a node can be, and what it says where it cannot."""

    def test_withdrawal(self) -> None:
        """A node leaves the group that it shares out among its workers."""
        node = self.start()

        self.start_app(node, memory=64 * MIB, pids=16)

        group = self.spawn(node)
        self.assertEqual(self.read(f"{self.place}/cgroup.procs"), "")
        self.assertIn(str(node.pid), self.read(f"{self.place}/{LEAF}/cgroup.procs"))
        self.assertEqual(self.read(f"{group}/memory.max"), str(64 * MIB))
        self.assertEqual(self.read(f"{group}/pids.max"), "16")

    def test_root(self) -> None:
        """In the root of all groups it may stay, with everybody else."""
        node = self.start(TOP)

        self.start_app(node, memory=64 * MIB)

        group = self.spawn(node)
        self.assertIn(str(node.pid), self.read(f"{TOP}/cgroup.procs").split())
        self.assertFalse(self.guest.says(f"[ -d {TOP}/{LEAF} ]"))
        self.assertEqual(self.read(f"{group}/memory.max"), str(64 * MIB))
        node.pause_app("caged")
        self.wait_until_clean(TOP)

    def test_some_controllers(self) -> None:
        """What has not been delegated cannot be limited; the rest can."""
        self.delegate("cpu", "pids")
        node = self.start()

        self.refused(node, "or delegate it to the node's group", memory=64 * MIB)
        self.start_app(node, pids=16)

        group = self.spawn(node)
        self.assertEqual(self.read(f"{group}/pids.max"), "16")

    def test_user(self) -> None:
        """A node that is not root limits its workers in a group of its own."""
        self.guest.run(
            f"cd {self.place}; chown 1000 . cgroup.procs cgroup.subtree_control; cd /"
        )
        node = self.start(user=1000)

        self.start_app(node, memory=64 * MIB)

        group = self.spawn(node)
        self.assertEqual(self.read(f"{group}/memory.max"), str(64 * MIB))

    def test_not_delegated(self) -> None:
        """Without a group of its own it cannot, and says what to do."""
        node = self.start(user=1000)

        self.refused(node, "delegate the group (systemd: Delegate=yes)", contain=True)

    def test_strangers(self) -> None:
        """Nor can a node that shares its group with others."""
        self.guest.run(f"sh -c 'echo 0 >{self.place}/cgroup.procs; exec sleep 98765' &")
        node = self.start()

        self.refused(node, "start the node in one of its own", pids=16)


test_suite = live_suite(__name__)
