# -*- test-case-name: cocained.test.test_loggers_file -*-
"""The logger ``file``: lines appended to a file, which may be rotated."""

from __future__ import annotations

import os
from typing import Annotated

import msgspec
from twisted.python.failure import Failure
from typing_extensions import override

from cocained.loggers.writer import DescriptorLogger, LineArgs

#: Log files can hold what users sent: for the owner and the group only.
MODE = 0o640


class FileArgs(
    LineArgs, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True
):
    """Arguments of the logger type ``file``."""

    path: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            description="The file; created if missing, in a directory that exists.",
        ),
    ]


class FileLogger(DescriptorLogger[FileArgs]):
    """
    Appends to a file; SIGHUP makes it open the path anew (protocol.md §12.6).

    A path that cannot be opened ends the start.  On SIGHUP it only brings a
    notice, and lines go to the old file as before.
    """

    Args = FileArgs

    @override
    def reopen(self) -> None:
        if self._is_open:
            self._lane.run(self._thd_open).addErrback(self._eb_reopened)

    def _eb_reopened(self, failure: Failure) -> None:
        self._complain(
            f"the log file cannot be opened anew ({failure.getErrorMessage()}); "
            "lines go to the old one"
        )

    @override
    def _thd_descriptor(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
        # Non-blocking only to open: a FIFO without a reader is an error then.
        path = self.node.resolve(self.args.path)
        fd = os.open(path, flags | os.O_NONBLOCK, MODE)
        os.set_blocking(fd, True)
        return fd
