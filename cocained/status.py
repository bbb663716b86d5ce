# -*- test-case-name: cocained.test.test_isolates_child -*-
"""
How a process ended, in words; for isolates and their doubles.
"""

from __future__ import annotations

import signal


def exit_reason(status: int) -> tuple[str, bool]:
    """
    Put the status of a collected process into words.

    :param status: as ``subprocess`` gives it: negative for signals.
    :returns: the words, and whether that was abnormal, as
        :meth:`cocained.interfaces.IWorkerObserver.exited` wants them.
    """
    if status >= 0:
        return f"exited with status {status}", status != 0
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"was killed by {name}", True
