# -*- test-case-name: cocained.test.live.test_lab -*-
"""
The lab itself: cables, faults, and that nothing is left of it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cocained.clusters.group import Group
from cocained.test.live.cluster_case import lab_for
from cocained.test.live.support import ROOT, live_reason, live_suite, wait_for
from cocained.testing.lab import Host, Lab, LabError

#: Seconds after which a packet is not on its way any more.
LOST = 0.3

#: Seconds until a packet must have come.
TIMEOUT = 5.0

#: Makes a lab, tells its names, and waits for a signal.
PROGRAM = """
import signal, sys, time
from cocained.testing.lab import Lab
signal.signal(signal.SIGTERM, signal.default_int_handler)
with Lab("left") as lab:
    host, slow = lab.add_host("a"), lab.add_host("b", slow=True)
    sleeper = host.start(["sleep", "1000"])
    print(sleeper.pid, host.namespace.name, slow.namespace.name, flush=True)
    time.sleep(1000)
"""


class LabTests(SynchronousTestCase):
    """Hosts ``a``, ``b`` and ``c``; the cable of ``c`` can be slow."""

    skip = live_reason()

    def setUp(self) -> None:
        self.lab = lab_for(self, "lab")
        self.a, self.b = self.lab.add_host("a"), self.lab.add_host("b")
        self.c = self.lab.add_host("c", slow=True)
        self.sockets = {}
        for host in (self.a, self.b, self.c):
            with host.inside():
                made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((host.address, 5000))
            self.addCleanup(made.close)
            self.sockets[host] = made

    def send(self, source: Host, target: Host, data: bytes = b"packet") -> None:
        self.sockets[source].sendto(data, (target.address, 5000))

    def gets(self, target: Host, timeout: float = TIMEOUT) -> bytes:
        """Wait for a packet; empty if none comes."""
        self.sockets[target].settimeout(timeout)
        try:
            return self.sockets[target].recv(100)
        except TimeoutError:
            return b""

    def assert_reaches(self, source: Host, target: Host) -> None:
        self.send(source, target)
        self.assertEqual(self.gets(target), b"packet", f"{source} -> {target}")

    def assert_parted(self, source: Host, target: Host) -> None:
        self.send(source, target)
        self.assertEqual(self.gets(target, LOST), b"", f"{source} -> {target}")

    def test_all_reach_all(self) -> None:
        """Every host reaches every other one, over slow cables, too."""
        for source in self.sockets:
            for target in self.sockets:
                if source is not target:
                    self.assert_reaches(source, target)

    def test_part(self) -> None:
        """Parted hosts do not reach each other; others do; healing joins them."""
        self.assert_reaches(self.a, self.b)
        self.lab.partition([self.a], [self.b])
        self.assert_parted(self.a, self.b)
        self.assert_parted(self.b, self.a)
        self.assert_reaches(self.a, self.c)

        self.lab.heal()

        self.assert_reaches(self.a, self.b)

    def test_one_way(self) -> None:
        """One way may stay open."""
        # Each must know the other's hardware address, which it cannot ask for.
        self.assert_reaches(self.a, self.b)
        self.assert_reaches(self.b, self.a)

        self.lab.partition([self.a], [self.b], one_way=True)

        self.assert_reaches(self.b, self.a)
        self.assert_parted(self.a, self.b)

    def test_cut(self) -> None:
        """A cable can be pulled out and put in again."""
        self.assert_reaches(self.a, self.b)
        self.lab.cut(self.b)
        self.assert_parted(self.a, self.b)

        self.lab.plug(self.b)

        self.assert_reaches(self.a, self.b)

    def test_lose(self) -> None:
        """A share of the packets is lost, near to what was asked for."""
        self.assert_reaches(self.a, self.b)
        self.lab.loss(self.b, 50)
        for _ in range(400):
            self.send(self.a, self.b)
        self.lab.loss(self.b, 0)
        self.send(self.a, self.b, b"last")
        came = 0
        while self.gets(self.b) == b"packet":
            came += 1

        # Five standard deviations of 400 throws of a coin.
        self.assertTrue(150 <= came <= 250, came)

    def test_slow(self) -> None:
        """A slow cable delays each packet, both ways, until it is fast again."""
        self.assert_reaches(self.a, self.c)
        self.c.slow(0.07)
        began = time.monotonic()
        self.assert_reaches(self.a, self.c)
        self.assert_reaches(self.c, self.a)
        self.assertGreaterEqual(time.monotonic() - began, 0.14)

        self.c.slow(0, loss=100)
        self.assert_parted(self.a, self.c)
        self.c.slow(0)
        self.assert_reaches(self.a, self.c)

    def test_slow_cable_ends(self) -> None:
        """A slow cable that was killed is an error for who wants to change it."""
        process = self.c._link._process
        process.kill()
        process.wait()

        self.assertIn("has ended", str(self.assertRaises(LabError, self.c.slow, 0.1)))

    def test_not_slow(self) -> None:
        """An ordinary cable stays as it is, and the error says what to do."""
        error = self.assertRaises(LabError, self.a.slow, 0.1)

        self.assertIn("slow=True", str(error))

    def test_multicast(self) -> None:
        """What is sent to a group is heard by all other hosts, in both families."""
        for address, interface in (("239.0.100.53", ""), ("ff02::c0ca", "eth0")):
            group = Group(address, 10053, interface)
            members = {}
            for host in self.sockets:
                with host.inside():
                    members[host] = group.open()
                self.addCleanup(members[host].close)
            members[self.a].sendto(b"hello", (address, 10053))
            for host in (self.b, self.c):
                members[host].settimeout(TIMEOUT)
                self.assertEqual(members[host].recv(100), b"hello")
            self.assertRaises(BlockingIOError, members[self.a].recv, 100)

    def test_run(self) -> None:
        """Programs see the host's interfaces only, and their failure is told."""
        self.assertIn(self.a.address, self.a.run(["ip", "address"]))
        self.assertNotIn(self.b.address, self.a.run(["ip", "address"]))
        self.assertEqual(self.a.run(["cat"], "text"), "text")
        error = self.assertRaises(LabError, self.a.run, ["sh", "-c", "exit 3"])
        self.assertIn("ended with 3", str(error))

    def test_two_hosts_of_one_name(self) -> None:
        """A name is used once."""
        self.assertRaises(LabError, self.lab.add_host, "a")
        self.assertRaises(LabError, self.lab.add_host, "bridge")

    def test_inside_is_left(self) -> None:
        """After the block, and after an error in it, a thread is where it was."""
        before = os.readlink("/proc/thread-self/ns/net")
        with self.assertRaises(ZeroDivisionError), self.a.inside():
            self.assertNotEqual(os.readlink("/proc/thread-self/ns/net"), before)
            raise ZeroDivisionError
        self.assertEqual(os.readlink("/proc/thread-self/ns/net"), before)


