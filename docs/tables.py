# -*- test-case-name: cocained.test.test_docs_examples -*-
"""
The parts of the documentation that come from the code, written at each build.

``python docs/tables.py`` writes them without Sphinx, to ``docs/_generated``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from importlib import import_module
from typing import Any

import msgspec
from limits import LIMITS
from twisted.python.reflect import namedAny

from cocained import errors
from cocained.apps.keys import ManifestKeys, ProfileKeys
from cocained.clusters.multicast import MulticastArgs
from cocained.clusters.predefine import PredefineArgs
from cocained.config.describe import document, table
from cocained.gateways.adhoc import AdhocArgs
from cocained.gateways.vicodyn.args import VicodynArgs
from cocained.links.pace import Pace
from cocained.repository import Repository
from cocained.rpc.dispatch import Protocol
from cocained.rpc.graph import DISCARDABLE, PRIMITIVE, STREAMING, TERMINAL
from cocained.services.unicorn import CLOSING
from cocained.test.cluster_simulation.figures import Figures
from cocained.test.cluster_simulation.growth import COLUMNS

#: The services whose graphs are shown.
SERVICES = {
    "locator": "cocained.services.locator.LocatorService",
    "storage": "cocained.services.storage.StorageService",
    "logging": "cocained.services.logging.LoggingService",
    "node": "cocained.services.node.NodeService",
    "admin": "cocained.services.admin.AdminService",
    "unicorn": "cocained.services.unicorn.UnicornService",
    "app": "cocained.apps.service.AppService",
    "vicodyn": "cocained.gateways.vicodyn.info.InfoService",
}

#: What a graph is called when it is a usual one.
GRAPHS = (
    (TERMINAL, "nothing"),
    (PRIMITIVE, "*primitive*"),
    (STREAMING, "*streaming*"),
    (DISCARDABLE, "*discardable*"),
    (CLOSING, "``close``"),
)


#: The codes of each category that the node itself gives.
CODES: Mapping[errors.Category, type[IntEnum]] = {
    errors.Category.TRANSPORT: errors.TransportCode,
    errors.Category.DISPATCH: errors.DispatchCode,
    errors.Category.REPOSITORY: errors.RepositoryCode,
    errors.Category.LOCATOR: errors.LocatorCode,
    errors.Category.UNICORN: errors.UnicornCode,
    errors.Category.NODE: errors.NodeCode,
    errors.Category.OVERSEER: errors.OverseerCode,
    errors.Category.WORKER_STATE: errors.WorkerCode,
}


def grid(header: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    """Render rows as a ``list-table``."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (header, *rows):
        for index, cell in enumerate(row):
            lines.append((("   * - " if not index else "     - ") + cell).rstrip())
    return "\n".join(lines) + "\n"


def graph_name(graph: Any) -> str:
    """Say what may be sent, with the name of a usual graph."""
    for known, name in GRAPHS:
        if graph == known:
            return name
    return f"``{graph}``"


def graphs(name: str) -> str:
    """Render the methods of a service."""
    protocol: Protocol = namedAny(SERVICES[name]).protocol
    return f"Protocol version {protocol.version}.\n\n" + grid(
        ("Number", "Method", "Then the client may send", "The service sends"),
        (
            (str(number), f"``{method}``", graph_name(down), graph_name(up))
            for number, (method, down, up) in protocol.graph.items()
        ),
    )


def limits() -> str:
    """Render the limits, with the values of the code."""

    def rows() -> Iterator[Sequence[str]]:
        for limit in LIMITS:
            module, _, constant = limit.dotted.rpartition(".")
            value = getattr(import_module(module), constant)
            yield f"{exact(value)} {limit.unit}", limit.what, limit.beyond

    return grid(("Limit", "Of what", "Beyond it"), rows())


def exact(number: float) -> str:
    """Write a number in full."""
    return f"{number:g}" if isinstance(number, float) else f"{number:,}"


def codes() -> str:
    """Render the categories of errors and their codes."""

    def rows() -> Iterator[Sequence[str]]:
        for category in errors.Category:
            name = category.name.lower().replace("_", " ")
            known = CODES.get(category)
            listed = ", ".join(
                f"{int(code)} {code.name.lower().replace('_', ' ')}"
                for code in known or ()
            )
            yield (str(int(category)), name, listed)

    return grid(("Category", "Name", "Codes"), rows())


def plugins() -> str:
    """Render the arguments of every plugin that is shipped."""
    parts = []
    for line in Repository.discover().listing():
        if not line.dotted.startswith("cocained."):
            continue
        args = getattr(namedAny(line.dotted), "Args", None)
        title = f"{line.category} ``{line.type}``"
        keys = table(args) if args is not None and args.__struct_fields__ else ""
        parts.append(f"{title}\n{'~' * len(title)}\n\n{keys or 'No arguments.'}\n")
    return "\n".join(parts)


def growth() -> str:
    """Render what a simulated cluster costs as it grows, from the file of figures."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "growth.json")
    with open(path, "rb") as file:
        found = msgspec.json.decode(file.read(), type=list[Figures])
    (heading, write_first), *rest = COLUMNS
    return grid(
        [heading, *map(write_first, found)],
        ([name, *map(write, found)] for name, write in rest),
    )


def parts() -> dict[str, str]:
    """Render every part, by the name of its file."""
    rendered = {
        "node": document(),
        "manifest": table(ManifestKeys),
        "profile": table(ProfileKeys),
        "plugins": plugins(),
        "links": table(Pace),
        "multicast": table(MulticastArgs),
        "predefine": table(PredefineArgs),
        "gateway_adhoc": table(AdhocArgs),
        "gateway_vicodyn": table(VicodynArgs),
        "limits": limits(),
        "codes": codes(),
        "growth": growth(),
    }
    rendered |= {f"graph_{name}": graphs(name) for name in SERVICES}
    return rendered


def write(docs: str) -> None:
    """Write every part to ``_generated`` of a directory, if it has changed."""
    folder = os.path.join(docs, "_generated")
    os.makedirs(folder, exist_ok=True)
    for name, text in parts().items():
        path = os.path.join(folder, f"{name}.rst")
        old = None
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                old = file.read()
        if text != old:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)


if __name__ == "__main__":
    write(os.path.dirname(os.path.abspath(sys.argv[0])))
