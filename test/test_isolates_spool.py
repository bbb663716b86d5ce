# -*- test-case-name: cocained.test.test_isolates_spool -*-
"""Versions of an app's code: how they appear, stay and go."""

from __future__ import annotations

import bz2
import errno
import fcntl
import gzip
import hashlib
import lzma
import os
import random
import shutil
import stat
import tarfile
import threading
from collections.abc import Callable
from functools import partial

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from cocained.errors import SpoolError
from cocained.isolates import spool
from cocained.isolates.archive.tree import Tree
from cocained.isolates.spool import Spool, SpoolLimits, unwrap, version_of
from cocained.test.archive_case import (
    directory_of,
    file_of,
    link_of,
    listing,
    tar_of,
    zip_info,
    zip_of,
)

EXPECTED: dict[str, object] = {
    "run": b"#!/bin/sh\n",
    "lib": None,
    "lib/code.py": b"x = 1\n",
    "lib/run": "../run",
}


def app_tar() -> bytes:
    """Pack a small app as the published tool does."""
    return tar_of(
        directory_of("/"),
        file_of("run", b"#!/bin/sh\n", mode=0o755),
        directory_of("lib"),
        file_of("lib/code.py", b"x = 1\n"),
        link_of("lib/run", "../run"),
        format=tarfile.GNU_FORMAT,
    )


def app_zip() -> bytes:
    """Pack the same app as a zip."""
    return zip_of(
        (zip_info("run", 0o100755), b"#!/bin/sh\n"),
        (zip_info("lib/", 0o40755), b""),
        (zip_info("lib/code.py"), b"x = 1\n"),
        (zip_info("lib/run", 0o120777), b"../run"),
    )


#: The same app in every format, as small as tests of every byte need it.
FORMATS: dict[str, Callable[[], bytes]] = {
    "tar": app_tar,
    "tar.gz": lambda: gzip.compress(app_tar(), mtime=0),
    "tar.bz2": lambda: bz2.compress(app_tar()),
    "tar.xz": lambda: lzma.compress(app_tar()),
    "zip": app_zip,
}


class FullTree(Tree):
    """A tree on a disk that is full."""

    code = errno.ENOSPC

    def write(self, descriptor: int, data: bytes | memoryview) -> None:
        super().write(descriptor, data[:3])
        raise OSError(self.code, os.strerror(self.code))


class FullSpool(Spool):
    """A spool on a disk that is full."""

    tree = FullTree


class QuotaTree(FullTree):
    """A tree of a user without quota."""

    code = errno.EDQUOT


class QuotaSpool(Spool):
    """A spool of a user without quota."""

    tree = QuotaTree


class SpoolCase(SynchronousTestCase):
    """A test with a root for apps."""

    def setUp(self) -> None:
        self.root = os.path.abspath(self.mktemp())

    def spool(self, limits: SpoolLimits | None = None) -> Spool:
        """Make the spool of an app."""
        return Spool(self.root, "app", limits)

    def inside(self) -> list[str]:
        """List the directory of the app, hidden names too."""
        place = os.path.join(self.root, "app")
        return sorted(os.listdir(place)) if os.path.isdir(place) else []

    def refuse(self, archive: bytes, limits: SpoolLimits | None = None) -> SpoolError:
        """Expect that an archive is refused and leaves nothing."""
        error = self.assertRaises(SpoolError, self.spool(limits).prepare, archive)
        self.assertEqual(self.inside(), [])
        return error


