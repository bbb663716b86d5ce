# -*- test-case-name: cocained.test.test_gateways_kernel_gateway -*-
"""
A kernel in memory, and the programs that speak with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from cocained.config import convert
from cocained.gateways.kernel.ipvs import IpvsArgs, IpvsGateway
from cocained.gateways.kernel.nftables import NftablesArgs, NftablesGateway
from cocained.gateways.kernel.ownership import Ownership
from cocained.gateways.kernel.program import failed
from cocained.testing import FakeNode

T = TypeVar("T")

A = ("192.0.2.1", 9001)
B = ("192.0.2.2", 9002)
A6 = ("2001:db8::1", 9001)


class MemoryKernel:
    """
    Runs ``ipvsadm`` and ``nft``, as far as the gateways use them.

    :ivar runs: every command, and what it was given to read.
    :ivar services: virtual services: options, and destinations with options.
    :ivar tables: of nftables: the text by which each was made.
    :ivar schedulers: those of IPVS.
    :ivar refusal: words with which every program fails.
    :ivar held: programs that go on, when ``slow``.
    """

    def __init__(self) -> None:
        self.runs: list[tuple[tuple[str, ...], str]] = []
        self.services: dict[str, tuple[str, dict[str, str]]] = {}
        self.tables: dict[str, str] = {}
        self.schedulers = {"rr", "wrr", "wlc", "sh"}
        self.refusal = ""
        self.slow = False
        self.held: list[tuple[Deferred[str], Callable[[], Deferred[str]]]] = []

    def run(self, command: Sequence[str], rules: str = "") -> Deferred[str]:
        self.runs.append((tuple(command), rules))
        if not self.slow:
            return self._do(command, rules)
        waiting: Deferred[str] = Deferred()
        self.held.append((waiting, lambda: self._do(command, rules)))
        return waiting

    def go_on(self) -> None:
        """Let the programs that were held end."""
        held, self.held = self.held, []
        for waiting, go in held:
            go().chainDeferred(waiting)

    def _do(self, command: Sequence[str], rules: str) -> Deferred[str]:
        if self.refusal:
            return fail(failed(command[0], "ended with status 1", self.refusal))
        match tuple(command):
            case ("ipvsadm", "-S", "-n"):
                return succeed(self.listing())
            case ("ipvsadm", "-R"):
                return self._restore(rules)
            case ("nft", "-f", "-"):
                self._load(rules)
                return succeed("")
            case ("nft", "list", "chain", "inet", table, "prerouting"):
                if table not in self.tables:
                    words = "Error: No such file or directory"
                    return fail(failed("nft", "ended with status 1", words))
                return succeed(self.tables[table])
        raise AssertionError(f"{command} is not used")

    # ipvsadm

    def listing(self) -> str:
        """Give the table as ``ipvsadm -S -n`` writes it."""
        lines = []
        for service, (options, destinations) in self.services.items():
            lines.append(f"-A {service} {options}")
            for destination, more in destinations.items():
                lines.append(f"-a {service} -r {destination} {more}")
        return "".join(f"{line}\n" for line in lines)

    def _restore(self, rules: str) -> Deferred[str]:
        words = [said for rule in rules.splitlines() if (said := self._rule(rule))]
        if words and words[-1] == self._rule(rules.splitlines()[-1]):
            return fail(failed("ipvsadm", "ended with status 255", "\n".join(words)))
        return succeed("\n".join(words))

    def _rule(self, rule: str) -> str:
        verb, kind, name, *rest = rule.split()
        service = f"{kind} {name}"
        if verb == "-A":
            if service in self.services:
                return "Service already exists"
            if rest[1] not in self.schedulers:
                return "Scheduler or persistence engine not found"
            self.services[service] = (" ".join(rest), {})
            return ""
        if service not in self.services:
            return "No such service"
        if verb == "-D":
            del self.services[service]
            return ""
        destinations = self.services[service][1]
        destination, more = rest[1], " ".join(rest[2:])
        if (destination in destinations) is (verb == "-a"):
            return (
                "Destination already exists" if verb == "-a" else "No such destination"
            )
        if verb == "-d":
            del destinations[destination]
        else:
            destinations[destination] = more
        return ""

    # nft

    def _load(self, rules: str) -> None:
        table = ""
        for line in rules.splitlines(keepends=True):
            if line.startswith("delete table inet "):
                self.tables.pop(line.split()[-1], None)
            elif line.startswith("table inet ") and line.endswith("{\n"):
                table = line.split()[2]
                self.tables[table] = line
            elif not line.startswith("table inet "):
                self.tables[table] += line


class KernelCase(SynchronousTestCase):
    """A node with a gateway, and its kernel."""

    def setUp(self) -> None:
        self.kernel = MemoryKernel()
        self.node = FakeNode(runtime=self.mktemp())
        os.makedirs(self.node.runtime)

    def ipvs(self, **args: Any) -> IpvsGateway:
        """Build a gateway; its arguments are as a file has them."""
        args.setdefault("probe", None)
        return IpvsGateway(
            self.node, "locator:gateway", convert(args, IpvsArgs), self.kernel
        )

    def nftables(self, **args: Any) -> NftablesGateway:
        """Build the other one."""
        args.setdefault("probe", None)
        return NftablesGateway(
            self.node, "locator:gateway", convert(args, NftablesArgs), self.kernel
        )

    def ownership(self) -> Ownership:
        """Be the only one."""
        ownership = Ownership(self.node.runtime, "locator:gateway")
        ownership.take()
        self.addCleanup(ownership.release)
        return ownership

    def settle(self) -> None:
        """Let the turn end."""
        self.node.clock.advance(0)
