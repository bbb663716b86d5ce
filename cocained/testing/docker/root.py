# -*- test-case-name: cocained.test.test_testing_docker -*-
"""
The smallest root file system that runs a Python worker.

Everything is copied from this machine, each file to the place that it has
here: the interpreter that runs this, its standard library, what ``ldd`` says
that they load, busybox, and packages.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgpack

from cocained.testing.programs import require

#: Where it has the packages: what ``PYTHONPATH`` must be.
LIBRARY = "/app/lib"

#: Names of the interpreter, wherever it really is.
PYTHONS = ("usr/bin/python3", "usr/bin/python")

#: Commands of busybox that one likes to have.
APPLETS = ("sh", "ls", "cat", "sleep", "kill", "ps", "env", "id", "head", "grep")

#: Parts of the standard library that no worker needs; half of its size.
HEAVY = shutil.ignore_patterns(
    *("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3"),
    *("pydoc_data", "__pycache__", "config-*", "dist-packages", "site-packages"),
    *("_tkinter*", "_test*"),
)

#: Libraries that programs load by name, of which ``ldd`` knows nothing; older
#: extension modules want the first four, empty since glibc 2.34.
UNSEEN = (
    *("libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1"),
    *("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"),
)

#: Directories that a container expects, and links that Debian has.
DIRECTORIES = ("usr/bin", "usr/lib", "usr/lib64", "etc", "proc", "sys", "dev", "run")
LINKS = ("bin", "lib", "lib64")
TEMPORARY = ("tmp", "var/tmp")

FILES = {
    "etc/passwd": "root:x:0:0:root:/:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
    "etc/hosts": "127.0.0.1 localhost\n",
}


def make_root(root: Path, packages: Iterable[Path]) -> None:
    """
    Fill a directory; that takes some seconds and about 40 MB.

    :param root: an empty one.
    :param packages: directories of further Python packages, to :data:`LIBRARY`;
        ``msgpack`` is always there.
    :raises LabError: a program that this needs, or is to copy, is missing.
    """
    require(("busybox", "ldd"))
    for name in DIRECTORIES:
        (root / name).mkdir(parents=True)
    for name in LINKS:
        (root / name).symlink_to(f"usr/{name}")
    for name in TEMPORARY:
        (root / name).mkdir(parents=True)
        (root / name).chmod(0o1777)
    for name, text in FILES.items():
        (root / name).write_text(text)
    _copy_python(root)
    _copy_busybox(root)
    library = root / LIBRARY.lstrip("/")
    for package in (Path(msgpack.__file__).parent, *packages):
        shutil.copytree(package, library / package.name, ignore=HEAVY)
    for path in _libraries(_programs(root)):
        _copy(path, root)


def _copy(source: Path, root: Path) -> None:
    """Copy a file, links followed, to the place that it has here."""
    place = root / str(source).lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, place)


def _copy_python(root: Path) -> None:
    """Copy the interpreter below the virtual environment, and its library."""
    # ``_base_executable`` is what ``venv`` itself uses; it may be a link, too.
    interpreter = Path(os.path.realpath(sys.executable))
    _copy(interpreter, root)
    for name in PYTHONS:
        if not os.path.lexists(root / name):
            (root / name).symlink_to(interpreter)
    library = Path(sysconfig.get_paths()["stdlib"])
    shutil.copytree(library, root / str(library).lstrip("/"), ignore=HEAVY)


def _copy_busybox(root: Path) -> None:
    """Copy busybox, under its own name and those of :data:`APPLETS`."""
    shutil.copy2(_busybox(), root / "usr/bin/busybox")
    for applet in APPLETS:
        (root / "usr/bin" / applet).symlink_to("busybox")


def _busybox() -> Path:
    return Path(os.path.realpath(shutil.which("busybox") or "busybox"))


def _programs(root: Path) -> Iterator[Path]:
    """Find what the dynamic linker has to do with."""
    yield Path(os.path.realpath(sys.executable))
    yield _busybox()
    yield from root.rglob("*.so*")


def _libraries(programs: Iterable[Path]) -> Iterator[Path]:
    """Give each library that *programs* load, and its neighbours of `UNSEEN`."""
    found: set[Path] = set()
    for program in programs:
        done = subprocess.run(
            ["ldd", str(program)], capture_output=True, text=True, check=False
        )
        # "libc.so.6 => /lib/…/libc.so.6 (0x…)", or a path alone for the linker.
        for line in done.stdout.splitlines():
            words = line.replace("=>", " ").split()
            found.update(Path(word) for word in words if word.startswith("/"))
    yield from found
    for directory in {path.parent for path in found}:
        yield from (directory / name for name in UNSEEN if (directory / name).exists())
