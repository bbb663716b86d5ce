# -*- test-case-name: cocained.test.test_fuzz -*-
"""
A run of the fuzzer over one target: a child process, and what it reports.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from cocained.errors import CocainedError
from cocained.test.fuzz.targets import CORPUS, REGRESSION, Target, inputs, load

#: Seconds that one input may take; most take a thousandth of one.
INPUT_TIMEOUT = 20

#: MiB that the child may take; a target takes some sixty.
MEMORY_LIMIT = 1024

#: Seconds beyond its time after which a child is taken for stuck.
GRACE = 60.0

#: Bytes of the largest input that is kept with the tests.
KEPT_SIZE = 4096

#: Lines of a child's words that are kept for a finding.
TAIL_LINES = 60

_STATUS = re.compile(r"#(\d+)\s.*?cov: (\d+) ft: (\d+) corp: (\d+)")
_TOTAL = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_SPEED = re.compile(r"exec/s: (\d+)")


class FuzzerMissing(CocainedError):
    """``atheris`` is not there."""


class FuzzerFailed(CocainedError):
    """The fuzzer itself did not work."""


@dataclass(slots=True)
class Report:
    """
    What a run came to.

    :ivar name: of the target.
    :ivar executions: inputs tried.
    :ivar speed: inputs per second, as the fuzzer counted them last.
    :ivar coverage: branches seen.
    :ivar features: the same, with how often each was taken.
    :ivar corpus: inputs worth keeping.
    :ivar findings: files with inputs that break a law.
    :ivar tail: the child's last lines.
    """

    name: str
    executions: int = 0
    speed: int = 0
    coverage: int = 0
    features: int = 0
    corpus: int = 0
    findings: list[Path] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)

    def read(self, line: str) -> bool:
        """
        Take one line of the child.

        :returns: whether it says how far the fuzzer is.
        """
        if total := _TOTAL.search(line):
            self.executions = int(total[1])
        if speed := _SPEED.search(line):
            self.speed = int(speed[1])
        status = _STATUS.match(line)
        if status:
            self.executions, self.coverage, self.features, self.corpus = (
                int(number) for number in status.groups()
            )
            return True
        if not line.startswith("INFO: Instrumenting"):
            self.tail.append(line)
        del self.tail[:-TAIL_LINES]
        return False


def require_fuzzer(find: Callable[[str], object] = find_spec) -> None:
    """
    Look for ``atheris``.

    :param find: gives ``None`` for a module that is not there.
    :raises FuzzerMissing: it is not installed.
    """
    if find("atheris") is None:
        raise FuzzerMissing(
            "the fuzzer atheris is not installed: pip install 'cocained[fuzz]'"
            " (there are builds for Python 3.11 to 3.13);"
            " --reproduce and the unit tests work without it"
        )


def fuzz(
    name: str, seconds: int, directory: Path, show: Callable[[Report], object]
) -> Report:
    """
    Fuzz one target.

    :param name: of the target.
    :param seconds: how long.
    :param directory: where new inputs go, and findings below ``findings``.
    :param show: called with the report each time when there is news.
    :raises FuzzerMissing: ``atheris`` is not there.
    :raises FuzzerFailed: it ended without a finding, and not in order.
    """
    require_fuzzer()
    found = directory / "findings"
    found.mkdir(parents=True, exist_ok=True)
    kept = directory / name
    kept.mkdir(exist_ok=True)
    prefix = found / f"{name}-"
    before = set(found.iterdir())
    target = load(name)
    with _workshop(name, target) as shop:
        status, report = _run(
            name,
            [
                *shop.command,
                f"-max_total_time={seconds}",
                f"-max_len={target.size}",
                f"-dict={shop.words}",
                f"-timeout={INPUT_TIMEOUT}",
                f"-rss_limit_mb={MEMORY_LIMIT}",
                f"-artifact_prefix={prefix}",
                "-print_final_stats=1",
                str(kept),
                str(shop.seeds),
                *_committed(name),
            ],
            seconds + GRACE,
            show,
        )
    report.findings = sorted(set(found.iterdir()) - before)
    if status and not report.findings:
        raise FuzzerFailed(
            f"the fuzzer of {name} ended with {status}:\n" + "\n".join(report.tail)
        )
    return report


def minimise(name: str, directory: Path) -> int:
    """
    Put inputs that cover what all cover, small ones first, into the kept corpus.

    :param name: of the target.
    :param directory: where earlier runs have put their inputs.
    :returns: how many there are now.
    :raises FuzzerFailed: the fuzzer did not merge.
    """
    require_fuzzer()
    target = load(name)
    with _workshop(name, target) as shop:
        merged = shop.top / "merged"
        merged.mkdir()
        sources = [str(shop.seeds), *_committed(name)]
        if (directory / name).is_dir():
            sources.append(str(directory / name))
        status, report = _run(
            name,
            [
                *shop.command,
                "-merge=1",
                f"-max_len={min(target.size, KEPT_SIZE)}",
                f"-timeout={INPUT_TIMEOUT}",
                str(merged),
                *sources,
            ],
            GRACE * 10,
            lambda report: None,
        )
        chosen = sorted(merged.iterdir())
        if status or not chosen:
            raise FuzzerFailed(
                f"the corpus of {name} cannot be merged:\n" + "\n".join(report.tail)
            )
        _replace(name, chosen)
    return len(chosen)


def _replace(name: str, chosen: Iterable[Path]) -> None:
    """Keep *chosen* and the regressions of a target, nothing else."""
    for old in inputs(name):
        if not old.name.startswith(REGRESSION):
            old.unlink()
    kept = CORPUS / name
    kept.mkdir(parents=True, exist_ok=True)
    for path in chosen:
        (kept / path.name[:12]).write_bytes(path.read_bytes())


def _committed(name: str) -> list[str]:
    return [str(CORPUS / name)] if inputs(name) else []


@dataclass(frozen=True, slots=True)
class _Workshop:
    """A directory with what a child needs."""

    top: Path
    seeds: Path
    words: Path
    command: Sequence[str]


@contextlib.contextmanager
def _workshop(name: str, target: Target) -> Iterator[_Workshop]:
    with tempfile.TemporaryDirectory(prefix="fuzz") as directory:
        top = Path(directory)
        seeds = top / "seeds"
        seeds.mkdir()
        for number, seed in enumerate(target.seeds()):
            (seeds / f"{number:04}").write_bytes(seed)
        words = top / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
        command = [sys.executable, "-m", "cocained.test.fuzz.child", name]
        # For merges, libFuzzer runs itself by the name that it was given.
        launcher = top / "launch"
        start = shlex.join([*command, str(launcher)])
        launcher.write_text(f'#!/bin/sh\nexec {start} "$@"\n')
        launcher.chmod(0o755)
        yield _Workshop(top, seeds, words, [*command, str(launcher)])


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _run(
    name: str,
    command: Sequence[str],
    timeout: float,
    show: Callable[[Report], object],
) -> tuple[int, Report]:
    """Run a child to its end; kill it after *timeout* seconds."""
    report = Report(name)
    # ``timeout`` of coreutils, as the child's words are read until they end.
    with subprocess.Popen(
        ["timeout", "-k", "5", f"{timeout:.0f}", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                if report.read(line.rstrip("\n")):
                    show(report)
        except BaseException:
            child.terminate()
            raise
    return child.returncode, report
