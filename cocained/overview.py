# -*- test-case-name: cocained.test.test_overview -*-
"""
What the components of a node say of themselves, gathered for operators.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from twisted.logger import Logger

from cocained.interfaces import IComponent, IReporter

log = Logger()

#: Maps inside a report whose problems are looked for; a table of many nodes, each
#: with a table of its own, is the deepest there is.
DEPTH = 4


def overview(components: Mapping[str, IComponent]) -> dict[str, Any]:
    """
    Gather the reports.

    :param components: by the place in the configuration, such as
        ``services.node``; those that do not provide
        :class:`~cocained.interfaces.IReporter` are passed over.
    :returns: ``components``, place to report, and ``problems``, sentences that
        begin with the place.
    """
    reports = {
        place: _report(place, IReporter(component))
        for place, component in components.items()
        if IReporter.providedBy(component)
    }
    return {"components": reports, "problems": list(problems(reports))}


def _report(place: str, reporter: IReporter) -> Mapping[str, Any]:
    try:
        return dict(reporter.report())
    except Exception as error:
        # What is broken in one must not hide the others.
        log.failure("{place} cannot report how it is", place=place)
        return {"problem": f"it cannot report how it is: {error}; see the node's log"}


def problems(reports: Mapping[Any, Any], depth: int = DEPTH) -> Iterator[str]:
    """
    Find the problems in reports, and in maps inside of them.

    :param reports: maps by the place that sentences begin with.
    :param depth: of maps to look into.
    """
    for place, report in reports.items():
        if not isinstance(report, Mapping):
            continue
        problem = report.get("problem")
        if problem:
            yield f"{place}: {problem}"
        if depth > 1:
            for found in problems(report, depth - 1):
                yield f"{place}.{found}"
