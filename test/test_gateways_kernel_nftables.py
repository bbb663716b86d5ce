# -*- test-case-name: cocained.test.test_gateways_kernel_nftables -*-
"""
The gateway ``nftables``: its language, and what it does to its table.
"""

from __future__ import annotations

import re
from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cocained.config import convert
from cocained.errors import ConfigError
from cocained.gateways.kernel import rules
from cocained.gateways.kernel.nftables import NftablesArgs, NftablesBalancer
from cocained.gateways.kernel.plan import Plan
from cocained.gateways.kernel.program import KernelError
from cocained.test.kernel_case import A6, A, B, KernelCase

V = ("192.0.2.100", 20000)
V6 = ("2001:db8::100", 20001)

WHOLE = """\
table inet t
delete table inet t
table inet t {
  chain s0 {
    meta l4proto tcp dnat ip to numgen inc mod 2 map \
{ 0 : 192.0.2.1 . 9001, 1 : 192.0.2.2 . 9002 }
  }
  set virtual4 {
    type ipv4_addr . inet_service;
    elements = { 192.0.2.100 . 20000 }
  }
  map services4 {
    type ipv4_addr . inet_service : verdict;
    elements = { 192.0.2.100 . 20000 : goto s0 }
  }
  set virtual6 {
    type ipv6_addr . inet_service;
  }
  map services6 {
    type ipv6_addr . inet_service : verdict;
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    ip daddr . tcp dport vmap @services4
    ip6 daddr . tcp dport vmap @services6
  }
  chain output {
    type nat hook output priority -100; policy accept;
    ip daddr . tcp dport vmap @services4
    ip6 daddr . tcp dport vmap @services6
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    meta l4proto tcp ct status dnat ct original ip daddr . ct original proto-dst \
@virtual4 masquerade
    meta l4proto tcp ct status dnat ct original ip6 daddr . ct original proto-dst \
@virtual6 masquerade
  }
}
"""


class LanguageTests(SynchronousTestCase):
    """What nft reads."""

    def choices(self, plan: Plan, scheduler: str, turn: int = 0) -> list[str]:
        """Give the rules that choose."""
        text = rules.write("t", plan, scheduler, turn=turn)
        return [rule.strip() for rule in re.findall(r"dnat ip6? to .*", text)]

    def test_whole(self) -> None:
        """The table that is there is replaced by one with everything."""
        self.assertEqual(rules.write("t", {V: {A: 1, B: 5}}, "rr"), WHOLE)

    def test_weights(self) -> None:
        """With ``wrr`` a destination has as many numbers as its weight says."""
        self.assertEqual(
            self.choices({V: {A: 20, B: 60}}, "wrr"),
            [
                "dnat ip to numgen random mod 4 map"
                " { 0 : 192.0.2.1 . 9001, 1-3 : 192.0.2.2 . 9002 }"
            ],
        )

    def test_source(self) -> None:
        """With ``sh`` the number comes from the client's address."""
        plan = {V: {B: 1, A: 1}, V6: {A6: 3}}

        self.assertEqual(
            self.choices(plan, "sh"),
            [
                "dnat ip to jhash ip saddr mod 2 map"
                " { 0 : 192.0.2.1 . 9001, 1 : 192.0.2.2 . 9002 }",
                "dnat ip6 to jhash ip6 saddr mod 1 map { 0 : 2001:db8::1 . 9001 }",
            ],
        )
        self.assertEqual(self.choices(plan, "sh", 1), self.choices(plan, "sh"))

    def test_turns(self) -> None:
        """A table that is written anew begins with another destination."""
        first = self.choices({V: {A: 1, B: 1}}, "rr", 0)
        second = self.choices({V: {A: 1, B: 1}}, "rr", 1)

        self.assertIn("{ 0 : 192.0.2.1 . 9001,", first[0])
        self.assertIn("{ 0 : 192.0.2.2 . 9002,", second[0])

    def test_weightless(self) -> None:
        """A weight of 0 is none, and a service of such ones is not there."""
        self.assertEqual(
            self.choices({V: {A: 0, B: 7}, V6: {A6: 0}}, "wrr"),
            ["dnat ip to numgen random mod 1 map { 0 : 192.0.2.2 . 9002 }"],
        )
        self.assertNotIn("20001", rules.write("t", {V6: {A6: 0}}, "wrr"))

    def test_no_masquerade(self) -> None:
        """Without masquerading the client's address is left alone."""
        text = rules.write("t", {V: {A: 1}}, "rr", masquerade=False)

        self.assertNotIn("masquerade", text)
        self.assertIn("type nat hook postrouting", text)

    def test_is_ours(self) -> None:
        """A chain that was emptied is not as we wrote it."""
        self.assertTrue(rules.is_ours(WHOLE))
        self.assertFalse(rules.is_ours("table inet t {\n chain prerouting {\n }\n}\n"))


