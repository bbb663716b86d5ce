# -*- test-case-name: cocained.test.test_examples_docker -*-
"""
The modules of a demonstration, which lie beside the package.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

#: What the demonstrations have in common.
COMMON = "demonstration"


class DemoCase(SynchronousTestCase):
    """
    Tests of a demonstration.

    :cvar place: its directory.
    :cvar package: of its modules.
    """

    place: Path
    package: str

    def setUp(self) -> None:
        """Make the modules importable."""
        if not self.place.exists():
            raise SkipTest("the examples are not in an installed package")
        for place in (self.place, EXAMPLES):
            sys.path.insert(0, str(place))
            self.addCleanup(sys.path.remove, str(place))
        self.addCleanup(self._forget)

    def _forget(self) -> None:
        for name in list(sys.modules):
            if name.partition(".")[0] in (self.package, COMMON):
                del sys.modules[name]

    def load(self, name: str, package: str | None = None) -> Any:
        """Import a module of the demonstration, or of another package."""
        return importlib.import_module(f"{package or self.package}.{name}")