class EndTests(SynchronousTestCase):
    """What is left."""

    skip = live_reason()

    def names(self) -> set[str]:
        place = Path("/run/netns")
        return {each.name for each in place.iterdir()} if place.exists() else set()

    def test_error(self) -> None:
        """After an error in the block nothing is left, and no process."""
        lab_for(self, "try")  # says what this machine lacks
        with self.assertRaises(ZeroDivisionError), Lab("gone") as lab:
            host = lab.add_host("a", slow=True)
            # In another session, and deaf to what ends ordinary programs.
            shell = "trap '' TERM INT HUP; (setsid sleep 1000 &) ; sleep 1000"
            process = host.start(["sh", "-c", shell])
            wait_for("it runs", lambda: len(host.namespace.processes()) >= 3, TIMEOUT)
            pids = host.namespace.processes()
            raise ZeroDivisionError
        self.assertEqual(process.wait(TIMEOUT), -signal.SIGKILL)
        for pid in pids:
            wait_for("it is gone", lambda pid=pid: not is_alive(pid), TIMEOUT)
        mine = {name for name in self.names() if name.startswith(f"gone{os.getpid()}x")}
        self.assertEqual(mine, set())

    def test_signal(self) -> None:
        """So it is when the program is ended by a signal."""
        lab_for(self, "try")
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )
        self.addCleanup(process.kill)
        assert process.stdout is not None
        self.addCleanup(process.stdout.close)
        sleeper, *names = process.stdout.readline().split()
        self.assertLessEqual(set(names), self.names())

        process.send_signal(signal.SIGTERM)
        process.wait(TIMEOUT)

        self.assertEqual(set(names) & self.names(), set())
        self.assertFalse(is_alive(int(sleeper)))


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has collected does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


test_suite = live_suite(__name__)
