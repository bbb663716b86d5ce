# -*- test-case-name: cocained.test.test_gateways_vicodyn -*-
"""
The arguments of the gateway ``vicodyn`` (plugins.md §4.3).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from cocained.config import ComponentConfig
from cocained.gateways.adhoc import CLUSTER_KEY
from cocained.gateways.choice import Policy


class BalancerArgs(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """How the requests to apps are shared among nodes."""

    retry_count: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            le=64,
            description="How often a request that a node did not take is given to"
            " another one.",
        ),
    ] = 4
    policy: Annotated[
        Policy,
        msgspec.Meta(
            description="How a node is chosen; latency is that of the app's first"
            " answer, and requests under way count."
        ),
    ] = "least-latency"


class BalancerConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """The balancer."""

    type: Annotated[
        Literal["simple"], msgspec.Meta(description="There is one, as in the original.")
    ] = "simple"
    args: Annotated[BalancerArgs, msgspec.Meta(description="Its arguments.")] = (
        BalancerArgs()
    )


class VicodynArgs(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """Arguments of the gateway ``vicodyn``."""

    wrapped: Annotated[
        ComponentConfig,
        msgspec.Meta(description="The gateway for everything that is no app."),
    ] = ComponentConfig(type="adhoc")
    balancer: Annotated[
        BalancerConfig, msgspec.Meta(description="Shares requests among nodes.")
    ] = BalancerConfig()
    cluster: Annotated[
        str | None,
        msgspec.Meta(
            description="Only nodes that say the same ``x-cocaine-cluster`` count; if"
            " it is not set, that of the wrapped gateway."
        ),
    ] = msgspec.field(default=None, name=CLUSTER_KEY)
