# -*- test-case-name: cocained.test.test_gateways_kernel_ipvs -*-
"""
The gateway ``ipvs``: its language, and what it does to the kernel's table.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cocained.config import convert
from cocained.errors import ConfigError
from cocained.gateways.kernel import ipvsadm
from cocained.gateways.kernel.ipvs import IpvsArgs, IpvsBalancer
from cocained.gateways.kernel.plan import changes
from cocained.gateways.kernel.program import KernelError
from cocained.test.kernel_case import A6, A, B, KernelCase

V = ("192.0.2.100", 20000)
W = ("192.0.2.100", 20001)
V6 = ("2001:db8::100", 20000)


class LanguageTests(SynchronousTestCase):
    """What ipvsadm reads and writes."""

    def test_write(self) -> None:
        """Each change is one rule."""
        before = {W: {A: 1}, V: {A: 1, B: 1}}
        after = {V: {A: 2, ("192.0.2.3", 9003): 0}, V6: {A6: 1}}

        self.assertEqual(
            ipvsadm.write(changes(before, after), "wlc").splitlines(),
            [
                "-D -t 192.0.2.100:20001",
                "-e -t 192.0.2.100:20000 -r 192.0.2.1:9001 -m -w 2",
                "-a -t 192.0.2.100:20000 -r 192.0.2.3:9003 -m -w 0",
                "-d -t 192.0.2.100:20000 -r 192.0.2.2:9002",
                "-A -t [2001:db8::100]:20000 -s wlc",
                "-a -t [2001:db8::100]:20000 -r [2001:db8::1]:9001 -m -w 1",
            ],
        )

    def test_source_hash(self) -> None:
        """With ``sh``, who would get a destination of weight 0 gets another."""
        self.assertEqual(
            ipvsadm.write(changes({}, {V: {}}), "sh"),
            "-A -t 192.0.2.100:20000 -s sh -b sh-fallback\n",
        )

    def test_read(self) -> None:
        """What was written is read; what is of another kind is not."""
        listing = (
            "-A -t 192.0.2.100:20000 -s sh -b sh-fallback\n"
            "-a -t 192.0.2.100:20000 -r 192.0.2.1:9001 -m -w 1\n"
            "-a -t 192.0.2.100:20000 -r 192.0.2.2:9002 -m -w 0 -x 5 -y 1\n"
            "-A -u 192.0.2.100:53 -s rr\n"
            "-a -u 192.0.2.100:53 -r 192.0.2.1:53 -g -w 1\n"
            "-A -t [2001:db8::100]:20000 -s rr -p 300\n"
            "-a -t [2001:db8::100]:20000 -r [2001:db8::1]:9001 -g -w 3\n"
            "-A -f 7 -s rr\n"
            "-A -t 192.0.2.100:20001 -s rr\n"
        )

        self.assertEqual(ipvsadm.read(listing), {V: {A: 1, B: 0}, V6: {A6: 3}, W: {}})

    def test_read_nonsense(self) -> None:
        """Lines that nobody would write are nobody's."""
        for line in ("", "-A", "-A -t", "-A -t x -s rr", "-A -t 1.2.3.4:x -s rr"):
            self.assertEqual(ipvsadm.read(line), {})
        for more in ("", " -r x -w 1", " -r 1.2.3.4:5", " -r 1.2.3.4:5 -w x"):
            line = "-A -t 192.0.2.100:20000 -s rr\n-a -t 192.0.2.100:20000" + more
            self.assertEqual(ipvsadm.read(line), {V: {}})


class ArgumentTests(SynchronousTestCase):
    """What a file may say."""

    def test_defaults(self) -> None:
        """They are those of the original."""
        args = convert({}, IpvsArgs)

        self.assertEqual((args.scheduler, args.weight, args.cluster), ("wlc", 1, ""))

    def test_schedulers(self) -> None:
        """Any name that the kernel could know will do, and no other."""
        for name in ("rr", "lblcr", "mh", "a" * 15, "x9"):
            self.assertEqual(convert({"scheduler": name}, IpvsArgs).scheduler, name)
        for name in ("", "a" * 16, "WLC", "rr -f", "rr\n", "r-r"):
            self.assertRaises(ConfigError, convert, {"scheduler": name}, IpvsArgs)

    def test_weights(self) -> None:
        """Weights are what the kernel takes."""
        self.assertEqual(convert({"weight": 65535}, IpvsArgs).weight, 65535)
        for weight in (-1, 65536, "1", 1.5):
            self.assertRaises(ConfigError, convert, {"weight": weight}, IpvsArgs)


