# -*- test-case-name: cocained.test.test_gateways_kernel_ipvs -*-
"""
The gateway ``ipvs``: virtual services of the kernel's own balancer.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from zope.interface import implementer

from cocained.gateways.kernel import ipvsadm
from cocained.gateways.kernel.convergence import Balancer
from cocained.gateways.kernel.gateway import KernelArgs, KernelGateway
from cocained.gateways.kernel.ownership import Ownership
from cocained.gateways.kernel.plan import Plan, changes, text
from cocained.gateways.kernel.program import Runner, failed
from cocained.interfaces import IGateway, IReporter

_LIST = ("ipvsadm", "-S", "-n")
_RESTORE = ("ipvsadm", "-R")


class IpvsArgs(KernelArgs, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Arguments of the ipvs gateway."""

    scheduler: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[a-z0-9]{1,15}\Z",
            description="Who gets the next connection: the kernel's name of a "
            "scheduler, such as ``rr``, ``wrr``, ``lc``, ``wlc``, ``sh`` or ``mh``.",
        ),
    ] = "wlc"
    drain: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=86400,
            description="How long a destination that was withdrawn, or does not "
            "answer, keeps the connections that it has; new ones go elsewhere.",
            extra={"unit": "seconds"},
        ),
    ] = 30.0


class IpvsBalancer:
    """
    The kernel's table of virtual services, as far as it is ours.

    The table is read before a virtual service is added, after something failed
    and from time to time; otherwise it is as we left it.

    :param runner: runs ``ipvsadm``.
    :param ownership: which entries are ours.
    :param scheduler: for virtual services.
    """

    def __init__(self, runner: Runner, ownership: Ownership, scheduler: str) -> None:
        self._runner = runner
        self._ownership = ownership
        self._scheduler = scheduler
        #: what is ours in the kernel, ``None`` when that is not known
        self._actual: Plan | None = None
        self.problem = ""

    async def begin(self) -> None:
        await self.clear()
        await self._restore(ipvsadm.trial(self._scheduler))

    async def apply(self, plan: Plan) -> Plan:
        ours = self._ownership.virtuals
        if self._actual is None or not plan.keys() <= ours:
            plan = await self._compare(plan)
        assert self._actual is not None
        rules = ipvsadm.write(changes(self._actual, plan), self._scheduler)
        if rules:
            self._actual = None
            await self._restore(rules)
        self._actual = plan
        self._ownership.remember(plan)
        return plan

    async def _compare(self, plan: Plan) -> Plan:
        """Look at the table; gives the part of *plan* that is not in others' way."""
        table = await self._read()
        ours = self._ownership.virtuals
        strange = sorted(plan.keys() & table.keys() - ours)
        self.problem = ""
        if strange:
            self.problem = (
                f"{_some([text(each) for each in strange])} in the kernel's table"
                " is not ours; remove it there (ipvsadm -D -t …), or keep its port"
                " out of network.shared"
            )
            plan = {each: to for each, to in plan.items() if each not in strange}
        self._ownership.remember(ours | plan.keys())
        self._actual = {each: to for each, to in table.items() if each in ours}
        return plan

    async def audit(self) -> None:
        self._actual = None

    async def clear(self) -> None:
        await self.apply({})

    async def _read(self) -> Plan:
        return ipvsadm.read(await self._runner.run(_LIST))

    async def _restore(self, rules: str) -> None:
        words = await self._runner.run(_RESTORE, rules)
        if words.strip():
            # It goes on behind a rule that fails, and its status is the last one's.
            raise failed("ipvsadm", "refused a rule", words)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


@implementer(IGateway, IReporter)
class IpvsGateway(KernelGateway[IpvsArgs]):
    """
    Type ``ipvs`` (plugins.md §4.4).

    The original empties the whole table of the machine when it starts.  This one
    touches nothing that is not its own.
    """

    Args = IpvsArgs

    def _drain(self) -> float:
        return self.args.drain

    def _balancer(self, runner: Runner, ownership: Ownership) -> Balancer:
        return IpvsBalancer(runner, ownership, self.args.scheduler)
