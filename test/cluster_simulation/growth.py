# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
The same figures for larger and larger clusters: a table, and a file of them.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from cocained.test.cluster_simulation.figures import Figures, measure
from cocained.test.cluster_simulation.weights import weigh
from cocained.test.simulation.runner import silence, undisturbed

#: Nodes of each cluster, and its apps.
SIZES = (10, 30, 100, 300, 1000)
APPS = 200

#: What is shown: a heading, and how a figure is written there.
COLUMNS: Sequence[tuple[str, Callable[[Figures], str]]] = (
    ("nodes", lambda f: f"{f.nodes:,}"),
    ("links", lambda f: f"{f.links:,}"),
    ("services known", lambda f: f"{f.known:,}"),
    ("all up, s", lambda f: f"{f.up:.1f}"),
    ("newcomer known, ms", lambda f: f"{f.join_known * 1000:.1f}"),
    ("newcomer knows, s", lambda f: f"{f.join_knows:.1f}"),
    ("join, KiB", lambda f: f"{f.join_bytes / 1024:,.0f}"),
    ("change, ms", lambda f: f"{f.change * 1000:.1f}"),
    ("change, KiB", lambda f: f"{f.change_bytes / 1024:,.1f}"),
    ("death seen, ms", lambda f: f"{f.fin * 1000:.1f}"),
    ("silence seen, s", lambda f: f"{f.silence:.1f}"),
    ("at rest, messages/s", lambda f: f"{f.rest_messages:,.0f}"),
    ("at rest, KiB/s", lambda f: f"{f.rest_bytes / 1024:,.1f}"),
    ("CPU per link, µs", lambda f: f"{f.cpu_link * 1e6:,.0f}"),
    ("CPU per ping, µs", lambda f: f"{f.cpu_ping * 1e6:,.0f}"),
    ("simulated in, s", lambda f: f"{f.cpu:,.0f}"),
    ("memory, MiB", lambda f: f"{f.memory / 1048576:,.0f}"),
)


def table(found: Sequence[Figures]) -> Table:
    """Set the figures out, a column for each cluster."""
    made = Table("", *(f"{each.nodes:,}" for each in found))
    for heading, write in COLUMNS[1:]:
        made.add_row(heading, *map(write, found))
    return made


def measure_all(console: Console, path: str, most: int) -> None:
    """
    Measure all clusters up to a size.

    :param path: of the file to write.
    :param most: nodes of the largest one.
    """
    silence()
    found = []
    for nodes in SIZES:
        if nodes > most:
            break
        with undisturbed():
            found.append(measure(nodes, APPS))
        gc.collect()
        console.print(f"{nodes:,} nodes: {found[-1].cpu:,.1f} s of CPU")
    with open(path, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    console.print(table(found))
    weights = weigh()
    console.print(
        f"bytes at one node: {weights.link:,} for each node that it listens to,"
        f" {weights.service:,} for each service that it knows,"
        f" {weights.listener:,} for each node that listens to it"
    )
