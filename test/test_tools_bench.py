# -*- test-case-name: cocained.test.test_tools_bench -*-
"""
The benchmark's measuring: processes, percentiles, frames, records, the compiler.
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import msgpack
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.tools.bench import frames, measure, toolchain
from cocained.tools.bench.errors import BenchError
from cocained.tools.bench.generator import parse_load
from cocained.tools.bench.process import ROOT, child_environment, on_one_processor

RECORD = (
    '{"mode": "echo", "connections": 1, "in_flight": 64, "payload": 16, '
    '"requests": 4, "errors": 0, "seconds": 0.5, "sent": 64, "received": 64, '
    '"cpu_seconds": 0.001, "p50_us": 1.0, "p90_us": 2.0, "p99_us": 3.0, '
    '"max_us": 4.0, "mean_us": 1.5, "first_error": ""}'
)

#: A pid that no process can have: above the kernel's largest limit.
NOBODY = 2**22 + 1


class CpuTests(SynchronousTestCase):
    """How much CPU a process has used."""

    def test_own(self) -> None:
        """What is read of this process agrees with what it knows itself."""
        before = time.process_time()
        read = measure.cpu_seconds(os.getpid())
        self.assertGreaterEqual(read, before)
        self.assertLessEqual(read, time.process_time())

    def test_grows(self) -> None:
        """Work of a millisecond is seen: no clock ticks."""
        before = measure.cpu_seconds(os.getpid())
        until = time.process_time() + 0.001
        while time.process_time() < until:
            pass
        spent = measure.cpu_seconds(os.getpid()) - before
        self.assertGreaterEqual(spent, 0.001)

    def test_ticks(self) -> None:
        """Without the clock, user and system ticks are added."""
        proc = Path(self.mktemp())
        (proc / str(NOBODY)).mkdir(parents=True)
        fields = ["S"] + ["0"] * 10 + ["250", "50"] + ["0"] * 20
        text = f"{NOBODY} (a) b (c) {' '.join(fields)}\n"
        (proc / str(NOBODY) / "stat").write_text(text)
        ticks = os.sysconf("SC_CLK_TCK")
        self.assertEqual(measure.cpu_seconds(NOBODY, proc), 300 / ticks)

    def test_nobody(self) -> None:
        """A process that is gone is a clear error."""
        error = self.assertRaises(BenchError, measure.cpu_seconds, NOBODY)
        self.assertIn(f"/proc/{NOBODY}/stat", str(error))
        self.assertIn("the process ended", str(error))


class MemoryTests(SynchronousTestCase):
    """What memory a process holds."""

    def test_rollup(self) -> None:
        """RSS and PSS are read from ``smaps_rollup``, in bytes."""
        proc = Path(self.mktemp())
        (proc / "7").mkdir(parents=True)
        (proc / "7" / "smaps_rollup").write_text(
            "55c2-7fff ---p 00000000 00:00 0    [rollup]\n"
            "Rss:               11172 kB\n"
            "Pss:                8994 kB\n"
            "Pss_Dirty:          4968 kB\n"
        )
        self.assertEqual(
            measure.memory(7, proc), measure.Memory(11172 * 1024, 8994 * 1024)
        )

    def test_own(self) -> None:
        """An interpreter holds some megabytes, and shares some of them."""
        held = measure.memory(os.getpid())
        self.assertGreater(held.rss, 5 * measure.MIB)
        self.assertLessEqual(held.pss, held.rss)

    def test_nobody(self) -> None:
        """A process that is gone is a clear error."""
        error = self.assertRaises(BenchError, measure.memory, NOBODY)
        self.assertIn("smaps_rollup: No such file or directory", str(error))


class PercentileTests(SynchronousTestCase):
    """Nearest rank."""

    def test_table(self) -> None:
        """Known ranks of known values."""
        values = [15.0, 20.0, 35.0, 40.0, 50.0]
        for share, expected in (
            (0.0, 15.0),
            (0.05, 15.0),
            (0.3, 20.0),
            (0.4, 20.0),
            (0.5, 35.0),
            (1.0, 50.0),
        ):
            self.assertEqual(measure.percentile(reversed(values), share), expected)

    def test_none(self) -> None:
        """There is no percentile of nothing."""
        self.assertTrue(math.isnan(measure.percentile([], 0.5)))

    @given(st.lists(st.floats(0, 1e9), min_size=1, max_size=50), st.floats(0.01, 1))
    def test_share_stays_within(self, values: list[float], share: float) -> None:
        """At least that share of all is no larger, and it is one of them."""
        value = measure.percentile(values, share)
        self.assertIn(value, values)
        within = sum(each <= value for each in values)
        self.assertGreaterEqual(within, share * len(values) - 1e-6)


class MedianTests(SynchronousTestCase):
    """Medians, and ratios of pairs."""

    def test_odd_and_even(self) -> None:
        """The middle one, or the mean of both middle ones."""
        self.assertEqual(measure.median([3, 1, 2]), 2)
        self.assertEqual(measure.median([4, 1, 2, 3]), 2.5)

    def test_none(self) -> None:
        """There is no median of nothing."""
        self.assertTrue(math.isnan(measure.median([])))

    def test_one_wild_round(self) -> None:
        """One disturbed round does not move the figure."""
        rounds = [{"rate": 10.0}, {"rate": 11.0}, {"rate": 1.0}]
        self.assertEqual(measure.medians(rounds), {"rate": 10.0})

    def test_missing_figures(self) -> None:
        """A figure that some rounds lack is the median of the others."""
        rounds = [{"a": 1.0}, {"a": 3.0, "b": 7.0}, {"a": 2.0}]
        self.assertEqual(measure.medians(rounds), {"a": 2.0, "b": 7.0})

    def test_no_rounds(self) -> None:
        """No rounds give no figures."""
        self.assertEqual(measure.medians([]), {})

    def test_ratio_of_pairs(self) -> None:
        """A disturbance of a whole round cancels out."""
        node = [{"us": 12.0}, {"us": 120.0}, {"us": 13.0}]
        yardstick = [{"us": 10.0}, {"us": 100.0}, {"us": 10.0}]
        self.assertEqual(measure.paired_ratio(node, yardstick, "us"), 1.2)

    def test_ratio_without_pair(self) -> None:
        """Without a pair, or with a zero below, there is no ratio."""
        for below in ([], [{"other": 1.0}], [{"us": 0.0}]):
            ratio = measure.paired_ratio([{"us": 1.0}], below, "us")
            self.assertTrue(math.isnan(ratio))


class FrameTests(SynchronousTestCase):
    """Frames against the worked examples of protocol.md §18."""

    def test_trace_headers(self) -> None:
        """The trio takes 61 bytes and looks as written there."""
        self.assertEqual(len(frames.TRACE_HEADERS), 61)
        self.assertEqual(
            frames.TRACE_HEADERS[:29].hex(),
            "9393c2a874726163655f6964a8000000000000000093c2a77370616e5f",
        )

    def test_resolve(self) -> None:
        """§18.1."""
        self.assertEqual(
            frames.frame(1, frames.RESOLVE, ["storage"]).hex(),
            "93010091a773746f72616765",
        )

    def test_write(self) -> None:
        """§18.2."""
        blob = frames.document({"slave": "echo.py"})
        call = ["manifests", "echo", blob, ["app"]]
        self.assertEqual(
            frames.frame(1, frames.STORAGE_WRITE, call).hex(),
            "93010194a96d616e696665737473a46563686f"
            "af81a5736c617665a76563686f2e707991a3617070",
        )

    def test_close(self) -> None:
        """§18.3: no arguments."""
        self.assertEqual(frames.frame(1, frames.CLOSE).hex(), "93010290")

    def test_old_raw_family(self) -> None:
        """Strings of 32 bytes and more are raw16, never str8 (§1.2)."""
        for text in ("x" * 36, b"x" * 36):
            self.assertEqual(frames.frame(1, 0, [text])[4:7], b"\xda\0\x24")

    def test_documents(self) -> None:
        """An archive is packed before it is written (§12.7)."""
        self.assertEqual(msgpack.unpackb(frames.document(b"tar"), raw=True), b"tar")

    @given(st.integers(0, 2000))
    def test_pattern(self, size: int) -> None:
        """The pattern is that of ``wire.h``, of any length."""
        expected = bytes((index * 31 + 7) % 256 for index in range(size))
        self.assertEqual(frames.pattern(size), expected)


class LoadTests(SynchronousTestCase):
    """What the generator prints."""

    def test_record(self) -> None:
        """Its record is read into a typed value."""
        load = parse_load(RECORD)
        self.assertEqual((load.requests, load.p99_us, load.mode), (4, 3.0, "echo"))
        self.assertIs(load.require(), load)

    def test_errors(self) -> None:
        """A load with errors has no figures, and the first error is told."""
        load = parse_load(
            RECORD.replace('"errors": 0', '"errors": 2').replace(
                '"first_error": ""', '"first_error": "[1, 2] no"'
            )
        )
        error = self.assertRaises(BenchError, load.require)
        self.assertEqual(
            str(error), "echo: 2 errors in 4 requests, the first: [1, 2] no"
        )

    def test_no_requests(self) -> None:
        """A load that got no answer has no figures either."""
        load = parse_load(RECORD.replace('"requests": 4', '"requests": 0'))
        error = self.assertRaises(BenchError, load.require)
        self.assertEqual(str(error), "echo: 0 errors in 0 requests")

    def test_no_record(self) -> None:
        """Anything else is refused."""
        for line in ("", "[]", "{}", RECORD.replace("0.5", '"x"'), RECORD[:-1]):
            error = self.assertRaises(BenchError, parse_load, line)
            self.assertIn("printed no record", str(error))


class CompilerTests(SynchronousTestCase):
    """Where the compiler is, and where its programs go."""

    def setUp(self) -> None:
        """Make a directory with programs of some names."""
        self.path = Path(self.mktemp()).absolute()
        self.path.mkdir()

    def program(self, name: str) -> str:
        """Put an executable file there."""
        path = self.path / name
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        return str(path)

    def find(self, **environment: str) -> list[str]:
        """Look for a compiler there."""
        return toolchain.find_compiler({"PATH": str(self.path), **environment})

    def test_order(self) -> None:
        """``cc`` is taken before ``gcc`` before ``clang``."""
        for name in ("clang", "gcc", "cc"):
            path = self.program(name)
            self.assertEqual(self.find(), [path])

    def test_named(self) -> None:
        """``CC`` comes first, and may have arguments."""
        self.program("cc")
        path = self.program("mycc")
        self.assertEqual(self.find(CC="mycc -m32"), [path, "-m32"])

    def test_none(self) -> None:
        """Without any, the error says what to do."""
        error = self.assertRaises(BenchError, self.find)
        self.assertEqual(
            str(error),
            "no C compiler was found (tried cc, gcc, clang): install gcc or clang, "
            "or name one in the environment variable CC",
        )

    def test_named_but_missing(self) -> None:
        """A ``CC`` that is not there is not replaced in silence."""
        self.program("cc")
        error = self.assertRaises(BenchError, self.find, CC="mycc")
        self.assertIn("tried mycc", str(error))

    def test_no_sources(self) -> None:
        """An installation without the sources is named as such."""
        error = self.assertRaises(
            BenchError, toolchain.build, "load", self.path, self.path
        )
        self.assertIn("C sources were not installed", str(error))

    def test_sources_are_there(self) -> None:
        """Both programs have their source beside the package."""
        for program in (toolchain.LOAD, toolchain.WORKER):
            self.assertTrue((toolchain.SOURCES / f"{program}.c").is_file())


class CacheTests(SynchronousTestCase):
    """The directory for compiled programs."""

    def setUp(self) -> None:
        """Make a home."""
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir()

    def test_xdg(self) -> None:
        """``XDG_CACHE_HOME`` comes before ``HOME``."""
        found = toolchain.cache_directory(
            {"XDG_CACHE_HOME": str(self.home), "HOME": "/nonexistent"}
        )
        self.assertEqual(found, self.home / "cocained" / "bench")
        self.assertTrue(found.is_dir())

    def test_home(self) -> None:
        """Without it the cache lies in the home."""
        found = toolchain.cache_directory(
            {"XDG_CACHE_HOME": "relative", "HOME": str(self.home)}
        )
        self.assertEqual(found, self.home / ".cache" / "cocained" / "bench")

    def test_written_by_others(self) -> None:
        """A directory into which others may write is passed over."""
        bad = self.home / "cocained" / "bench"
        bad.mkdir(parents=True)
        bad.chmod(0o777)
        found = toolchain.cache_directory({"XDG_CACHE_HOME": str(self.home)})
        self.assertNotEqual(found, bad)
        self.assertEqual(found.name, f"cocained-bench-{os.getuid()}")

    def test_no_directory(self) -> None:
        """A file, or a link to somewhere, in its place is passed over."""
        (self.home / "cocained").mkdir()
        (self.home / "cocained" / "bench").symlink_to(self.home)
        found = toolchain.cache_directory({"XDG_CACHE_HOME": str(self.home)})
        self.assertEqual(found.name, f"cocained-bench-{os.getuid()}")


class EnvironmentTests(SynchronousTestCase):
    """What children inherit."""

    def test_package_is_found(self) -> None:
        """This package can be imported by a child that runs elsewhere."""
        self.assertTrue((ROOT / "cocained" / "__init__.py").is_file())
        made = child_environment({"A": "1"}, {})
        self.assertEqual(made, {"A": "1", "PYTHONPATH": str(ROOT)})

    def test_path_is_kept(self) -> None:
        """What was on the path stays on it, behind."""
        made = child_environment({"PYTHONPATH": "/x"}, {"B": "2"})
        self.assertEqual(made, {"PYTHONPATH": f"{ROOT}{os.pathsep}/x", "B": "2"})

    def test_bytecode_is_kept(self) -> None:
        """A child keeps its bytecode as an installation does, whatever we do."""
        made = child_environment({"PYTHONDONTWRITEBYTECODE": "1"}, {})
        self.assertEqual(made, {"PYTHONPATH": str(ROOT)})


class ProcessorTests(SynchronousTestCase):
    """Keeping to one processor for a while."""

    def test_one_and_back(self) -> None:
        """In the block there is one processor, after it as many as before."""
        before = os.sched_getaffinity(0)
        with on_one_processor():
            self.assertEqual(os.sched_getaffinity(0), {max(before)})
        self.assertEqual(os.sched_getaffinity(0), before)


class ExtremesTests(SynchronousTestCase):
    """The range of a figure."""

    def test_extremes(self) -> None:
        """Rounds that lack the figure do not count."""
        rounds = [{"x": 2.0}, {"y": 0.0}, {"x": 1.0}]
        self.assertEqual(measure.extremes(rounds, "x"), (1.0, 2.0))

    def test_none(self) -> None:
        """Of no rounds there is no range."""
        least, most = measure.extremes([], "x")
        self.assertTrue(math.isnan(least) and math.isnan(most))
