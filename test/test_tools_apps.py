# -*- test-case-name: cocained.test.test_tools_apps -*-
"""Tests of :mod:`cocained.tools.apps`, through the command line."""

from __future__ import annotations

import io
import os
import tarfile

from cocained.test.tool_case import ToolCase

MANIFEST = b'{"slave": "app.py", "environment": {"A": "b"}}'


class StorageCommandTests(ToolCase):
    """Apps in the storage."""

    def test_list(self) -> None:
        """Apps are listed as sorted JSON."""
        self.store("manifests", "b", {}, "app")
        self.store("manifests", "a", {}, "app")
        self.assertEqual(self.succeed("app", "list").json, ["a", "b"])

    def test_view(self) -> None:
        """A manifest is shown as sorted JSON, four spaces deep."""
        self.store("manifests", "echo", {"z": 1, "a": "ü"}, "app")
        shown = self.succeed("app", "view", "-n", "echo").text
        self.assertEqual(shown, '{\n    "a": "ü",\n    "z": 1\n}\n')

    def test_view_unknown(self) -> None:
        """An app that does not exist brings the nearest names."""
        self.store("manifests", "echo", {}, "app")
        errors = self.refuse(128, "app", "view", "-n", "ecko")
        self.assertIn("app 'ecko' does not exist", errors)
        self.assertIn("did you mean echo?", errors)

    def test_name_missing(self) -> None:
        """A command without its name is a bad value."""
        for command in ("view", "remove", "start", "stop", "restart", "check"):
            errors = self.refuse(22, "app", command)
            self.assertIn("the name of the app is missing", errors)

    def test_remove(self) -> None:
        """Manifest and archive go."""
        self.store("manifests", "echo", {}, "app")
        self.store("apps", "echo", b"", "app")
        self.succeed("app", "remove", "-n", "echo")
        self.assertEqual(self.storage.blobs, {})

    def test_remove_unknown(self) -> None:
        """Removing an app that does not exist is an error."""
        self.assertIn("does not exist", self.refuse(128, "app", "remove", "-n", "x"))


