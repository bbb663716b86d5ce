# -*- test-case-name: cocained.test.test_fuzz -*-
"""
The process that fuzzes one target; started by :mod:`cocained.test.fuzz.campaign`.

``python -m cocained.test.fuzz.child TARGET LAUNCHER [libFuzzer's arguments]``

libFuzzer ends the process by itself, and starts its like with *LAUNCHER* when
it merges corpora.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Sequence

import cocained.test
import cocained.test.fuzz
from cocained.test.fuzz.targets import NAMES, load


def unmeasured() -> list[str]:
    """Name our own modules: their branches are nothing to explore."""
    return [
        module.name
        for package in (cocained.test, cocained.test.fuzz)
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    ]


def main(arguments: Sequence[str]) -> None:
    """
    Fuzz until libFuzzer is done.

    :param arguments: name of the target, the launcher, and what libFuzzer gets.
    """
    name, launcher, *rest = arguments
    if name not in NAMES:
        raise SystemExit(f"there is no target {name!r}")
    # Not an import statement: it is an extra, and has no types.
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["cocained"], exclude=unmeasured()):
        target = load(name)
    atheris.Setup([launcher, *rest], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
