# -*- test-case-name: cocained.test.test_gateways_kernel_nftables -*-
"""
The gateway ``nftables``: virtual services as address translation.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from zope.interface import implementer

from cocained.config.convert import Invalid
from cocained.gateways.kernel import rules
from cocained.gateways.kernel.convergence import Balancer
from cocained.gateways.kernel.gateway import KernelArgs, KernelGateway
from cocained.gateways.kernel.ownership import Ownership
from cocained.gateways.kernel.plan import Plan
from cocained.gateways.kernel.program import ProgramFailed, Runner
from cocained.interfaces import IGateway, IReporter

_LOAD = ("nft", "-f", "-")


class NftablesArgs(KernelArgs, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Arguments of the nftables gateway."""

    scheduler: Annotated[
        str,
        msgspec.Meta(
            description="Who gets the next connection: ``rr``, each in turn; ``wrr``, "
            "chance by weights; ``sh``, by the client's address and weights.",
        ),
    ] = "wrr"
    masquerade: Annotated[
        bool,
        msgspec.Meta(
            description="Whether destinations see this machine's address instead of "
            "the client's. Without it their answers must pass through this machine.",
        ),
    ] = True

    def __post_init__(self) -> None:
        if self.scheduler not in rules.SCHEDULERS:
            known = ", ".join(rules.SCHEDULERS)
            raise Invalid(
                (
                    "scheduler",
                    f"nftables has {known}, but no {self.scheduler!r}; those that"
                    " count connections are in the gateway ipvs",
                )
            )


class NftablesBalancer:
    """
    One table of the kernel's, written anew whenever something changes.

    :param runner: runs ``nft``.
    :param ownership: gives the table its name.
    :param scheduler: for all virtual services.
    :param masquerade: see :class:`NftablesArgs`.
    """

    def __init__(
        self, runner: Runner, ownership: Ownership, scheduler: str, masquerade: bool
    ) -> None:
        self._runner = runner
        self.table = f"cocained_{ownership.identity}"
        self._scheduler = scheduler
        self._masquerade = masquerade
        self._actual: Plan | None = None
        self._turn = 0
        self.problem = ""

    async def begin(self) -> None:
        # Written and taken away again in one transaction: all that is needed is
        # asked of the kernel, and nothing is forwarded.
        await self._load(self._write(rules.TRIAL) + self._write({}))
        self._actual = {}

    async def apply(self, plan: Plan) -> Plan:
        if self._actual != plan:
            self._actual = None
            await self._load(self._write(plan))
            self._actual = plan
        return plan

    async def audit(self) -> None:
        command = ("nft", "list", "chain", "inet", self.table, "prerouting")
        try:
            listing = await self._runner.run(command)
        except ProgramFailed as error:
            if "No such file or directory" not in error.words:
                raise
            listing = ""
        if not rules.is_ours(listing):
            self._actual = None

    async def clear(self) -> None:
        await self._load(rules.remove(self.table))

    def _write(self, plan: Plan) -> str:
        self._turn += 1
        return rules.write(
            self.table, plan, self._scheduler, self._masquerade, self._turn
        )

    async def _load(self, text: str) -> None:
        await self._runner.run(_LOAD, text)


@implementer(IGateway, IReporter)
class NftablesGateway(KernelGateway[NftablesArgs]):
    """Type ``nftables``: ours; for kernels without IPVS, and for firewalls."""

    Args = NftablesArgs

    def _balancer(self, runner: Runner, ownership: Ownership) -> Balancer:
        return NftablesBalancer(
            runner, ownership, self.args.scheduler, self.args.masquerade
        )