class UploadTests(ToolCase):
    """From a folder to the storage."""

    def test_folder(self) -> None:
        """A folder becomes archive and manifest, named after it."""
        folder = self.folder(manifest_json=MANIFEST, app_py=b"code", lib__x_py=b"x")
        result = self.succeed("app", "upload", folder)
        self.assertIn("`echo` has been uploaded", result.text)
        self.assertEqual(self.stored("manifests", "echo")["slave"], "app.py")
        self.assertEqual(self.storage.tags["apps", "echo"], {"app"})
        self.assertEqual(self.storage.tags["manifests", "echo"], {"app"})
        archive = self.packed("echo")
        self.assertEqual(
            archive.getnames(), ["app.py", "lib", "lib/x.py", "manifest.json"]
        )

    def packed(self, name: str) -> tarfile.TarFile:
        """Open the archive of an app, a raw string inside msgpack."""
        blob = self.storage.blobs["apps", name]
        self.assertEqual(blob[0], 0xDA)
        return tarfile.open(fileobj=io.BytesIO(blob[3:]))

    def test_archive_before_manifest(self) -> None:
        """The archive is stored first: a manifest without one cannot start."""
        self.succeed("app", "upload", self.folder(manifest_json=MANIFEST))
        writes = [entry for entry in self.storage.log if entry[0] == "write"]
        self.assertEqual([entry[1] for entry in writes], ["apps", "manifests"])

    def test_name_and_manifest(self) -> None:
        """Name and manifest of the command line win."""
        folder = self.folder(manifest_json=MANIFEST)
        self.succeed(
            "app", "upload", folder, "-n", "other", "--manifest", '{"slave":"x"}'
        )
        self.assertEqual(self.stored("manifests", "other"), {"slave": "x"})

    def test_here(self) -> None:
        """Without a path the folder one is in is uploaded."""
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder(manifest_json=MANIFEST))
        config, self.config = self.config, "/nonexistent"
        self.succeed("app", "upload", "--host", "127.0.0.1")
        self.config = config
        self.assertIn(("manifests", "echo"), self.storage.blobs)

    def test_left_out(self) -> None:
        """What is left out is told."""
        folder = self.folder(manifest_json=MANIFEST)
        os.mkdir(os.path.join(folder, ".git"))
        self.assertIn("left out: .git", self.succeed("app", "upload", folder).errors)

    def test_progress_lines(self) -> None:
        """Without a terminal progress is plain lines on standard error."""
        result = self.succeed("app", "upload", self.folder(manifest_json=MANIFEST))
        self.assertIn("Packing echo…\n✔ Packing echo (46 B)\n", result.errors)
        self.assertIn("✔ Uploading echo", result.errors)

    def test_json(self) -> None:
        """For scripts there is one document, and nothing else."""
        folder = self.folder(manifest_json=MANIFEST)
        result = self.succeed("app", "upload", folder, "--json")
        self.assertEqual(result.json["status"], "uploaded")
        self.assertEqual(result.json["name"], "echo")
        self.assertEqual(result.errors, "")

    def test_no_manifest(self) -> None:
        """A folder without a manifest is refused with what to do."""
        errors = self.refuse(22, "app", "upload", self.folder(app_py=b""))
        self.assertIn("there is no manifest", errors)
        self.assertIn("--manifest", errors)
        self.assertEqual(self.storage.log, [])

    def test_no_folder(self) -> None:
        """A path that is no folder is refused."""
        self.assertIn("is no folder", self.refuse(22, "app", "upload", "/nonexistent"))

    def test_broken_manifest(self) -> None:
        """A manifest that is no JSON is refused with file and place."""
        folder = self.folder(manifest_json=b'{"slave": }')
        errors = self.refuse(22, "app", "upload", folder)
        self.assertIn("manifest.json is no JSON", errors)
        self.assertIn("line 1", errors)

    def test_manifest_is_no_map(self) -> None:
        """A manifest must be a map."""
        folder = self.folder(manifest_json=b"[1]")
        self.assertIn("JSON object", self.refuse(22, "app", "upload", folder))

    def test_no_slave(self) -> None:
        """A manifest without a program is stored, with a warning."""
        folder = self.folder(manifest_json=b"{}")
        self.assertIn('no "slave"', self.succeed("app", "upload", folder).errors)

    def test_package(self) -> None:
        """An archive packed already is stored as it is."""
        path = self.mktemp()
        with tarfile.open(path, "w:xz"):
            pass
        args = ("--package", path, "-n", "p", "--manifest", '{"slave": "x"}')
        self.succeed("app", "upload", *args)
        with open(path, "rb") as file:
            self.assertIn(file.read(), self.storage.blobs["apps", "p"])

    def test_package_needs(self) -> None:
        """A package needs a name and a manifest."""
        self.assertIn("-n", self.refuse(22, "app", "upload", "--package", "x"))
        errors = self.refuse(22, "app", "upload", "--package", "x", "-n", "p")
        self.assertIn("--manifest", errors)

    def test_package_is_no_tar(self) -> None:
        """A file that is no archive is refused."""
        args = ("--package", self.config, "-n", "p", "--manifest", "{}")
        self.assertIn("is no tar archive", self.refuse(22, "app", "upload", *args))

    def test_exclusive(self) -> None:
        """A folder and a package exclude each other, with a status of its own."""
        self.refuse(64, "app", "upload", ".", "--package", "x")
        self.refuse(64, "app", "upload", "--manifest-only", "--package", "x")

    def test_manifest_only(self) -> None:
        """The manifest alone can be stored."""
        args = ("--manifest-only", "-n", "m", "--manifest", '{"slave": "x"}')
        self.succeed("app", "upload", *args)
        self.assertEqual(list(self.storage.blobs), [("manifests", "m")])

    def test_large(self) -> None:
        """An archive of many frames' pieces arrives whole."""
        noise = os.urandom(3_000_000)
        folder = self.folder(manifest_json=MANIFEST, noise_bin=noise)
        self.succeed("app", "upload", folder)
        self.assertGreater(len(self.storage.blobs["apps", "echo"]), len(noise))