class BalancerTests(KernelCase):
    """What is done to the kernel's table."""

    def setUp(self) -> None:
        super().setUp()
        self.owner = self.ownership()
        self.balancer = IpvsBalancer(self.kernel, self.owner, "wlc")
        self.done(self.balancer.begin())

    def done(self, coroutine: Coroutine[Deferred[Any], Any, Any]) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def refused(self, coroutine: Coroutine[Deferred[Any], Any, Any]) -> str:
        failure = self.failureResultOf(Deferred.fromCoroutine(coroutine), KernelError)
        return str(failure.value)

    def commands(self) -> list[str]:
        """Give the commands since the last call."""
        runs, self.kernel.runs = self.kernel.runs, []
        return [" ".join(command) for command, _ in runs]

    def test_begin(self) -> None:
        """It tries its scheduler, and leaves nothing."""
        self.assertEqual(self.commands(), ["ipvsadm -S -n", "ipvsadm -R"])
        self.assertEqual(self.kernel.listing(), "")

    def test_no_scheduler(self) -> None:
        """A scheduler that there is not is an error that says what to do."""
        balancer = IpvsBalancer(self.kernel, self.owner, "nope")

        words = self.refused(balancer.begin())

        self.assertIn("Scheduler or persistence engine not found", words)
        self.assertIn("modprobe ip_vs_NAME", words)

    def test_one_run(self) -> None:
        """However much is new, the table is read once and written once."""
        self.commands()
        plan = {("192.0.2.100", 20000 + each): {A: 1, B: 2} for each in range(50)}

        self.assertEqual(self.done(self.balancer.apply(plan)), plan)

        self.assertEqual(self.commands(), ["ipvsadm -S -n", "ipvsadm -R"])
        self.assertEqual(ipvsadm.read(self.kernel.listing()), plan)
        self.assertEqual(self.owner.virtuals, set(plan))

    def test_only_destinations(self) -> None:
        """When no virtual service is new, the table need not be read."""
        self.done(self.balancer.apply({V: {A: 1}}))
        self.commands()

        self.done(self.balancer.apply({V: {B: 1}}))

        self.assertEqual(self.commands(), ["ipvsadm -R"])
        self.assertEqual(ipvsadm.read(self.kernel.listing()), {V: {B: 1}})

    def test_nothing(self) -> None:
        """What is so already takes no run at all."""
        self.done(self.balancer.apply({V: {A: 1}}))
        self.commands()

        self.done(self.balancer.apply({V: {A: 1}}))

        self.assertEqual(self.commands(), [])

    def test_refused_rule(self) -> None:
        """A rule that is refused is an error, also when the last one is not."""
        self.done(self.balancer.apply({V: {A: 1}, W: {A: 1}}))
        del self.kernel.services["-t 192.0.2.100:20000"]

        words = self.refused(self.balancer.apply({V: {A: 2}, W: {A: 3}}))

        self.assertIn("refused a rule: No such service", words)

    def test_mended(self) -> None:
        """After an error the table is read, and what is not so is made so."""
        self.test_refused_rule()
        self.commands()

        self.done(self.balancer.apply({V: {A: 2}, W: {A: 3}}))

        self.assertEqual(self.commands(), ["ipvsadm -S -n", "ipvsadm -R"])
        self.assertEqual(ipvsadm.read(self.kernel.listing()), {V: {A: 2}, W: {A: 3}})

    def test_audit(self) -> None:
        """A look at the table finds what somebody has taken away."""
        self.done(self.balancer.apply({V: {A: 1}}))
        self.kernel.services.clear()

        self.done(self.balancer.audit())
        self.done(self.balancer.apply({V: {A: 1}}))

        self.assertEqual(ipvsadm.read(self.kernel.listing()), {V: {A: 1}})

    def test_others(self) -> None:
        """What is not ours stays as it is, from the beginning to the end."""
        self.kernel.services["-t 192.0.2.100:443"] = (
            "-s rr",
            {"192.0.2.9:1": "-m -w 1"},
        )
        self.kernel.services["-u 192.0.2.100:20000"] = ("-s rr", {})
        before = self.kernel.listing()
        balancer = IpvsBalancer(self.kernel, self.owner, "wlc")
        self.done(balancer.begin())
        self.done(balancer.apply({V: {A: 1}}))
        self.done(balancer.audit())
        self.done(balancer.apply({V: {B: 1}}))
        self.assertNotEqual(self.kernel.listing(), before)

        self.done(balancer.clear())

        self.assertEqual(self.kernel.listing(), before)

    def test_in_the_way(self) -> None:
        """A virtual service of others is left alone; the rest is in force."""
        self.kernel.services["-t 192.0.2.100:20000"] = ("-s lc", {})

        done = self.done(self.balancer.apply({V: {A: 1}, W: {B: 1}}))

        self.assertEqual(done, {W: {B: 1}})
        self.assertEqual(ipvsadm.read(self.kernel.listing()), {V: {}, W: {B: 1}})
        self.assertIn("192.0.2.100:20000 in the kernel's table", self.balancer.problem)
        self.assertEqual(self.owner.virtuals, {W})

    def test_out_of_the_way(self) -> None:
        """When it is gone, ours takes its place, and nothing is wrong."""
        self.test_in_the_way()
        del self.kernel.services["-t 192.0.2.100:20000"]

        self.done(self.balancer.apply({V: {A: 1}, W: {B: 1}}))

        self.assertEqual(ipvsadm.read(self.kernel.listing()), {V: {A: 1}, W: {B: 1}})
        self.assertEqual(self.balancer.problem, "")

    def test_many_in_the_way(self) -> None:
        """A problem names some of many."""
        plan = {("192.0.2.100", 20000 + each): {A: 1} for each in range(8)}
        for _, port in plan:
            self.kernel.services[f"-t 192.0.2.100:{port}"] = ("-s lc", {})

        self.assertEqual(self.done(self.balancer.apply(plan)), {})

        self.assertIn("192.0.2.100:20004 and 3 more in", self.balancer.problem)

    def test_killed(self) -> None:
        """The next run takes away what a killed one has left, and nothing else."""
        self.kernel.services["-t 192.0.2.100:443"] = ("-s rr", {})
        self.done(self.balancer.apply({V: {A: 1}, W: {B: 1}}))
        self.owner.release()

        next_run = IpvsBalancer(self.kernel, self.ownership(), "rr")
        self.done(next_run.begin())

        self.assertEqual(self.kernel.listing(), "-A -t 192.0.2.100:443 -s rr\n")

    def test_remembered_first(self) -> None:
        """What is ours is written down before it is in the kernel."""
        self.kernel.slow = True
        Deferred.fromCoroutine(self.balancer.apply({V: {A: 1}}))
        self.kernel.go_on()

        self.assertEqual(self.kernel.listing(), "")
        self.assertEqual(self.owner.virtuals, {V})
        self.kernel.go_on()
