# -*- test-case-name: cocained.test.test_tools_bench -*-
"""
Compiles the native programs of the benchmark, once for each state of their
sources.

They live in ``native/`` as plain C99 with no dependency but libc, and are
built with ``cc -O2`` when they are first used.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cocained.tools.bench.errors import BenchError

#: Where the sources are; shipped as package data.
SOURCES = Path(__file__).parent / "native"

#: The load generator and the worker.
LOAD, WORKER = "load", "echo_worker"

FLAGS = ("-std=c99", "-O2", "-Wall")

#: Each program takes a second; a compiler that needs a minute hangs.
COMPILE_TIMEOUT = 60.0

#: Shown of what a failing compiler prints.
COMPLAINT_LIMIT = 2000


def find_compiler(environment: Mapping[str, str] = os.environ) -> list[str]:
    """
    Find a C compiler: what ``CC`` names, else ``cc``, ``gcc`` or ``clang``.

    :param environment: has ``PATH`` and perhaps ``CC``.
    :returns: the command, possibly with arguments from ``CC``.
    :raises BenchError: there is none.
    """
    path = environment.get("PATH")
    wanted = shlex.split(environment.get("CC", ""))
    candidates = [wanted] if wanted else [["cc"], ["gcc"], ["clang"]]
    for candidate in candidates:
        found = shutil.which(candidate[0], path=path)
        if found is not None:
            return [found, *candidate[1:]]
    tried = ", ".join(candidate[0] for candidate in candidates)
    raise BenchError(
        f"no C compiler was found (tried {tried}): install gcc or clang, or name "
        "one in the environment variable CC"
    )


def cache_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """
    Give a directory of ours for compiled programs, made if it is missing.

    :param environment: ``XDG_CACHE_HOME`` and ``HOME`` are looked at; with
        neither of use, a directory for this user below the temporary one.
    :raises BenchError: none can be used.
    """
    candidates = []
    if os.path.isabs(environment.get("XDG_CACHE_HOME", "")):
        candidates.append(Path(environment["XDG_CACHE_HOME"]))
    elif os.path.isabs(environment.get("HOME", "")):
        candidates.append(Path(environment["HOME"]) / ".cache")
    candidates = [base / "cocained" / "bench" for base in candidates]
    candidates.append(Path(tempfile.gettempdir()) / f"cocained-bench-{os.getuid()}")
    problems = []
    for candidate in candidates:
        try:
            candidate.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_ours(candidate)
        except OSError as error:
            problems.append(f"{candidate}: {error.strerror or error}")
        else:
            return candidate
    raise BenchError(
        "no directory for the compiled programs: "
        + "; ".join(problems)
        + "; set XDG_CACHE_HOME to one that can be written"
    )


def _check_ours(directory: Path) -> None:
    """
    Refuse a directory into which others may put programs that we would run.
    """
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(20, "is no directory")
    if found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(13, "belongs to others or can be written by them")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise PermissionError(13, "cannot be written")


def _fingerprint(command: list[str], sources: Path) -> str:
    """Name a state of the sources and of the command that compiles them."""
    digest = hashlib.sha256(repr(command).encode())
    for source in sorted(sources.glob("*.[ch]")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def build(
    program: str,
    sources: Path = SOURCES,
    cache: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Path:
    """
    Give the path of a compiled program, compiling it if need be.

    :param program: :data:`LOAD` or :data:`WORKER`.
    :param sources: directory of the sources.
    :param cache: where to keep it; :func:`cache_directory` if not given.
    :param environment: see :func:`find_compiler`.
    :raises BenchError: no compiler, no sources, or the compiler refused them.
    """
    source = sources / f"{program}.c"
    if not source.is_file():
        raise BenchError(
            f"{source} is missing: the benchmark's C sources were not installed; "
            "run it from a checkout or install the package again"
        )
    command = [*find_compiler(environment), *FLAGS]
    directory = cache_directory(environment) if cache is None else cache
    target = directory / f"{program}-{_fingerprint(command, sources)}"
    if target.is_file():
        return target
    handle, temporary = tempfile.mkstemp(prefix=f"{program}.", dir=directory)
    os.close(handle)
    try:
        _compile([*command, "-o", temporary, str(source)])
        os.chmod(temporary, 0o755)
        # Two runs at once may both compile: each puts a whole program there.
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    return target


def _compile(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMPILE_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"{command[0]} could not be run: {error}") from error
    if done.returncode != 0:
        complaint = done.stdout.decode(errors="replace")[-COMPLAINT_LIMIT:].strip()
        raise BenchError(
            f"{command[0]} could not compile {command[-1]} "
            f"(status {done.returncode}): {complaint}"
        )
