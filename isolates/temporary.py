# -*- test-case-name: cocained.test.test_isolates_temporary -*-
"""
Temporary directories, one for each worker::

    <spool>/<app>/.temporary-<random>/<worker>

The middle one is claimed (:mod:`~cocained.isolates.claims`) while the app runs,
so what dead nodes left is known and removed with the next start of the app.
"""

from __future__ import annotations

import errno
import os
import secrets
import subprocess

from cocained.isolates.claims import abandoned, claim

#: Begins the names of these directories.  No version of the code has a dot
#: and this in front.
PREFIX = ".temporary-"

#: Characters of a complaint of ``rm`` that are repeated; it has one line for
#: each file.
COMPLAINT = 300


class Temporaries:
    """
    The temporary directories of one app's workers.

    Everything but :meth:`make` runs in a thread.

    :param directory: of the app, in the spool.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._root = os.path.join(directory, PREFIX + secrets.token_hex(8))
        self._claim: int | None = None

    def open(self) -> list[str]:
        """
        Begin, and remove what dead nodes left.

        :returns: what was removed.
        :raises OSError: nothing can be made there.
        """
        self._claim = claim(self._root, 0o711)
        # Against a umask that keeps other users out.
        os.chmod(self._root, 0o711)
        removed = []
        for name in sorted(os.listdir(self._directory)):
            path = os.path.join(self._directory, name)
            if name.startswith(PREFIX) and path != self._root:
                with abandoned(path) as is_free:
                    if is_free:
                        remove(path)
                        removed.append(path)
        return removed

    def make(self, worker: str, uid: int | None) -> str:
        """
        Make the directory of a worker.

        :param uid: to whom it belongs, by default to the node's user.
        :raises OSError: it cannot be made.
        """
        path = os.path.join(self._root, worker)
        os.mkdir(path, 0o700)
        if uid is not None:
            os.chown(path, uid, -1)
        return path

    def close(self) -> None:
        """Remove everything."""
        descriptor, self._claim = self._claim, None
        if descriptor is not None:
            remove(self._root)
            os.close(descriptor)


def remove(path: str) -> None:
    """
    Remove a tree that a worker has made, whatever it did to it.

    Runs in a thread.  Links are not followed, nor other file systems entered.
    ``rm`` does not mind trees that are deeper than Python's stack or longer
    than a path may be; ``shutil`` does.

    :raises OSError: something of it cannot be removed.
    """
    command = ["rm", "-rf", "--one-file-system", "--", path]
    if _run(command).returncode:
        # Directories that not even their owner may change.
        _run(["chmod", "-R", "u+rwx", "--", path])
        done = _run(command)
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise OSError(errno.ENOTEMPTY, said[:COMPLAINT], path)


def _run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
