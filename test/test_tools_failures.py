# -*- test-case-name: cocained.test.test_tools_failures -*-
"""Tests of :mod:`cocained.tools.failures`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import LocalProtocolError, RemoteError
from cocained.tools.failures import (
    BadValue,
    Exclusive,
    Missing,
    ServiceError,
    ToolError,
    is_unknown_service,
    need,
    report,
)


class ReportTests(SynchronousTestCase):
    """How errors are shown."""

    def test_statuses(self) -> None:
        """Each kind of error has its exit status."""
        statuses = [
            report(error).status
            for error in (
                ToolError("x"),
                BadValue("x"),
                Exclusive("x"),
                ValueError("x"),
                LocalProtocolError("x"),
                KeyError("x"),
            )
        ]
        self.assertEqual(statuses, [128, 22, 64, 22, 128, 128])

    def test_service(self) -> None:
        """A service's error is told in the published tool's words."""
        told = report(ServiceError("storage", RemoteError(12, 2, "no such key"), "h"))
        self.assertEqual(
            told.message, 'Error in service "storage" - no such key [12, 2]'
        )
        self.assertEqual(
            told.to_json(),
            {
                "error": {
                    "category": 12,
                    "code": 2,
                    "hint": "h",
                    "message": told.message,
                    "service": "storage",
                    "status": 128,
                }
            },
        )

    def test_bug(self) -> None:
        """What nobody expected names its type and how to learn more."""
        told = report(ZeroDivisionError("oh"))
        self.assertEqual(told.message, "ZeroDivisionError: oh")
        self.assertIn("-v", told.hint)

    def test_zero_code(self) -> None:
        """A code of 0 is a code."""
        self.assertEqual(report(RemoteError(42, 0, "x")).to_json()["error"]["code"], 0)


class MissingTests(SynchronousTestCase):
    """Things that do not exist."""

    def hint(self, name: str, names: list[str]) -> str:
        """The hint for a name."""
        return Missing("app", name, names, "cocaine-tool app list").hint

    def test_near(self) -> None:
        """Near names are suggested."""
        self.assertIn("did you mean echo?", self.hint("ecko", ["echo", "other"]))

    def test_few(self) -> None:
        """Without near ones a few are listed."""
        self.assertEqual(self.hint("x", ["b", "a"]), "there are: a, b")

    def test_many(self) -> None:
        """Of many some are listed, and where to find the others."""
        hint = self.hint("x", [f"app-{n:02}" for n in range(20)])
        self.assertIn("app-09 and others", hint)
        self.assertIn("cocaine-tool app list", hint)

    def test_none(self) -> None:
        """That there are none is told."""
        self.assertIn("there are none yet", self.hint("x", []))


class HelpTests(SynchronousTestCase):
    """Small questions."""

    def test_need(self) -> None:
        """An option one cannot do without is demanded by its flag."""
        self.assertEqual(need("x", "name", "-n"), "x")
        for missing in (None, ""):
            with self.assertRaisesRegex(BadValue, "the name is missing"):
                need(missing, "name", "-n")

    def test_unknown_service(self) -> None:
        """Only the locator's own word says that there is no such service."""
        self.assertTrue(is_unknown_service(RemoteError(10, 1)))
        self.assertFalse(is_unknown_service(RemoteError(10, 2)))
        self.assertFalse(is_unknown_service(None))
