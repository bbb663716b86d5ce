# -*- test-case-name: cocained.test.test_fuzz -*-
"""
Tests of :mod:`cocained.test.fuzz`: inputs that are kept pass, and bugs do not.

One test runs the fuzzer itself, in a process of its own, where it is installed.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import msgpack
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from cocained.apps.documents import Manifest, Profile
from cocained.clusters.announcement import Announcement
from cocained.config import NodeConfig, loads
from cocained.errors import CocainedError, ConfigError, UnicornError
from cocained.isolates.archive.members import Member
from cocained.isolates.archive.tree import Tree
from cocained.isolates.spool import Spool
from cocained.links.tidings import Reader, Tidings
from cocained.rpc.codec import Decoder, Frame, Pairs
from cocained.rpc.headers import Header, HeaderTable
from cocained.rpc.session import Session
from cocained.test.fuzz.__main__ import FOUND, OK, USAGE, main, progress, reproduce
from cocained.test.fuzz.campaign import (
    KEPT_SIZE,
    FuzzerMissing,
    Report,
    fuzz,
    require_fuzzer,
)
from cocained.test.fuzz.targets import CORPUS, NAMES, Violation, inputs, law, load
from cocained.test.fuzz.wire import canonical
from cocained.unicorns.journal import JOURNAL, Journal
from cocained.unicorns.tree import State

#: Files and bytes that are kept for one target: a clone carries them.
MOST_FILES = 400
MOST_BYTES = 256 * 1024


def module_of(name: str) -> ModuleType:
    return importlib.import_module(f"cocained.test.fuzz.{name}")


class KeptInputTests(SynchronousTestCase):
    """What is in ``corpus/``."""

    def test_known(self) -> None:
        """Every directory belongs to a target, and every target has one."""
        self.assertEqual(sorted(os.listdir(CORPUS)), sorted(NAMES))

    def test_small(self) -> None:
        """There are some inputs for each target, and not too many."""
        for name in NAMES:
            sizes = [path.stat().st_size for path in inputs(name)]
            self.assertTrue(10 <= len(sizes) <= MOST_FILES, (name, len(sizes)))
            self.assertLessEqual(max(sizes), KEPT_SIZE, name)
            self.assertLessEqual(sum(sizes), MOST_BYTES, name)


class TargetCase:
    """
    What is true of each target; mixed into a test case.

    :cvar name: of the target.
    """

    name: ClassVar[str]

    def everything(self: Any) -> Iterable[tuple[str, bytes]]:
        """Give kept inputs and seeds, each with a name."""
        for path in inputs(self.name):
            yield path.name, path.read_bytes()
        for number, seed in enumerate(load(self.name).seeds()):
            yield f"seed {number}", seed

    def test_passes(self: Any) -> None:
        """Every input that is kept, every seed, and no input at all, pass."""
        run = load(self.name).run
        run(b"")
        for name, data in self.everything():
            try:
                run(data)
            except Exception as error:
                self.fail(f"{self.name}: {name} breaks a law: {error!r}")

    def test_seeds(self: Any) -> None:
        """There are seeds, no two alike, and all fit the target."""
        target = load(self.name)
        seeds = list(target.seeds())
        self.assertGreaterEqual(len(seeds), 10)
        self.assertEqual(len(seeds), len(set(seeds)))
        self.assertLessEqual(max(map(len, seeds)), target.size)

    def assert_caught(self: Any, subject: Any, part: str) -> None:
        """
        See that some input shows a bug.

        :param subject: the code with a bug, in the place of that under test.
        :param part: of the law that it breaks.
        """
        told = []
        for _, data in self.everything():
            try:
                module_of(self.name).check(data, subject)
            except Exception as error:
                told.append(f"{type(error).__name__}: {error}")
                if part in told[-1]:
                    return
        self.fail(f"nothing says {part!r}, only {told[:5]}")


class DecoderTests(TargetCase, SynchronousTestCase):
    """The target ``decoder``."""

    name = "decoder"

    def test_lost_frame(self) -> None:
        """A frame that is lost when two come in one read is found."""

        class Forgetful(Decoder):
            @override
            def decode(self, data: bytes) -> list[Frame]:
                return super().decode(data)[:1]

        self.assert_caught(Forgetful, "the same frames")

    def test_no_limit(self) -> None:
        """A decoder that believes any length is found."""

        class Trusting(Decoder):
            def __init__(self, frame_limit: int, array_limit: int) -> None:
                super().__init__(1 << 40, array_limit)

        self.assert_caught(Trusting, "beyond the limit is refused")

    def test_hoarder(self) -> None:
        """A decoder that keeps what it has seen is found."""

        class Hoarder(Decoder):
            @override
            def decode(self, data: bytes) -> list[Frame]:
                self.hoard = [bytes(1 << 20) for _ in range(8)]
                return super().decode(data)

        self.assert_caught(Hoarder, "what is kept is bounded")


class HeaderTests(TargetCase, SynchronousTestCase):
    """The target ``headers``."""

    name = "headers"

    def test_no_eviction(self) -> None:
        """A table that grows without end is found."""

        class Endless(HeaderTable):
            @override
            def _store(self, header: Header) -> None:
                self._entries.appendleft(header)

        self.assert_caught(Endless, "tables keep")

    def test_wrong_end(self) -> None:
        """A table that counts from the wrong end is found."""

        class Reversed(HeaderTable):
            @override
            def _store(self, header: Header) -> None:
                self._entries.append(header)

        self.assert_caught(Reversed, "tables keep")


class SessionTests(TargetCase, SynchronousTestCase):
    """The target ``session``."""

    name = "session"

    def test_silent_end(self) -> None:
        """A session that does not tell its channels of the end is found."""

        class Silent(Session):
            @override
            def _discard_channels(self, error: CocainedError) -> None:
                self.channels.clear()

        self.assert_caught(Silent, "every stream ends once")

    def test_open_end(self) -> None:
        """A session that keeps its channels is found."""

        class Clinging(Session):
            @override
            def _discard_channels(self, error: CocainedError) -> None:
                pass

        self.assert_caught(Clinging, "nothing is left open")

    def test_raise(self) -> None:
        """A session that lets an error out is found."""

        class Brittle(Session):
            @override
            def receive(self, data: bytes) -> None:
                raise KeyError(data)

        self.assert_caught(Brittle, "KeyError")


class DocumentTests(TargetCase, SynchronousTestCase):
    """The target ``documents``."""

    name = "documents"

    def test_leak(self) -> None:
        """An error of another kind is found."""

        class Leaking(Manifest, frozen=True, kw_only=True):
            @classmethod
            @override
            def from_mapping(cls, name: str, document: Any) -> Manifest:
                if not document:
                    raise KeyError("slave")
                return Manifest.from_mapping(name, document)

        self.assert_caught({"manifest": Leaking}, "KeyError")

    def test_lost_key(self) -> None:
        """A profile that writes out something else than it has read is found."""

        class Losing(Profile, frozen=True, kw_only=True):
            @override
            def to_mapping(self) -> dict[str, Any]:
                return {**super().to_mapping(), "pool-limit": 17}

        self.assert_caught({"profile": Losing}, "profiles survive")


class ConfigTests(TargetCase, SynchronousTestCase):
    """The target ``config``."""

    name = "config"

    def test_leak(self) -> None:
        """An error of another kind is found."""

        def load(text: str, *rest: str) -> NodeConfig:
            int(text.partition(":")[2] or 0)
            return loads(text, *rest)

        self.assert_caught(load, "ValueError")

    def test_wrong_line(self) -> None:
        """A line that is not in the file is found."""

        def load(text: str, *rest: str) -> NodeConfig:
            try:
                return loads(text, *rest)
            except ConfigError as error:
                raise ConfigError(error.reason, "", 1000, "f") from error

        self.assert_caught(load, "lines are lines")


class ArchiveTests(TargetCase, SynchronousTestCase):
    """The target ``archive``."""

    name = "archive"

    def test_escape(self) -> None:
        """Links that lead out of their directory are found."""

        class Careless(Tree):
            @override
            def _add_symlink(
                self, place: bytes, parts: list[bytes], member: Member
            ) -> None:
                os.symlink(member.target, place)

        class CarelessSpool(Spool):
            tree = Careless

        self.assert_caught(CarelessSpool, "links stay inside")

    def test_honest(self) -> None:
        """Honest seeds are unpacked, so that what follows is looked at."""
        unpacked = []

        class Remembering(Spool):
            @override
            def prepare(self, archive: bytes, *rest: Any) -> str:
                unpacked.append(super().prepare(archive, *rest))
                return unpacked[-1]

        for seed in load(self.name).seeds():
            module_of(self.name).check(seed, Remembering)
        self.assertGreaterEqual(len(unpacked), 5)

    def test_leftovers(self) -> None:
        """What stays of a refused archive is found."""

        class Untidy(Spool):
            @override
            def prepare(self, archive: bytes, *rest: Any) -> str:
                os.makedirs(os.path.join(self.directory, "left"), exist_ok=True)
                return super().prepare(archive, *rest)

        self.assert_caught(Untidy, "nothing stays")


class AnnouncementTests(TargetCase, SynchronousTestCase):
    """The target ``announcement``."""

    name = "announcement"

    def test_leak(self) -> None:
        """A reader that lets an error of its library out is found."""

        def read(datagram: bytes) -> Announcement:
            msgpack.unpackb(datagram, raw=True)
            return Announcement.from_datagram(datagram)

        self.assert_caught(read, "ExtraData")

    def test_believer(self) -> None:
        """A reader that believes any address is found."""

        def read(datagram: bytes) -> Announcement:
            found = Announcement.from_datagram(datagram)
            return found._replace(endpoints=[(f"{host}%\n", 1) for host, _ in found[1]])

        self.assert_caught(read, "an address can stand in a log")


class TidingsTests(TargetCase, SynchronousTestCase):
    """The target ``tidings``."""

    name = "tidings"

    def test_confused(self) -> None:
        """A reader that takes one message for another is found."""

        class Confused(Reader):
            times = 0

            @override
            def _extra(self, headers: Iterable[Header]) -> Mapping[str, Any]:
                self.times += 1
                return {"times": self.times}

        self.assert_caught(Confused, "what is remembered is what was read")

    def test_doubling(self) -> None:
        """A reader that keeps both of two offers of a name is found."""

        class Doubling(Reader):
            @override
            def read(self, args: list[Any], headers: Iterable[Header]) -> Tidings:
                found = super().read(args, headers)
                return Tidings(found.uuid, [*found.offers, *found.offers])

        self.assert_caught(Doubling, "no name comes twice")

    def test_leak(self) -> None:
        """A reader that lets an error of Python out is found."""

        class Trusting(Reader):
            @override
            def read(self, args: list[Any], headers: Iterable[Header]) -> Tidings:
                args[1][0]
                return super().read(args, headers)

        self.assert_caught(Trusting, "IndexError")


class JournalTests(TargetCase, SynchronousTestCase):
    """The target ``journal``."""

    name = "journal"

    def test_overlooks_damage(self) -> None:
        """A journal that lets a refused file go is found."""

        class Careless(Journal):
            @override
            def _damage(self, at: int) -> UnicornError:
                os.unlink(os.path.join(self.folder, JOURNAL))
                return super()._damage(at)

        self.assert_caught(Careless, "FileNotFoundError")

    def test_forgets(self) -> None:
        """A journal that says that it kept what it did not is found."""

        class Forgetful(Journal):
            @override
            def note(self, states: list[State]) -> None:
                pass

        self.assert_caught(Forgetful, "what was kept is there again")

    def test_keeps_sessions(self) -> None:
        """A journal that brings ephemeral nodes back is found."""

        class Clinging(Journal):
            @override
            def open(self) -> None:
                self._tree.ephemeral = list  # type: ignore[method-assign]
                super().open()

        self.assert_caught(Clinging, "sessions of before are over")


class LawTests(SynchronousTestCase):
    """How targets say what is wrong."""

    def test_holds(self) -> None:
        """A law that holds says nothing; one that does not shows the facts."""
        law(True, "fine")
        error = self.assertRaises(Violation, law, False, "counted", 3, b"x")
        self.assertEqual(str(error), "counted; 3; b'x'")

    def test_canonical(self) -> None:
        """Values that differ on the wire differ, whatever ``==`` says."""
        self.assertNotEqual(canonical(True), canonical(1))
        self.assertNotEqual(canonical([]), canonical(Pairs()))
        nan = float("nan")
        self.assertEqual(canonical([nan]), canonical([nan]))
        self.assertEqual(
            canonical(Pairs([(1, [b"a"]), ([], None)])), b"\x82\x01\x91\xa1a\x90\xc0"
        )

    def test_deep(self) -> None:
        """Values nest as deep as frames may."""
        value: list[Any] = []
        for _ in range(5000):
            value = [value]
        self.assertEqual(canonical(value), b"\x91" * 5000 + b"\x90")


class ReportTests(SynchronousTestCase):
    """What the fuzzer prints."""

    def test_progress(self) -> None:
        """Lines of progress are read, whatever else is in them."""
        report = Report("decoder")
        self.assertTrue(
            report.read(
                "#38646\tNEW    cov: 100 ft: 332 corp: 95/1821b lim: 135"
                " exec/s: 12882 rss: 45Mb L: 133/133 MS: 3 InsertByte-"
            )
        )
        self.assertEqual(
            [report.executions, report.coverage, report.features, report.corpus],
            [38646, 100, 332, 95],
        )
        self.assertEqual(report.speed, 12882)
        self.assertEqual(report.tail, [])

    def test_total(self) -> None:
        """The last count is exact."""
        report = Report("decoder")
        self.assertFalse(report.read("stat::number_of_executed_units: 44657"))
        self.assertEqual(report.executions, 44657)

    def test_tail(self) -> None:
        """Of other lines the last ones are kept, but no list of modules."""
        report = Report("decoder")
        report.read("INFO: Instrumenting cocained.errors")
        for number in range(1000):
            report.read(f"line {number}")
        self.assertEqual(report.tail[-1], "line 999")
        self.assertLess(len(report.tail), 100)
        self.assertNotIn("INFO", "".join(report.tail))

    def test_pace(self) -> None:
        """Progress is shown now and then, not each time."""
        times = iter([0.0, 1.0, 9.0, 10.0, 10.0, 11.0])
        said: list[str] = []
        show = progress(said.append, lambda: next(times))
        for _ in range(4):
            show(Report("decoder", executions=5))
        self.assertEqual(len(said), 1)
        self.assertIn("5 executions", said[0])


class CommandTests(SynchronousTestCase):
    """``python -m cocained.test.fuzz``."""

    def setUp(self) -> None:
        self.said: list[str] = []
        self.runs: list[tuple[str, int, Path]] = []
        self.findings: list[Path] = []

    def run_one(
        self, name: str, seconds: int, directory: Path, show: Callable[..., object]
    ) -> Report:
        self.runs.append((name, seconds, directory))
        return Report(name, executions=7, findings=self.findings, tail=["why"])

    def command(self, *arguments: str) -> int:
        return main(arguments, self.said.append, lambda: 0.0, self.run_one)

    def test_all(self) -> None:
        """Without names all targets run, one after the other."""
        self.assertEqual(self.command("--seconds", "3", "--corpus", "d"), OK)
        self.assertEqual(self.runs, [(name, 3, Path("d")) for name in NAMES])
        self.assertEqual(len(self.said), 2 * len(NAMES) + 2)

    def test_found(self) -> None:
        """A finding fails the run and comes with the command that shows it again."""
        self.findings = [Path("d/findings/headers-crash-1")]
        self.assertEqual(self.command("headers"), FOUND)
        text = "\n".join(self.said)
        self.assertIn("why", text)
        self.assertIn(
            "python -m cocained.test.fuzz headers"
            " --reproduce d/findings/headers-crash-1",
            text,
        )

    def test_missing(self) -> None:
        """Without the fuzzer the error says what to install."""

        def run(*arguments: Any) -> Report:
            require_fuzzer(lambda name: None)
            raise AssertionError("not reached")

        status = main(["headers"], self.said.append, lambda: 0.0, run)

        self.assertEqual(status, USAGE)
        self.assertIn("pip install 'cocained[fuzz]'", self.said[-1])

    def test_there(self) -> None:
        """A fuzzer that is there is no error."""
        require_fuzzer(lambda name: object())
        self.assertRaises(FuzzerMissing, require_fuzzer, lambda name: None)

    def test_list(self) -> None:
        """Every target is listed with a sentence."""
        self.assertEqual(self.command("--list"), OK)
        self.assertEqual([line.split()[0] for line in self.said], list(NAMES))

    def test_mistakes(self) -> None:
        """What the command does not know is refused."""
        for wrong in (["nothing"], ["--seconds", "0"], ["--reproduce", "f"]):
            error = self.assertRaises(SystemExit, self.command, *wrong)
            self.assertEqual(error.code, USAGE)

    def test_passes(self) -> None:
        """An input that passes is said to."""
        path = Path(self.mktemp())
        path.write_bytes(b"\x90")
        self.assertEqual(self.command("headers", "--reproduce", str(path)), OK)
        self.assertIn("(1 bytes) passes", self.said[-1])

    def test_breaks(self) -> None:
        """An input that breaks a law is shown with the traceback."""
        path = Path(self.mktemp())
        path.write_bytes(b"\x90")
        run = functools.partial(law, False)
        status = reproduce("headers", run, path, self.said.append)
        self.assertEqual(status, FOUND)
        self.assertIn("Traceback", self.said[0])
        self.assertIn("breaks a law", self.said[1])

    def test_no_file(self) -> None:
        """A file that is not there is told."""
        self.assertEqual(self.command("headers", "--reproduce", "nowhere"), USAGE)
        self.assertEqual(self.said, ["error: nowhere: No such file or directory"])


def without_fuzzer() -> str | None:
    """Say why the fuzzer itself cannot be run here, if so."""
    try:
        require_fuzzer()
    except FuzzerMissing as error:
        return str(error)
    return None


class FuzzerTests(SynchronousTestCase):
    """The fuzzer itself, in a process of its own."""

    skip = without_fuzzer()

    def test_runs(self) -> None:
        """A run tries inputs, keeps new ones, measures, and finds nothing."""
        directory = Path(self.mktemp())
        directory.mkdir()
        shown: list[Report] = []
        kept: list[Path] = []
        # A busy machine may try nothing in a second that is not kept already.
        for _ in range(10):
            report = fuzz("headers", 1, directory, shown.append)
            self.assertEqual(report.findings, [])
            self.assertGreater(report.executions, 10)
            self.assertGreater(report.coverage, 10)
            kept = list((directory / "headers").iterdir())
            if kept:
                break
        self.assertTrue(kept)
        self.assertTrue(shown)
