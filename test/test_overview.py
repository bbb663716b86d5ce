# -*- test-case-name: cocained.test.test_overview -*-
"""
Reports of components, gathered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from cocained.component import Component, NoArgs
from cocained.interfaces import IComponent, IReporter
from cocained.overview import overview, problems


@implementer(IComponent)
class Plain(Component[NoArgs]):
    """Has nothing to report."""

    def __init__(self) -> None:
        super().__init__(cast(Any, None), "plain", NoArgs())


@implementer(IReporter)
class Reporting(Plain):
    """Reports what a test says."""

    def __init__(self, report: Any) -> None:
        super().__init__()
        self._report = report

    def report(self) -> Mapping[str, Any]:
        if isinstance(self._report, Exception):
            raise self._report
        return cast(Mapping[str, Any], self._report)


class OverviewTests(SynchronousTestCase):
    """All components at a glance."""

    def test_reports(self) -> None:
        """Each that reports is there under its place; others are passed over."""
        found = overview(
            {"storages.core": Reporting({"free": 7}), "services.x": Plain()}
        )

        self.assertEqual(
            found, {"components": {"storages.core": {"free": 7}}, "problems": []}
        )

    def test_problems(self) -> None:
        """What is wrong is listed with its place."""
        found = overview({"storages.core": Reporting({"problem": "the disk is full"})})

        self.assertEqual(found["problems"], ["storages.core: the disk is full"])

    def test_no_problem(self) -> None:
        """An empty problem is none."""
        found = overview({"storages.core": Reporting({"problem": ""})})

        self.assertEqual(found["problems"], [])

    def test_inner_problems(self) -> None:
        """So is what is wrong inside, with its way there."""
        report = {
            "discovery": {"type": "zookeeper", "problem": "nobody answers"},
            "links": {"u1": {"problem": "silent"}, "u2": {}},
        }
        found = overview({"services.locator": Reporting(report)})

        self.assertEqual(
            found["problems"],
            [
                "services.locator.discovery: nobody answers",
                "services.locator.links.u1: silent",
            ],
        )

    def test_bottomless(self) -> None:
        """Maps that hold themselves are left at some depth."""
        report: dict[str, Any] = {"problem": "x"}
        report["again"] = report

        self.assertEqual(
            list(problems({"a": report}, depth=3)),
            ["a: x", "a.again: x", "a.again.again: x"],
        )

    def test_a_bug(self) -> None:
        """One that cannot report is a problem, and the others are shown."""
        found = overview(
            {"a": Reporting(ZeroDivisionError("oh")), "b": Reporting({"fine": True})}
        )

        self.assertEqual(found["components"]["b"], {"fine": True})
        self.assertEqual(
            found["problems"],
            ["a: it cannot report how it is: oh; see the node's log"],
        )
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