class UnwrapTests(SynchronousTestCase):
    """What the storage holds around an archive."""

    def test_all_families(self) -> None:
        """Raw, str and bin of every size are taken off."""
        for size in (0, 1, 31, 32, 255, 256, 65535, 65536):
            content = bytes(size)
            for packed in (
                msgpack.packb(content, use_bin_type=False),
                msgpack.packb(content, use_bin_type=True),
                msgpack.packb("\0" * size),
            ):
                self.assertEqual(unwrap(packed), content)

    def test_bare_archives(self) -> None:
        """An archive that nobody packed is given back, in every format."""
        for name, pack in FORMATS.items():
            self.assertEqual(unwrap(pack()), pack(), name)

    def test_bare_tar_that_looks_packed(self) -> None:
        """A tar whose first name begins like a msgpack string is a tar."""
        packed = tar_of(file_of("ڀ"), format=tarfile.GNU_FORMAT)

        self.assertEqual(packed[0], 0xDA)
        self.assertEqual(unwrap(packed), packed)

    def test_cut_or_continued(self) -> None:
        """A string of another length than it says is refused with both."""
        packed = msgpack.packb(b"x" * 300)
        for blob in (packed[:-1], packed + b"x", packed[:2], packed[:1]):
            error = self.assertRaises(SpoolError, unwrap, blob)
            self.assertEqual(error.code, errno.EBADMSG)
        self.assertIn("300 bytes but has 299", str(self.failed(packed[:-1])))

    def failed(self, blob: bytes) -> SpoolError:
        """Give the error for *blob*."""
        return self.assertRaises(SpoolError, unwrap, blob)

    def test_other_values(self) -> None:
        """What is no string is left for the archive to be refused."""
        for blob in (b"", b"\x80", b"plain text", msgpack.packb({"a": 1})):
            self.assertEqual(unwrap(blob), blob)

    @settings(deadline=None, max_examples=200)
    @given(st.binary(max_size=700))
    def test_any_bytes(self, blob: bytes) -> None:
        """Any bytes are unwrapped or refused."""
        try:
            self.assertTrue(blob.endswith(unwrap(blob)))
        except SpoolError as error:
            self.assertEqual(error.code, errno.EBADMSG)


class NameTests(SynchronousTestCase):
    """Names of apps."""

    def test_refused(self) -> None:
        """Names that lead elsewhere or fit no directory are refused."""
        for name in ("", ".", "..", "a/b", "/", "../x", "a\0", "n" * 256, "я" * 128):
            error = self.assertRaises(SpoolError, Spool, "root", name)
            self.assertIn("rename the app", error.reason)

    def test_refused_names_can_travel(self) -> None:
        """Even a name that no encoding knows gives a reason that can be sent."""
        error = self.assertRaises(SpoolError, Spool, "root", "\ud800")

        error.reason.encode("utf-8")

    def test_taken(self) -> None:
        """Everything else is fine."""
        for name in ("a", "...", ".hidden", "n" * 255, "я" * 127, "a b\n", "\udcff"):
            self.assertEqual(Spool("/root", name).directory, f"/root/{name}")


