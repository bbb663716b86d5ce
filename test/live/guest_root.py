# -*- test-case-name: cocained.test.live.test_isolates_guest -*-
"""
The root file system of a guest: a few programs, kernel modules, and as much of
this Python as one program of ours has imported.

A guest is an emulated machine: what has to be compiled or unpacked there takes
twenty times as long as here.  So modules come compiled, and only those that are
needed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import twisted.internet

#: Programs besides Python, and what busybox is called there.
PROGRAMS = ("/bin/busybox", "/sbin/ipvsadm", "/usr/sbin/nft")
APPLETS = (
    "sh mount insmod cat echo ip stty kill poweroff mkdir sleep rm rmdir chown find"
    " mkfifo sed setsid true"
).split()

#: Where the guest's Python looks for modules.
PATH = [entry for entry in sys.path if entry]

#: Packages that Twisted does without, and which take a guest seconds to import.
LEFT_OUT = {"OpenSSL", "cryptography", "service_identity"}

#: Writes the file of every module, at the end or when it is asked to.
_TRACE = """
import atexit, json, os, runpy, signal, sys
listing = sys.argv.pop(1)
def tell(*_):
    files = {getattr(each, "__file__", None) for each in list(sys.modules.values())}
    with open(listing + ".new", "w") as file:
        json.dump(sorted(filter(None, files)), file)
    os.rename(listing + ".new", listing)
atexit.register(tell)
signal.signal(signal.SIGUSR1, tell)
"""


def traced(code: str, listing: Path) -> tuple[str, ...]:
    """
    Give a command that tells what it imports, at its end or upon SIGUSR1.

    :param code: what to run, in which ``runpy`` and ``sys`` are at hand.
    :param listing: the file, for :func:`imported`.
    """
    return (sys.executable, "-c", _TRACE + code, str(listing))


def imported(listing: Path) -> set[Path]:
    """Read what a traced command has written: files of modules."""
    files = {Path(name) for name in json.loads(listing.read_text())}
    return {path for path in files if LEFT_OUT.isdisjoint(path.parts)}


class Root:
    """
    A directory that becomes a root file system.

    Everything is where it is here, so that all paths are the same.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in "bin sbin usr/bin usr/sbin proc sys dev tmp run etc".split():
            (directory / name).mkdir(parents=True)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Make a file."""
        target = self.directory / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def copy(self, path: Path) -> None:
        """Copy a file, under the name by which it is asked for."""
        target = self.directory / str(path).lstrip("/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path.resolve(), target)

    def copy_program(self, path: Path) -> None:
        """Copy a program or a library, and the libraries that it needs."""
        self.copy(path)
        for library in _libraries(path):
            self.copy(library)

    def copy_programs(self) -> None:
        """Copy the programs, and name busybox."""
        for name in PROGRAMS:
            self.copy_program(Path(name))
        for applet in APPLETS:
            (self.directory / "bin" / applet).symlink_to("/bin/busybox")

    def copy_python(self, modules: Iterable[Path]) -> None:
        """Copy the interpreter and these modules."""
        self.copy_program(Path(sys._base_executable))  # type: ignore[attr-defined]
        standard = Path(os.__file__).parent
        # What it needs to start at all, and what is imported when errors are told.
        named = [*standard.glob("encodings/*.py"), *standard.glob("*.py")]
        # It puts something else in its own place.
        named.append(Path(twisted.internet.__file__).with_name("reactor.py"))
        for path in {*modules, *named}:
            if path.suffix == ".so":
                self.copy_program(path)
            elif path.suffix == ".py":
                self._copy_module(path)
        (self.directory / str(standard).lstrip("/") / "lib-dynload").mkdir(
            exist_ok=True
        )

    def _copy_module(self, path: Path) -> None:
        self.copy(path)
        compiled = Path(importlib.util.cache_from_source(str(path)))
        if not compiled.exists():
            made = py_compile.compile(str(path), str(self._place(path)), doraise=True)
            compiled = Path(made)
        blob = bytearray(compiled.read_bytes())
        # "A hash of the source that nobody checks": the guest's clock and the
        # times of its files say nothing.
        blob[4:8] = (1).to_bytes(4, "little")
        self._place(path).write_bytes(blob)

    def _place(self, path: Path) -> Path:
        compiled = importlib.util.cache_from_source(str(path))
        target = self.directory / compiled.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def copy_drivers(self, kernel: Path, version: str, names: Iterable[str]) -> None:
        """Copy kernel modules and those that they need; ``/modules`` lists them."""
        files: dict[Path, None] = {}
        for name in names:
            for path in _drivers(kernel, version, name):
                files[path] = None
        for path in files:
            shutil.copy(path, self.directory / "tmp" / path.name)
        listing = "".join(f"/tmp/{path.name}\n" for path in files)
        self.write("/modules", listing)

    def pack(self, target: Path) -> None:
        """Write all of it as the kernel reads it at its start."""
        names = [
            f"./{path.relative_to(self.directory)}"
            for path in sorted(self.directory.rglob("*"))
        ]
        with target.open("wb") as file:
            subprocess.run(
                ["cpio", "--quiet", "-o", "-H", "newc"],
                input="\n".join([".", *names]).encode(),
                stdout=file,
                cwd=self.directory,
                check=True,
            )


def _libraries(path: Path) -> Iterator[Path]:
    found = subprocess.run(["ldd", path], capture_output=True, text=True, check=False)
    for name in re.findall(r"(/\S+)\s+\(0x", found.stdout):
        yield Path(name)


def _drivers(kernel: Path, version: str, name: str) -> Iterator[Path]:
    run = subprocess.run(
        ["modprobe", "-d", str(kernel), "-S", version, "--show-depends", name],
        capture_output=True,
        text=True,
        check=True,
    )
    for line in run.stdout.splitlines():
        word, _, rest = line.partition(" ")
        if word == "insmod":
            yield Path(rest.split()[0])
