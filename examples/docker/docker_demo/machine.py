# -*- test-case-name: cocained.test.test_examples_docker -*-
"""
The machine: what must be installed, and namespaces of our own.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from cocained.testing.docker import LabError
from demonstration import packages
from demonstration.screen import Screen

#: Programs that the demonstration starts.
PROGRAMS = (
    *("dockerd", "docker-init", "runc", "docker-registry"),
    *("busybox", "ldd", "ip", "unshare"),
)

#: What the rest of the demonstration runs in: a network without a way out, and
#: mounts that nobody else sees and that end with the last process.
UNSHARE = ("unshare", "--net", "--mount")


#: What an engine would find of the machine's own one, or leave to it: its
#: containerd, which it would use, its settings and key, and an empty directory.
OTHERS = (Path("/run/containerd"), Path("/etc/docker"), Path("/opt/containerd"))


def prepare(screen: Screen) -> None:
    """
    See that everything is here, or install it.

    :raises LabError: we are not root, there is no ``apt-get``, a package cannot
        be installed, or namespaces cannot be had.
    """
    if os.geteuid() != 0:
        raise LabError("a Docker Engine needs root: sudo make docker-demo")
    if "docker.io" in packages.provide(screen, PROGRAMS):
        screen.say(
            "Docker's own service was not started; after the next boot it runs,"
            " unless you say: systemctl disable docker"
        )
    done = subprocess.run([*UNSHARE, "true"], check=False, capture_output=True)
    if done.returncode:
        raise LabError(
            "cannot make namespaces:"
            f" {done.stderr.decode(errors='replace').strip()}; inside of a container"
            " this needs CAP_SYS_ADMIN (docker run --privileged)"
        )


def enter(command: Iterable[str]) -> None:
    """Go on as *command* in namespaces of our own; does not return."""
    os.execvp(UNSHARE[0], [*UNSHARE, "--", *command])


def bring_up_loopback() -> None:
    """Make ``127.0.0.1`` of a fresh network namespace work."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


@contextlib.contextmanager
def hidden(*places: Path) -> Iterator[None]:
    """
    Cover directories with empty ones in a block, in our mount namespace only.

    :param places: those that were not there are not there afterwards.
    """
    with contextlib.ExitStack() as stack:
        for place in places:
            if not place.exists():
                place.mkdir(parents=True)
                stack.callback(place.rmdir)
            command = ("mount", "-t", "tmpfs", "-o", "mode=0755", "demo", str(place))
            subprocess.run(command, check=True)
            # Lazily: a shim that is about to end may have a socket there.
            stack.callback(subprocess.run, ["umount", "-l", str(place)], check=True)
        yield


def remove_cgroups(name: str, root: Path = Path("/sys/fs/cgroup")) -> None:
    """
    Remove the control groups that an engine has made for its containers.

    :param name: its ``--cgroup-parent``.
    """
    for group in (root / name, *root.glob(f"*/{name}")):
        with contextlib.suppress(FileNotFoundError):
            group.rmdir()
