# -*- test-case-name: cocained.test.test_examples_docker -*-
"""
The machine: what must be installed, and namespaces of our own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cocained.testing.docker import LabError, lacking
from docker_demo.screen import Screen

#: Programs that the demonstration starts.
PROGRAMS = (
    *("dockerd", "docker-init", "runc", "docker-registry"),
    *("busybox", "ldd", "ip", "unshare"),
)

#: Where root's programs are, which a user's path may lack.
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"

#: Seconds to wait for another package manager.
LOCK_TIMEOUT = 600

#: Asked by packages before they start their service; 101 says no.
POLICY = Path("/usr/sbin/policy-rc.d")
REFUSE = "#!/bin/sh\nexit 101\n"

#: Lines shown of a package manager that failed.
TAIL = 15

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
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
    packages = sorted(set(lacking(PROGRAMS).values()))
    if packages:
        install(screen, packages)
    else:
        screen.say("all there: " + ", ".join(PROGRAMS))
    done = subprocess.run([*UNSHARE, "true"], check=False, capture_output=True)
    if done.returncode:
        raise LabError(
            "cannot make namespaces:"
            f" {done.stderr.decode(errors='replace').strip()}; inside of a container"
            " this needs CAP_SYS_ADMIN (docker run --privileged)"
        )


def install(screen: Screen, packages: Sequence[str]) -> None:
    """
    Install packages; their services are not started.

    :raises LabError: that failed.
    """
    apt = shutil.which("apt-get")
    if apt is None:
        raise LabError(
            "there is no apt-get here; install with this machine's own tools what"
            f" Debian calls {', '.join(packages)}, then try again"
        )
    options = ("-qq", "-o", f"DPkg::Lock::Timeout={LOCK_TIMEOUT}")
    commands = (
        (apt, *options, "update"),
        (apt, *options, "install", "-y", "--no-install-recommends", *packages),
    )
    with no_services(POLICY), screen.bar("installing"):
        for command in commands:
            screen.command(*command)
            run_apt(command)
    still = lacking(PROGRAMS)
    if still:
        raise LabError(
            f"installed {' '.join(packages)}, but there is no {', '.join(still)}"
        )
    if "docker.io" in packages:
        screen.say(
            "Docker's own service was not started; after the next boot it runs,"
            " unless you say: systemctl disable docker"
        )


def run_apt(command: Sequence[str]) -> None:
    """
    Run one command of the package manager.

    :raises LabError: it failed; with the end of what it said.
    """
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )
    if done.returncode:
        lines = done.stdout.decode(errors="replace").splitlines()[-TAIL:]
        raise LabError(
            f"{' '.join(command)} ended with {done.returncode} (is there a network,"
            " and has the distribution these packages?); it said:\n" + "\n".join(lines)
        )


@contextlib.contextmanager
def no_services(policy: Path) -> Iterator[None]:
    """
    Let packages start no services in a block, unless there is a policy already.

    An engine that starts for the whole machine would change its firewall.
    """
    if policy.exists():
        yield
        return
    policy.write_text(REFUSE)
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


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
