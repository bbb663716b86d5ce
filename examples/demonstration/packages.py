# -*- test-case-name: cocained.test.test_examples_docker -*-
"""
What a demonstration needs of the system's packages.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from cocained.testing.programs import LabError, lacking
from demonstration.screen import Screen

#: Where root's programs are, which a user's path may lack.
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"

#: Seconds to wait for another package manager.
LOCK_TIMEOUT = 600

#: Asked by packages before they start their service; 101 says no.
POLICY = Path("/usr/sbin/policy-rc.d")
REFUSE = "#!/bin/sh\nexit 101\n"

#: Lines shown of a package manager that failed.
TAIL = 15


def provide(screen: Screen, programs: Sequence[str]) -> list[str]:
    """
    See that programs are here, or install what has them.

    :returns: the packages that were installed.
    :raises LabError: there is no ``apt-get``, or a package cannot be installed.
    """
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
    packages = sorted(set(lacking(programs).values()))
    if packages:
        install(screen, packages)
        still = lacking(programs)
        if still:
            raise LabError(
                f"installed {' '.join(packages)}, but there is no {', '.join(still)}"
            )
    else:
        screen.say("all there: " + ", ".join(programs))
    return packages


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