class NodeCommandTests(ToolCase):
    """Apps on the node."""

    def setUp(self) -> None:
        super().setUp()
        self.store("manifests", "echo", {"slave": "x"}, "app")
        self.store("profiles", "default", {}, "profile")

    def test_start(self) -> None:
        """An app is started with its profile."""
        result = self.succeed("app", "start", "-n", "echo", "-r", "default")
        self.assertEqual(
            result.text,
            "Application `echo` has been started with profile `default`\n",
        )
        self.assertEqual(self.node.log, [("start_app", "echo", "default")])

    def test_start_json(self) -> None:
        """For scripts it is told as fields."""
        args = ("app", "start", "-n", "echo", "--profile", "default", "--json")
        fields = {"name": "echo", "profile": "default", "status": "started"}
        self.assertEqual(self.succeed(*args).json, fields)

    def test_start_needs_a_profile(self) -> None:
        """Without a profile nothing is started."""
        self.assertIn("-r", self.refuse(22, "app", "start", "-n", "echo"))

    def test_start_unknown_app(self) -> None:
        """An app that was not uploaded brings the nearest names."""
        errors = self.refuse(128, "app", "start", "-n", "ecko", "-r", "default")
        self.assertIn("app 'ecko' does not exist\ndid you mean echo?", errors)

    def test_start_unknown_profile(self) -> None:
        """So does a profile that was not."""
        errors = self.refuse(128, "app", "start", "-n", "echo", "-r", "defalt")
        self.assertIn("profile 'defalt' does not exist\ndid you mean default?", errors)

    def test_start_twice(self) -> None:
        """An app that runs is not started again, and one is told what would."""
        self.succeed("app", "start", "-n", "echo", "-r", "default")
        errors = self.refuse(128, "app", "start", "-n", "echo", "-r", "default")
        self.assertIn("[20991, 5]", errors)
        self.assertIn("app restart -n echo", errors)

    def test_stop(self) -> None:
        """An app is stopped, by either word."""
        for word in ("stop", "pause"):
            self.node.apps["echo"] = {}
            text = self.succeed("app", word, "-n", "echo").text
            self.assertEqual(text, "Application `echo` has been stopped\n")
            self.assertEqual(self.node.apps, {})

    def test_stop_unknown(self) -> None:
        """An app that is not on the node brings those that are."""
        self.node.apps["echo"] = {}
        errors = self.refuse(128, "app", "stop", "-n", "ecko")
        self.assertIn("not running", errors)
        self.assertIn("did you mean echo?", errors)

    def test_restart_with_profile(self) -> None:
        """A restart with a profile stops and starts."""
        self.node.apps["echo"] = {}
        self.succeed("app", "restart", "-n", "echo", "-r", "default")
        self.assertEqual(
            self.node.log, [("pause_app", "echo"), ("start_app", "echo", "default")]
        )

    def test_restart_without_profile(self) -> None:
        """Without one the profile is that of the running app."""
        self.node.apps["echo"] = {"state": "running", "profile": {"name": "default"}}
        result = self.succeed("app", "restart", "-n", "echo")
        self.assertIn("restarted with profile `default`", result.text)
        self.assertEqual(self.node.log[0], ("info", "echo", 1))

    def test_restart_of_a_stopped_app(self) -> None:
        """An app that does not run is started."""
        self.succeed("app", "restart", "-n", "echo", "-r", "default")
        self.assertIn("echo", self.node.apps)

    def test_restart_unknown(self) -> None:
        """Without a profile the app has to run."""
        self.assertIn("not running", self.refuse(128, "app", "restart", "-n", "echo"))

    def test_restart_of_a_broken_app(self) -> None:
        """An app whose report names no profile needs one named."""
        self.node.apps["echo"] = {"state": "broken"}
        errors = self.refuse(128, "app", "restart", "-n", "echo")
        self.assertIn("name it with -r", errors)

    def test_check(self) -> None:
        """An app on the node is fine, and nothing is printed."""
        self.node.apps["echo"] = {"state": "running"}
        self.assertEqual(self.succeed("app", "check", "-n", "echo").text, "")

    def test_check_json(self) -> None:
        """For scripts its state is printed."""
        self.node.apps["echo"] = {"state": "spooling"}
        result = self.succeed("app", "check", "-n", "echo", "--json")
        self.assertEqual(result.json, {"name": "echo", "state": "spooling"})

    def test_check_fails(self) -> None:
        """One that is not there is not."""
        errors = self.refuse(128, "app", "check", "-n", "echo")
        self.assertIn("app 'echo' is not running", errors)

    def test_check_of_an_odd_report(self) -> None:
        """A report without a state is an error."""
        self.node.apps["echo"] = {}
        self.refuse(128, "app", "check", "-n", "echo")