class ArgumentTests(SynchronousTestCase):
    """What a file may say."""

    def test_schedulers(self) -> None:
        """There are three, and whoever asks for another learns where it is."""
        for name in ("rr", "wrr", "sh"):
            self.assertEqual(convert({"scheduler": name}, NftablesArgs).scheduler, name)

        error = self.assertRaises(
            ConfigError, convert, {"scheduler": "wlc"}, NftablesArgs
        )

        self.assertIn("nftables has rr, wrr, sh, but no 'wlc'", str(error))
        self.assertIn("ipvs", str(error))


class BalancerTests(KernelCase):
    """What is done to the table."""

    def setUp(self) -> None:
        super().setUp()
        owner = self.ownership()
        self.table = f"cocained_{owner.identity}"
        self.balancer = NftablesBalancer(self.kernel, owner, "wrr", True)
        self.kernel.tables["others"] = "as it was"
        self.done(self.balancer.begin())

    def done(self, coroutine: Coroutine[Deferred[Any], Any, Any]) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def test_begin(self) -> None:
        """It tries everything, and forwards nothing; one run does both."""
        ((_, text),) = self.kernel.runs

        for word in ("numgen random", "masquerade", "dnat ip6", "dnat ip "):
            self.assertIn(word, text)
        self.assertNotIn("dnat ip", self.kernel.tables[self.table])

    def test_cannot_begin(self) -> None:
        """What nft says is in the error, with the remedy."""
        self.kernel.refusal = "netlink: Error: Operation not permitted"

        failure = self.failureResultOf(
            Deferred.fromCoroutine(self.balancer.begin()), KernelError
        )

        self.assertIn("Operation not permitted", str(failure.value))
        self.assertIn("CAP_NET_ADMIN", str(failure.value))

    def test_apply(self) -> None:
        """One run writes everything; what is so already takes none."""
        plan = {V: {A: 1}}
        self.kernel.runs.clear()

        self.assertEqual(self.done(self.balancer.apply(plan)), plan)
        self.done(self.balancer.apply({V: {A: 1}}))

        self.assertEqual(len(self.kernel.runs), 1)
        self.assertIn("192.0.2.1 . 9001", self.kernel.tables[self.table])

    def test_after_failure(self) -> None:
        """What could not be written is written at the next call."""
        self.kernel.refusal = "busy"
        self.failureResultOf(
            Deferred.fromCoroutine(self.balancer.apply({V: {A: 1}})), KernelError
        )
        self.kernel.refusal = ""

        self.done(self.balancer.apply({}))

        self.assertNotIn("dnat ip", self.kernel.tables[self.table])
        self.assertEqual(len(self.kernel.runs), 3)

    def test_audit(self) -> None:
        """A table that is gone, or was emptied, is written anew; others are not."""
        self.done(self.balancer.apply({V: {A: 1}}))
        whole = self.kernel.tables[self.table]
        for lost in (None, "table inet t { chain prerouting { } }"):
            del self.kernel.tables[self.table]
            if lost is not None:
                self.kernel.tables[self.table] = lost

            self.done(self.balancer.audit())
            self.done(self.balancer.apply({V: {A: 1}}))

            self.assertEqual(self.kernel.tables[self.table], whole)

        self.kernel.runs.clear()
        self.done(self.balancer.audit())
        self.done(self.balancer.apply({V: {A: 1}}))
        self.assertEqual(len(self.kernel.runs), 1)

    def test_blind_audit(self) -> None:
        """A look that fails for another reason is a failure."""
        self.kernel.refusal = "Operation not permitted"

        self.failureResultOf(Deferred.fromCoroutine(self.balancer.audit()), KernelError)

    def test_clear(self) -> None:
        """At the end the table is gone, and those of others are as they were."""
        self.done(self.balancer.apply({V: {A: 1}}))

        self.done(self.balancer.clear())

        self.assertEqual(self.kernel.tables, {"others": "as it was"})