class PrepareTests(SpoolCase):
    """How a version appears."""

    def test_all_formats(self) -> None:
        """Every format gives the same tree, executable bits included."""
        for name, pack in FORMATS.items():
            place = self.spool().prepare(pack())
            self.assertEqual(listing(place), EXPECTED, name)
            self.assertTrue(os.access(os.path.join(place, "run"), os.X_OK), name)
        self.assertEqual(len(self.inside()), len(FORMATS))

    def test_place(self) -> None:
        """The version is made of the archive's digest, below root and app."""
        archive = app_tar()
        digest = hashlib.sha256(archive).hexdigest()

        place = self.spool().prepare(archive)

        self.assertEqual(place, f"{self.root}/app/{digest[:32]}")
        self.assertEqual(version_of(archive), digest[:32])

    def test_relative_root(self) -> None:
        """The answer is absolute though the root is not."""
        place = Spool(os.path.relpath(self.root), "app").prepare(app_tar())

        self.assertTrue(place.startswith(self.root + "/app/"))

    def test_modes(self) -> None:
        """Others may read and enter the version, but not write it."""
        place = self.spool().prepare(app_tar())

        self.assertEqual(stat.S_IMODE(os.stat(place).st_mode), 0o755)

    def test_private_until_done(self) -> None:
        """What is being made is hidden and for us only."""
        seen: list[tuple[str, int]] = []

        class Watching(Tree):
            def write(self, descriptor: int, data: bytes | memoryview) -> None:
                top = os.fsdecode(self._top)
                mode = stat.S_IMODE(os.stat(top).st_mode)
                seen.append((os.path.basename(top), mode))

        spool = self.spool()
        self.patch(Spool, "tree", Watching)
        spool.prepare(app_tar())

        self.assertEqual(len(seen), 2)
        for name, mode in seen:
            self.assertRegex(name, r"^\.[0-9a-f]{32}\.partial-[0-9a-f]{16}$")
            self.assertEqual(mode, 0o700)

    def test_used_as_it_is(self) -> None:
        """A version that is there is neither written nor checked again."""
        place = self.spool().prepare(app_tar())
        with open(os.path.join(place, "made-by-app"), "w"):
            pass
        before = os.stat(place)

        self.assertEqual(self.spool().prepare(app_tar()), place)

        self.assertIn("made-by-app", listing(place))
        self.assertEqual(os.stat(place), before)

    def test_on_disk_before_the_name(self) -> None:
        """The content is synced when the final name does not exist yet."""
        synced: list[list[str]] = []
        self.patch(spool, "_sync", lambda descriptor: synced.append(self.inside()))

        self.spool().prepare(app_tar())

        ((name,),) = synced
        self.assertIn(".partial-", name)

    def test_failing_sync(self) -> None:
        """A disk that fails to sync gives no version."""

        def fail(descriptor: int) -> None:
            raise OSError(errno.EIO, "x")

        self.patch(spool, "_sync", fail)

        self.assertEqual(self.refuse(app_tar()).code, errno.EIO)

    def test_file_system_without_locks(self) -> None:
        """Without locks a cleanup would be blind, so it is an error."""

        def fail(directory: str) -> int:
            raise OSError(errno.ENOLCK, "x", directory)

        self.patch(spool, "locked", fail)

        self.assertEqual(self.refuse(app_tar()).code, errno.ENOLCK)

    def test_cleaned_up_while_beginning(self) -> None:
        """A cleanup that takes the fresh directory does no harm once."""
        real = spool.locked
        taken: list[str] = []

        def take_first(directory: str) -> int | None:
            if not taken:
                taken.append(directory)
                os.rmdir(directory)
            return real(directory)

        self.patch(spool, "locked", take_first)

        self.assertEqual(listing(self.spool().prepare(app_tar())), EXPECTED)

    def test_cleaned_up_over_and_over(self) -> None:
        """If that never ends, one gives up."""
        self.patch(spool, "locked", lambda directory: os.rmdir(directory))

        self.assertEqual(self.refuse(app_tar()).code, errno.EBUSY)

    def test_real_sync_takes_descriptors(self) -> None:
        """The call that syncs reports what is no descriptor."""
        error = self.assertRaises(OSError, spool._sync, -1)

        self.assertEqual(error.errno, errno.EBADF)

    def test_somebody_was_faster(self) -> None:
        """When another finishes the same version first, his is used."""
        archive = app_tar()
        final = f"{self.root}/app/{version_of(archive)}"

        def overtake(descriptor: int) -> None:
            os.mkdir(final)
            with open(f"{final}/his", "w"):
                pass

        self.patch(spool, "_sync", overtake)

        self.assertEqual(self.spool().prepare(archive), final)
        self.assertEqual(listing(final), {"his": b""})
        self.assertEqual(self.inside(), [version_of(archive)])

    def test_many_at_once(self) -> None:
        """Threads that prepare the same code get the same directory."""
        places: list[str] = []
        threads = [
            threading.Thread(
                target=lambda: places.append(self.spool().prepare(app_tar()))
            )
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        self.assertEqual(len(places), 4)
        self.assertEqual(len(set(places)), 1)
        self.assertEqual(listing(places[0]), EXPECTED)
        self.assertEqual(self.inside(), [os.path.basename(places[0])])

    def test_empty_tar(self) -> None:
        """An app whose program is elsewhere may have no files."""
        self.assertEqual(listing(self.spool().prepare(tar_of())), {})

    def test_progress(self) -> None:
        """Progress never falls, and ends with the whole archive."""
        calls: list[tuple[int, int]] = []
        archive = tar_of(file_of("a", os.urandom(1_000_000)))

        self.spool().prepare(archive, lambda done, total: calls.append((done, total)))

        self.assertGreater(len(calls), 3)
        self.assertEqual(calls, sorted(calls))
        self.assertEqual({total for _, total in calls}, {len(archive)})
        self.assertEqual(calls[-1], (len(archive), len(archive)))

    def test_progress_of_a_version_that_is_there(self) -> None:
        """Nothing to do is done at once."""
        calls: list[tuple[int, int]] = []
        archive = app_tar()
        self.spool().prepare(archive)

        self.spool().prepare(archive, lambda done, total: calls.append((done, total)))

        self.assertEqual(calls, [(len(archive), len(archive))])

    def test_failing_progress(self) -> None:
        """What progress raises comes out, and nothing stays."""

        def fail(done: int, total: int) -> None:
            raise KeyError("x")

        self.assertRaises(KeyError, self.spool().prepare, app_tar(), fail)

        self.assertEqual(self.inside(), [])

    def test_cancel_at_every_look(self) -> None:
        """Whenever one cancels, nothing stays, whatever the format."""
        for pack in FORMATS.values():
            for patience in range(100):
                looks = iter([False] * patience)
                try:
                    self.spool().prepare(pack(), cancelled=partial(next, looks, True))
                except SpoolError as error:
                    self.assertEqual(error.code, errno.ECANCELED)
                    self.assertEqual(self.inside(), [])
                else:
                    self.assertGreater(patience, 1)
                    break
            else:
                self.fail("it can never be done")
            self.spool().cleanup(())


class FailureTests(SpoolCase):
    """Archives and disks that do not do what they should."""

    def test_not_an_archive(self) -> None:
        """The reference's code and words (N9), for nothing at all too."""
        for archive in (b"", b"not a tar", bytes(100), gzip.compress(b"text")):
            error = self.refuse(archive)
            self.assertEqual(error.code, 84)
            self.assertIn("Unrecognized archive format", error.reason)

    def test_hostile_member(self) -> None:
        """What was written before a hostile member goes away."""
        error = self.refuse(tar_of(file_of("a"), file_of("../b")))

        self.assertIn("'../b'", error.reason)
        self.assertEqual(os.listdir(self.root), [])

    def test_bomb(self) -> None:
        """A compressed bomb stops at the limit."""
        bomb = bz2.compress(tar_of(file_of("bomb", bytes(3_000_000))))

        error = self.refuse(bomb, SpoolLimits(unpacked=1_000_000))

        self.assertLess(len(bomb), 1000)
        self.assertEqual(error.code, errno.EFBIG)

    def test_bomb_behind_the_end(self) -> None:
        """Endless padding behind the end of a tar stops too."""
        bomb = gzip.compress(tar_of() + bytes(5_000_000))

        error = self.refuse(bomb, SpoolLimits(unpacked=1000, members=1))

        self.assertEqual(error.code, errno.EFBIG)

    def test_full_disk(self) -> None:
        """A full disk is told with code, place and remedy; nothing stays."""
        for kind, code in ((FullSpool, errno.ENOSPC), (QuotaSpool, errno.EDQUOT)):
            failing = kind(self.root, "app")
            error = self.assertRaises(SpoolError, failing.prepare, app_tar())
            self.assertEqual(error.code, code)
            self.assertIn(self.root, error.reason)
            self.assertIn("free some space", error.reason)
            self.assertEqual(self.inside(), [])

    def test_root_is_a_file(self) -> None:
        """A root that is no directory is named."""
        with open(self.root, "w"):
            pass

        error = self.refuse(app_tar())

        self.assertEqual(error.code, errno.ENOTDIR)
        self.assertIn(self.root, error.reason)

    def test_no_permission(self) -> None:
        """A root that we must not write to is named, with the remedy."""
        if not os.geteuid():
            raise SkipTest("nothing is forbidden to root")
        os.mkdir(self.root, 0o500)

        error = self.refuse(app_tar())

        self.assertEqual(error.code, errno.EACCES)
        self.assertIn("let the node's user write", error.reason)

    def test_something_in_the_way(self) -> None:
        """A file or link under the final name is neither used nor removed."""
        archive = app_tar()
        os.makedirs(f"{self.root}/app")
        os.mkdir(f"{self.root}/other")
        final = f"{self.root}/app/{version_of(archive)}"
        os.symlink("../other", final)

        error = self.assertRaises(SpoolError, self.spool().prepare, archive)

        self.assertEqual(error.code, errno.ENOTDIR)
        self.assertTrue(os.path.islink(final))

    def test_app_directory_is_a_link(self) -> None:
        """Nothing is unpacked or found behind a link."""
        os.makedirs(f"{self.root}/elsewhere/{version_of(app_tar())}")
        os.symlink("elsewhere", f"{self.root}/app")

        for archive in (app_tar(), app_zip()):
            error = self.assertRaises(SpoolError, self.spool().prepare, archive)
            self.assertEqual(error.code, errno.ENOTDIR)
        self.assertEqual(len(self.inside()), 1)

    def check(self, name: str, archive: bytes) -> None:
        """Prepare a damaged archive; whole trees or errors, nothing else."""
        limits = SpoolLimits(unpacked=10**6, members=1000)
        try:
            self.spool(limits).prepare(archive)
        except SpoolError as error:
            error.reason.encode("utf-8")
            self.assertEqual(self.inside(), [], (name, error))
        else:
            self.assertEqual(self.inside(), [version_of(archive)], name)
            self.spool().cleanup(())

    def test_cut_at_every_byte(self) -> None:
        """No beginning of an archive unpacks, except a tar without padding."""
        self.patch(spool, "_sync", lambda descriptor: None)
        for name, pack in FORMATS.items():
            archive = pack()
            # Behind the two blocks that end a tar there is only padding.
            end = len(archive)
            if name == "tar":
                end = -(-len(archive.rstrip(b"\0")) // 512) * 512 + 1024
            step = 37 if name == "tar" else 1
            for size in (*range(0, end, step), end - 1):
                self.refuse(archive[:size])
            self.assertEqual(listing(self.spool().prepare(archive[:end])), EXPECTED)
            self.spool().cleanup(())

    def test_flipped_bytes(self) -> None:
        """Damage gives an error or a tree, and never anything else."""
        self.patch(spool, "_sync", lambda descriptor: None)
        chance = random.Random(1)
        for name, pack in FORMATS.items():
            original = pack()
            # The padding at the end of a tar is no target.
            size = len(original.rstrip(b"\0"))
            for _ in range(200):
                damaged = bytearray(original)
                for _ in range(chance.choice((1, 1, 4))):
                    damaged[chance.randrange(size)] = chance.randrange(256)
                self.check(name, bytes(damaged))

    def test_flipped_headers_with_good_checksums(self) -> None:
        """Fields of a tar that a checksum does not protect do no harm."""
        self.patch(spool, "_sync", lambda descriptor: None)
        chance = random.Random(2)
        original = app_tar()
        for _ in range(500):
            damaged = bytearray(original)
            start = 512 * chance.randrange(4)
            damaged[start + chance.randrange(512)] = chance.randrange(256)
            header = damaged[start : start + 512]
            header[148:156] = b" " * 8
            damaged[start + 148 : start + 156] = b"%06o\0 " % sum(header)
            self.check("tar", bytes(damaged))


class CleanupTests(SpoolCase):
    """How versions go away."""

    def versions(self) -> list[str]:
        """Prepare three versions."""
        return [
            self.spool().prepare(pack())
            for pack in (app_tar, app_zip, lambda: tar_of(file_of("a")))
        ]

    def test_removes_what_is_not_kept(self) -> None:
        """Only versions in use stay, given by place or by name."""
        one, two, three = self.versions()

        swept = self.spool().cleanup({one, os.path.basename(two)})

        self.assertEqual(swept.removed, (os.path.basename(three),))
        self.assertEqual(swept.problems, ())
        self.assertEqual(listing(one), EXPECTED)
        self.assertEqual(
            self.inside(), sorted(os.path.basename(place) for place in (one, two))
        )

    def test_removes_the_directory_of_the_app(self) -> None:
        """When nothing is left of an app, neither is its directory."""
        self.versions()

        self.assertEqual(len(self.spool().cleanup(()).removed), 3)

        self.assertEqual(os.listdir(self.root), [])

    def test_nothing_there(self) -> None:
        """An app that was never unpacked has nothing to clean up."""
        self.assertEqual(self.spool().cleanup(()), spool.Swept())

    def test_stale_partials(self) -> None:
        """What a process left that is gone is removed, kept version or not."""
        place = self.spool().prepare(app_tar())
        name = os.path.basename(place)
        os.makedirs(f"{self.root}/app/.{name}.partial-0123/lib")

        swept = self.spool().cleanup({place})

        self.assertEqual(swept.removed, (f".{name}.partial-0123",))
        self.assertEqual(self.inside(), [name])

    def test_partials_being_made(self) -> None:
        """What somebody works on is left alone."""
        swept: list[spool.Swept] = []
        self.patch(
            spool, "_sync", lambda descriptor: swept.append(self.spool().cleanup(()))
        )

        place = self.spool().prepare(app_tar())

        self.assertEqual(swept, [spool.Swept()])
        self.assertEqual(listing(place), EXPECTED)

    def test_lock_ends_with_the_work(self) -> None:
        """A version that is done is not locked."""
        place = self.spool().prepare(app_tar())

        descriptor = os.open(place, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

        self.assertEqual(self.spool().cleanup(()).removed, ())

    def test_other_names_are_left(self) -> None:
        """What has no name of ours is somebody else's."""
        os.makedirs(f"{self.root}/app/data")
        os.makedirs(f"{self.root}/app/.{'0' * 31}.partial-12")
        with open(f"{self.root}/app/{'f' * 33}", "w"):
            pass

        self.assertEqual(self.spool().cleanup(()).removed, ())

        self.assertEqual(len(self.inside()), 3)

    def test_links_are_not_followed(self) -> None:
        """A link under a name of ours goes, what it points to stays."""
        os.makedirs(f"{self.root}/other/inside")
        os.makedirs(f"{self.root}/app/{'1' * 32}")
        os.symlink("../../other", f"{self.root}/app/{'1' * 32}/link")
        os.symlink("../other", f"{self.root}/app/{'0' * 32}")

        swept = self.spool().cleanup(())

        self.assertEqual(swept.removed, ("0" * 32, "1" * 32))
        self.assertEqual(listing(f"{self.root}/other"), {"inside": None})

    def test_app_directory_is_a_link(self) -> None:
        """Nothing is removed behind a link."""
        os.makedirs(f"{self.root}/elsewhere/{'0' * 32}")
        os.symlink("elsewhere", f"{self.root}/app")

        swept = self.spool().cleanup(())

        self.assertEqual(swept.removed, ())
        self.assertIn("Not a directory", swept.problems[0])
        self.assertEqual(os.listdir(f"{self.root}/elsewhere"), ["0" * 32])

    def test_renamed_before_removed(self) -> None:
        """A version loses its name before it loses its content."""
        place = self.spool().prepare(app_tar())
        seen: list[str] = []

        def stop(doomed: str) -> None:
            seen.append(os.path.basename(doomed))
            raise OSError(errno.EIO, "x")

        self.patch(shutil, "rmtree", stop)

        swept = self.spool().cleanup(())

        self.assertFalse(os.path.exists(place))
        self.assertEqual(self.inside(), seen)
        self.assertIn(".partial-", seen[0])
        self.assertIn("cannot remove", swept.problems[0])

    def test_one_problem_does_not_stop_the_rest(self) -> None:
        """After something that cannot be removed, the others are."""
        self.versions()
        real = shutil.rmtree
        calls: list[str] = []

        def fail_once(doomed: str) -> None:
            calls.append(doomed)
            if len(calls) == 1:
                raise OSError(errno.EIO, "x")
            real(doomed)

        self.patch(shutil, "rmtree", fail_once)

        swept = self.spool().cleanup(())

        self.assertEqual((len(swept.removed), len(swept.problems)), (2, 1))
