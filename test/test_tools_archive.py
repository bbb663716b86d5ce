# -*- test-case-name: cocained.test.test_tools_archive -*-
"""Tests of :mod:`cocained.tools.archive`, with real folders."""

from __future__ import annotations

import io
import os
import tarfile

from twisted.trial.unittest import SynchronousTestCase

from cocained.tools import archive
from cocained.tools.archive import (
    find_manifest,
    list_folder,
    pack_members,
    read_package,
)
from cocained.tools.failures import BadValue, ToolError


class FolderCase(SynchronousTestCase):
    """A folder to pack."""

    def setUp(self) -> None:
        self.top = self.mktemp()
        os.makedirs(self.top)

    def put(self, name: str, data: bytes = b"") -> str:
        """Write a file below the folder."""
        path = os.path.join(self.top, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def pack(self) -> bytes:
        """Pack the folder."""
        *_, packed = pack_members(list_folder(self.top), lambda done, whole: None)
        return packed

    def names(self) -> list[str]:
        """What is to be packed."""
        return [member.name for member in list_folder(self.top).members]


class ListingTests(FolderCase):
    """What gets in and what stays out."""

    def test_sorted(self) -> None:
        """Members are sorted, each folder in front of what it holds."""
        for name in ("b", "a/2", "a/1"):
            self.put(name)
        self.assertEqual(self.names(), ["a", "a/1", "a/2", "b"])

    def test_left_out(self) -> None:
        """Version control, environments and caches stay out, at any depth."""
        for name in (".git/config", "lib/__pycache__/x.pyc", ".venv/bin/python"):
            self.put(name)
        self.put("lib/x.py")
        self.assertEqual(self.names(), ["lib", "lib/x.py"])
        skipped = list_folder(self.top).skipped
        self.assertEqual(skipped, [".git", ".venv", "lib/__pycache__"])

    def test_special_files(self) -> None:
        """A pipe is left out and not read."""
        os.mkfifo(os.path.join(self.top, "pipe"))
        listing = list_folder(self.top)
        self.assertEqual((listing.members, listing.skipped), ([], ["pipe"]))

    def test_link_inside(self) -> None:
        """A link within the app stays a link."""
        self.put("lib/x.py")
        os.symlink("lib/x.py", os.path.join(self.top, "y.py"))
        self.assertIn("y.py", self.names())

    def test_link_outside(self) -> None:
        """A link that leads out of the app is refused with its target."""
        for target in ("/etc/passwd", "../secret"):
            path = os.path.join(self.top, "link")
            os.symlink(target, path)
            with self.assertRaisesRegex(ToolError, target):
                list_folder(self.top)
            os.unlink(path)

    def test_too_many(self) -> None:
        """More files than a node takes are refused."""
        self.patch(archive, "MEMBER_LIMIT", 2)
        for name in "abc":
            self.put(name)
        with self.assertRaisesRegex(ToolError, "more than 2 files"):
            list_folder(self.top)

    def test_too_deep(self) -> None:
        """Folders nested without end are refused."""
        self.patch(archive, "DEPTH_LIMIT", 2)
        self.put("a/b/c/d")
        with self.assertRaisesRegex(ToolError, "deeper than 2"):
            list_folder(self.top)

    def test_no_folder(self) -> None:
        """A file is no folder."""
        with self.assertRaises(BadValue):
            list_folder(self.put("file"))


class PackingTests(FolderCase):
    """The archive itself."""

    def test_same_folder_same_archive(self) -> None:
        """Packing twice gives the same bytes, whoever owns the files."""
        self.put("a", b"1")
        self.put("d/b", b"2")
        packed = self.pack()
        self.assertEqual(packed, self.pack())
        # The time of packing, which gzip would put here.
        self.assertEqual(packed[4:8], bytes(4))

    def test_content(self) -> None:
        """Files come out as they went in, without owners, with their modes."""
        path = self.put("run.sh", b"#!/bin/sh\n")
        os.chmod(path, 0o755)
        if os.geteuid() == 0:
            os.chown(path, 1234, 1234)
        with tarfile.open(fileobj=io.BytesIO(self.pack()), mode="r:gz") as tar:
            member = tar.getmember("run.sh")
            content = tar.extractfile(member)
            assert content is not None
            self.assertEqual(content.read(), b"#!/bin/sh\n")
        self.assertEqual(member.mode & 0o777, 0o755)
        self.assertEqual((member.uid, member.gid, member.uname), (0, 0, ""))

    def test_second_name(self) -> None:
        """A file with two names is packed twice, not as a link."""
        os.link(self.put("a", b"data"), os.path.join(self.top, "b"))
        with tarfile.open(fileobj=io.BytesIO(self.pack())) as tar:
            self.assertTrue(all(member.isreg() for member in tar))
            content = tar.extractfile("b")
            assert content is not None
            self.assertEqual(content.read(), b"data")

    def test_progress(self) -> None:
        """Progress rises to the whole."""
        self.put("a", b"12")
        self.put("b", b"345")
        steps: list[tuple[int, int]] = []
        list(pack_members(list_folder(self.top), lambda *step: steps.append(step)))
        self.assertEqual(steps, [(2, 5), (5, 5)])

    def test_too_large(self) -> None:
        """An archive that no frame can carry is given up while it is made."""
        self.patch(archive, "BLOB_LIMIT", 1000)
        self.put("noise", os.urandom(100_000))
        with self.assertRaisesRegex(ToolError, "larger than 1000 B"):
            self.pack()

    def test_file_vanishes(self) -> None:
        """A file that is gone when its turn comes is named."""
        path = self.put("gone")
        listing = list_folder(self.top)
        os.unlink(path)
        with self.assertRaisesRegex(ToolError, "gone cannot be read"):
            list(pack_members(listing, lambda done, whole: None))


class ManifestTests(FolderCase):
    """Finding the manifest."""

    def found(self) -> str:
        """The manifest's name."""
        return os.path.relpath(find_manifest(self.top), self.top)

    def test_prefix(self) -> None:
        """Any name that begins so will do, anywhere below."""
        self.put("deep/manifest-dev.json")
        self.assertEqual(self.found(), "deep/manifest-dev.json")

    def test_top_first(self) -> None:
        """The top folder comes before the others."""
        self.put("a/manifest.json")
        self.put("manifest.txt")
        self.assertEqual(self.found(), "manifest.txt")

    def test_usual_name_first(self) -> None:
        """In one folder ``manifest.json`` comes first."""
        self.put("manifest-a.json")
        self.put("manifest.json")
        self.assertEqual(self.found(), "manifest.json")

    def test_none(self) -> None:
        """Without one the error says how to make it."""
        self.put("main.py")
        with self.assertRaises(BadValue) as caught:
            self.found()
        self.assertIn("manifest.json", caught.exception.hint)

    def test_folder_of_that_name(self) -> None:
        """A folder is no manifest."""
        self.put("manifests/readme")
        with self.assertRaises(BadValue):
            self.found()


class PackageTests(FolderCase):
    """Archives packed elsewhere."""

    def test_plain_and_packed(self) -> None:
        """Any tar that Python reads is taken as it is."""
        for mode in ("w", "w:gz", "w:bz2", "w:xz"):
            path = self.put("app.tar")
            with tarfile.open(path, mode) as tar:
                tar.addfile(tarfile.TarInfo("x"))
            with open(path, "rb") as file:
                self.assertEqual(read_package(path), file.read())

    def test_no_tar(self) -> None:
        """Anything else is refused."""
        with self.assertRaisesRegex(BadValue, "is no tar archive"):
            read_package(self.put("x", b"PK\x03\x04"))

    def test_missing(self) -> None:
        """A file that is not there is named with the reason."""
        with self.assertRaisesRegex(BadValue, "No such file"):
            read_package(os.path.join(self.top, "nothing"))

    def test_too_large(self) -> None:
        """An archive that no frame can carry is refused."""
        self.patch(archive, "BLOB_LIMIT", 10)
        with self.assertRaisesRegex(ToolError, "larger than 10 B"):
            read_package(self.put("x", bytes(11)))
