# -*- test-case-name: cocained.test.test_loggers_file -*-
"""The logger ``console``: lines to standard error."""

from __future__ import annotations

import os

from typing_extensions import override

from cocained.loggers.writer import DescriptorLogger, LineArgs


class ConsoleArgs(LineArgs, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """Arguments of the logger type ``console``."""


class ConsoleLogger(DescriptorLogger[ConsoleArgs]):
    """
    Writes to the descriptor of standard error, as a supervisor expects.

    It is looked up when the logger starts, after the node has become a daemon.
    """

    Args = ConsoleArgs

    #: Standard error.
    descriptor = 2

    @override
    def _thd_descriptor(self) -> int:
        # A copy: closing ours must not close everybody's.
        return os.dup(self.descriptor)
