# -*- test-case-name: cocained.test.test_apps_documents -*-
"""
Manifests, profiles, runlists: from blobs to structs.
"""

from __future__ import annotations

from typing import Any

import msgpack
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.blobs import (
    MAX_DEPTH,
    MAX_DOCUMENT,
    MAX_ITEMS,
    UnreadableDocument,
    textual,
    unpack,
)
from cocained.apps.documents import MAX_RUNLIST, Manifest, Profile, Runlist
from cocained.apps.keys import (
    MAX_CONCURRENCY,
    MAX_CRASHLOG,
    MAX_POOL,
    MAX_QUEUE,
    MAX_SECONDS,
    MAX_VARIABLE,
    IsolateKeys,
)
from cocained.config.problems import MAX_PROBLEMS
from cocained.errors import DocumentError, WireError, to_wire


def raw(document: object) -> bytes:
    """Pack as the published tools do: every text of the old raw kind."""
    packed = msgpack.packb(document, use_bin_type=False)
    assert isinstance(packed, bytes)
    return packed


class _Documents(SynchronousTestCase):
    def problems(self, kind: Any, document: object) -> list[str]:
        """Give what is wrong with a document."""
        error = self.assertRaises(DocumentError, kind.from_mapping, "x", document)
        return list(error.problems)


class BlobTests(_Documents):
    """Bytes that are documents, and bytes that are none."""

    def test_both_families_of_text(self) -> None:
        """Old raw text, new text and binary all become text."""
        for packed in (
            b"\x81\xa5slave\xa1w",
            b"\x81\xd9\x05slave\xd9\x01w",
            b"\x81\xc4\x05slave\xc4\x01w",
        ):
            self.assertEqual(Manifest.from_blob("x", packed).slave, "w")

    def test_no_msgpack(self) -> None:
        """Other bytes travel as the original's parse error (N7)."""
        for blob in (b"", b"\xc1", b"\x81", b"\x80\x80", b"\x81\x90\x01"):
            for kind in (Manifest, Profile, Runlist):
                error = self.assertRaises(UnreadableDocument, kind.from_blob, "x", blob)
                self.assertEqual(to_wire(error), WireError(7, 7, "parse error"))

    def test_log_says_which_document(self) -> None:
        """For the log, the document is named."""
        error = self.assertRaises(UnreadableDocument, Manifest.from_blob, "app", b"")

        self.assertIn("manifest 'app': is not a msgpack document: ", str(error))

    def test_nesting_that_the_decoder_refuses(self) -> None:
        """Thousands of levels are no crash."""
        self.assertRaises(UnreadableDocument, unpack, "x", b"\x91" * 100_000 + b"\x01")

    def test_nesting_is_bounded(self) -> None:
        """Neither are the levels that the decoder lets through."""
        deep: object = 1
        for _ in range(MAX_DEPTH):
            deep = [deep]

        error = self.assertRaises(DocumentError, textual, "x", {"a": deep})
        self.assertIn(f"nested deeper than {MAX_DEPTH}", error.reason)
        assert isinstance(deep, list)
        self.assertEqual(textual("x", {"a": deep[0]}), {"a": deep[0]})

    def test_length_is_bounded(self) -> None:
        """A blob beyond the limit is not decoded."""
        error = self.assertRaises(
            DocumentError, unpack, "x", b"\xc0" * MAX_DOCUMENT + b"!"
        )

        self.assertIn("longer than", error.reason)
        self.assertNotIsInstance(error, UnreadableDocument)

    def test_promised_entries_are_bounded(self) -> None:
        """A list that claims to be huge reserves nothing."""
        claim = b"\xdd" + (MAX_ITEMS + 1).to_bytes(4, "big")

        self.assertRaises(UnreadableDocument, unpack, "x", claim + b"\xc0" * 100_000)

    def test_not_a_map(self) -> None:
        """A document of another kind is refused by name."""
        for kind in (Manifest, Profile, Runlist):
            self.assertEqual(self.problems(kind, []), ["must be a map"])
            self.assertEqual(self.problems(kind, None), ["must be a map"])

    def test_bytes_that_are_no_text(self) -> None:
        """Bytes outside of UTF-8 can be written back as they were."""
        found = textual("x", {b"\xff": [b"\xfe", bytearray(b"a")]})

        self.assertEqual(found, {"\udcff": ["\udcfe", "a"]})

    def test_extension_values_are_kept(self) -> None:
        """An extension value is no list."""
        value = msgpack.ExtType(5, b"x")

        self.assertEqual(textual("x", {"a": value, 5: (1,)}), {"a": value, 5: [1]})


class ManifestTests(_Documents):
    """What to run."""

    def test_least_manifest(self) -> None:
        """A program is enough."""
        manifest = Manifest.from_blob("app", raw({"slave": "worker"}))

        self.assertEqual((manifest.name, manifest.slave), ("app", "worker"))
        self.assertEqual((manifest.environment, manifest.protocol), ({}, 1))
        self.assertEqual(manifest.data, {"slave": "worker"})

    def test_everything_is_kept(self) -> None:
        """Keys that mean nothing here are there for ``info``."""
        document = {
            "slave": "/bin/worker",
            "environment": {"A": "1", "B": ""},
            "protocol": 0,
            "drivers": {"t": {"type": "time", "args": {"interval": 5}}},
            "local": True,
            "nothing": None,
        }

        manifest = Manifest.from_blob("app", raw(document))

        self.assertEqual(manifest.data, document)
        self.assertEqual(manifest.environment, {"A": "1", "B": ""})
        self.assertEqual(manifest.protocol, 0)

    def test_no_program(self) -> None:
        """A manifest without a program is refused in the original's words (N6)."""
        error = self.assertRaises(DocumentError, Manifest.from_blob, "x", raw({}))

        wire = to_wire(error)
        self.assertEqual((wire.category, wire.code), (12, 22))
        self.assertIn("runnable object has not been specified", wire.reason)
        self.assertIn("manifest 'x'", wire.reason)

    def test_program_of_the_wrong_kind(self) -> None:
        """A program is text, and not none."""
        slaves: list[object] = ["", 5, None, [], True]
        for slave in slaves:
            (problem,) = self.problems(Manifest, {"slave": slave})
            self.assertIn("slave: must be text that is not empty", problem)

    def test_environment_of_the_wrong_kind(self) -> None:
        """An environment is a map of text, told in the original's words."""
        environments: list[object] = [[], "A=1", {"A": 1}, {5: "x"}, {"A": None}]
        for environment in environments:
            (problem,) = self.problems(
                Manifest, {"slave": "w", "environment": environment}
            )
            self.assertIn("environment should be a map of string -> string", problem)

    def test_variables_that_cannot_be_set(self) -> None:
        """Variables that the operating system refuses are refused here."""
        table = {
            "": ("x", "must not be empty"),
            "A=B": ("x", "must not be empty or contain '='"),
            "A": ("\0", "code 0"),
            "B\0": ("x", "code 0"),
            "C": ("x" * MAX_VARIABLE, f"longer than {MAX_VARIABLE} bytes"),
        }

        for name, (value, reason) in table.items():
            (problem,) = self.problems(
                Manifest, {"slave": "w", "environment": {name: value}}
            )
            self.assertIn(reason, problem)

    def test_longest_variable(self) -> None:
        """A variable of the greatest length is fine."""
        value = "x" * (MAX_VARIABLE - 2)

        manifest = Manifest.from_mapping(
            "x", {"slave": "w", "environment": {"A": value}}
        )

        self.assertEqual(manifest.environment["A"], value)

    def test_program_with_a_zero(self) -> None:
        """A name that the operating system would cut is refused."""
        self.assertEqual(
            self.problems(Manifest, {"slave": "a\0b"}),
            ["slave: must not contain the sign with code 0"],
        )

    def test_protocol(self) -> None:
        """There are two worker protocols."""
        for protocol in (2, -1, "1", 1.0, True, None):
            (problem,) = self.problems(Manifest, {"slave": "w", "protocol": protocol})
            self.assertIn("protocol: must be one of 0, 1", problem)

    def test_all_problems_at_once(self) -> None:
        """Nobody has to upload a manifest three times to learn three mistakes."""
        found = self.problems(
            Manifest, {"environment": {"A": 1, "B": 2}, "protocol": 7}
        )

        self.assertEqual(
            [problem.split(":")[0] for problem in found],
            ["slave", "environment.A", "environment.B", "protocol"],
        )

    def test_number_of_problems_is_bounded(self) -> None:
        """A thousand bad variables make a short error."""
        environment = {f"V{number}": number for number in range(1000)}

        found = self.problems(Manifest, {"slave": "w", "environment": environment})

        self.assertEqual(len(found), MAX_PROBLEMS + 1)
        self.assertEqual(found[-1], f"and {1000 - MAX_PROBLEMS} more")


class ProfileTests(_Documents):
    """How to run it."""

    def test_defaults(self) -> None:
        """An empty profile has the defaults of 0.12.14."""
        profile = Profile.from_blob("default", raw({}))

        self.assertEqual(
            profile.to_mapping(),
            {
                "heartbeat-timeout": 30.0,
                "spawn-timeout": 1.0,
                "handshake-timeout": 5.0,
                "idle-timeout": 600.0,
                "seal-timeout": 60.0,
                "terminate-timeout": 10.0,
                "request-timeout": 86400.0,
                "concurrency": 10,
                "pool-limit": 10,
                "queue-limit": 100,
                "grow-threshold": 5,
                "crashlog-limit": 50,
                "log-output": False,
                "publish-on": 0,
                "unpublish-under": 0,
                "auto-update": 0.0,
                "isolate": {"type": "process", "args": {}},
                "recycle": {"requests": 0, "age": 0.0, "memory": 0, "jitter": 0.1},
            },
        )
        self.assertEqual((profile.name, profile.data), ("default", {}))

    def test_recycle(self) -> None:
        """When workers are replaced, in a section of its own; ours."""
        profile = Profile.from_mapping(
            "x", {"recycle": {"requests": 1000, "age": 3600, "memory": 2**28}}
        )

        self.assertEqual(profile.recycle.requests, 1000)
        self.assertEqual(profile.recycle.age, 3600.0)
        self.assertEqual(profile.recycle.memory, 2**28)
        self.assertEqual(profile.recycle.jitter, 0.1)

    def test_wrong_recycle(self) -> None:
        """Each key has its range; one that means nothing is told."""
        for key, value in (
            ("requests", -1),
            ("requests", 1.5),
            ("age", -1),
            ("memory", "1G"),
            ("jitter", 1),
        ):
            error = self.assertRaises(
                DocumentError, Profile.from_mapping, "x", {"recycle": {key: value}}
            )
            self.assertIn(f"recycle.{key}: must be", str(error))
        profile = Profile.from_mapping("x", {"recycle": {"request": 1}})
        self.assertEqual(profile.unknown, ("recycle.request",))

    def test_made_without_a_document(self) -> None:
        """The defaults are in the struct itself."""
        self.assertEqual(Profile(name="x"), Profile.from_mapping("x", {}))

    def test_every_key(self) -> None:
        """Each key of the document arrives in its field."""
        profile = Profile.from_mapping(
            "x",
            {
                "heartbeat-timeout": 1,
                "spawn-timeout": 2,
                "handshake-timeout": 3.5,
                "idle-timeout": 0,
                "seal-timeout": 4,
                "terminate-timeout": 5,
                "request-timeout": 6,
                "concurrency": 7,
                "pool-limit": 8,
                "queue-limit": 9,
                "grow-threshold": 10,
                "crashlog-limit": 0,
                "log-output": True,
                "publish-on": 8,
                "unpublish-under": 8,
                "isolate": {"type": "docker", "args": {b"a": [b"b"]}},
            },
        )

        self.assertEqual(profile.heartbeat_timeout, 1.0)
        self.assertEqual(profile.spawn_timeout, 2.0)
        self.assertEqual(profile.handshake_timeout, 3.5)
        self.assertEqual(profile.idle_timeout, 0.0)
        self.assertEqual(profile.seal_timeout, 4.0)
        self.assertEqual(profile.terminate_timeout, 5.0)
        self.assertEqual(profile.request_timeout, 6.0)
        self.assertEqual((profile.concurrency, profile.pool_limit), (7, 8))
        self.assertEqual((profile.queue_limit, profile.grow_threshold), (9, 10))
        self.assertEqual((profile.crashlog_limit, profile.log_output), (0, True))
        self.assertEqual((profile.publish_on, profile.unpublish_under), (8, 8))
        self.assertEqual(profile.isolate, IsolateKeys(type="docker", args={"a": ["b"]}))
        self.assertEqual(profile.unknown, ())

    def test_times_are_floats(self) -> None:
        """A whole number of seconds is a number of seconds."""
        profile = Profile.from_mapping("x", {"heartbeat-timeout": 3})

        self.assertIs(type(profile.heartbeat_timeout), float)

    def test_default_of_the_threshold(self) -> None:
        """It follows from the other two, by integer divisions, at least 1."""
        table = {
            (100, 10): 5,
            (100, 7): 7,
            (0, 10): 1,
            (10, 10): 1,
            (1000, 1): 500,
        }

        for (queue, pool), threshold in table.items():
            profile = Profile.from_mapping(
                "x", {"queue-limit": queue, "pool-limit": pool}
            )
            self.assertEqual(profile.grow_threshold, threshold)

    def test_numbers_that_end_the_original(self) -> None:
        """No pool, no concurrency and no threshold are errors, not crashes."""
        found = self.problems(
            Profile, {"pool-limit": 0, "concurrency": 0, "grow-threshold": 0}
        )

        text = "\n".join(found)
        self.assertEqual(len(found), 3)
        self.assertIn("pool-limit: engine pool limit must be positive", text)
        self.assertIn("concurrency: engine concurrency must be positive", text)
        self.assertIn("grow-threshold: must be a whole number from 1", text)

    def test_queue_may_be_none(self) -> None:
        """No queue at all is allowed, as no crashlog is."""
        profile = Profile.from_mapping("x", {"queue-limit": 0, "crashlog-limit": 0})

        self.assertEqual((profile.queue_limit, profile.crashlog_limit), (0, 0))

    def test_times(self) -> None:
        """Times are finite, positive and not absurd."""
        for key in (
            "heartbeat-timeout",
            "spawn-timeout",
            "handshake-timeout",
            "seal-timeout",
            "terminate-timeout",
            "request-timeout",
        ):
            for value in (
                0,
                -1,
                float("nan"),
                float("inf"),
                MAX_SECONDS + 1,
                10**400,
                "5",
                True,
                None,
            ):
                (problem,) = self.problems(Profile, {key: value})
                self.assertTrue(problem.startswith(f"{key}: "), problem)

    def test_idle_time(self) -> None:
        """Only the idle time may be 0."""
        self.assertEqual(Profile.from_mapping("x", {"idle-timeout": 0}).idle_timeout, 0)
        for value in (-0.1, float("nan"), MAX_SECONDS + 1):
            self.problems(Profile, {"idle-timeout": value})

    def test_text_of_the_heartbeat(self) -> None:
        """The original's words come first, then the rule."""
        (problem,) = self.problems(Profile, {"heartbeat-timeout": 0})

        self.assertEqual(
            problem,
            "heartbeat-timeout: slave heartbeat timeout must be positive: must be a "
            f"number greater than 0 and at most {MAX_SECONDS}, not 0",
        )

    def test_counters(self) -> None:
        """Counters are whole, not negative and bounded."""
        table = {
            "concurrency": MAX_CONCURRENCY,
            "pool-limit": MAX_POOL,
            "queue-limit": MAX_QUEUE,
            "grow-threshold": MAX_QUEUE,
            "crashlog-limit": MAX_CRASHLOG,
            "publish-on": MAX_POOL,
            "unpublish-under": MAX_POOL,
        }

        for key, limit in table.items():
            for value in (-1, limit + 1, 1.0, True, "1", 2**64 - 1):
                (problem,) = self.problems(Profile, {key: value})
                self.assertTrue(problem.startswith(f"{key}: "), problem)

    def test_greatest_values(self) -> None:
        """Every limit itself is allowed."""
        profile = Profile.from_mapping(
            "x",
            {
                "concurrency": MAX_CONCURRENCY,
                "pool-limit": MAX_POOL,
                "publish-on": MAX_POOL,
                "unpublish-under": MAX_POOL,
                "queue-limit": MAX_QUEUE,
                "grow-threshold": MAX_QUEUE,
                "crashlog-limit": MAX_CRASHLOG,
                "request-timeout": MAX_SECONDS,
            },
        )

        self.assertEqual(profile.request_timeout, MAX_SECONDS)

    def test_output_is_a_truth_value(self) -> None:
        """``log-output: 1`` is a mistake, as in the original."""
        (problem,) = self.problems(Profile, {"log-output": 1})

        self.assertEqual(problem, "log-output: must be true or false, not 1")

    def test_publishing_beyond_the_pool(self) -> None:
        """A service cannot wait for more workers than there can be."""
        self.assertEqual(
            self.problems(Profile, {"publish-on": 11}),
            ["publish threshold must not be greater than pool limit"],
        )

    def test_unpublishing_above_publishing(self) -> None:
        """A service cannot be taken back where it is published."""
        self.assertEqual(
            self.problems(Profile, {"publish-on": 2, "unpublish-under": 3}),
            ["publish threshold must not be less than unpublish one"],
        )

    def test_thresholds_beside_other_problems(self) -> None:
        """Rules between good keys are checked although another key is bad."""
        found = self.problems(Profile, {"publish-on": 11, "concurrency": "x"})

        self.assertEqual(len(found), 2)
        self.assertIn("publish threshold must not be greater than pool limit", found)

    def test_thresholds_of_bad_keys(self) -> None:
        """A bad key is not blamed twice."""
        self.assertEqual(len(self.problems(Profile, {"publish-on": -5})), 1)
        self.assertEqual(
            len(self.problems(Profile, {"pool-limit": "x", "publish-on": 50})), 1
        )

    def test_old_names(self) -> None:
        """Names of the v0.11 line mean today's keys."""
        profile = Profile.from_mapping(
            "x", {"startup-timeout": 7, "termination-timeout": 8}
        )

        self.assertEqual(profile.handshake_timeout, 7.0)
        self.assertEqual(profile.terminate_timeout, 8.0)
        self.assertEqual(profile.unknown, ())
        self.assertEqual(profile.data, {"startup-timeout": 7, "termination-timeout": 8})

    def test_new_names_win(self) -> None:
        """An old name beside the new one changes nothing."""
        profile = Profile.from_mapping(
            "x", {"startup-timeout": 7, "handshake-timeout": 3}
        )

        self.assertEqual(profile.handshake_timeout, 3.0)

    def test_unknown_keys(self) -> None:
        """Keys that mean nothing are kept and listed."""
        document = {"spawn-threshold": 5, 7: 8, "isolate": {"typ": "x"}, "a\n": 1}

        profile = Profile.from_mapping("x", document)

        self.assertEqual(
            profile.unknown, ('"a\\n"', "7", "isolate.typ", "spawn-threshold")
        )
        self.assertEqual(profile.data, document)

    def test_isolate(self) -> None:
        """Parts of the isolate that are missing are the defaults."""
        table: list[tuple[object, IsolateKeys]] = [
            (None, IsolateKeys()),
            ({}, IsolateKeys()),
            ({"args": {"a": 1}}, IsolateKeys(args={"a": 1})),
            ({"type": "porto"}, IsolateKeys(type="porto")),
        ]

        for isolate, expected in table:
            profile = Profile.from_mapping("x", {"isolate": isolate})
            self.assertEqual(profile.isolate, expected)

    def test_isolate_of_the_wrong_kind(self) -> None:
        """An isolate is a map of a type and arguments."""
        isolates: list[object] = [[], "x", {"type": 5}, {"type": ""}, {"args": []}]
        for isolate in isolates:
            (problem,) = self.problems(Profile, {"isolate": isolate})
            self.assertTrue(problem.startswith("isolate"), problem)

    def test_error_names_the_profile(self) -> None:
        """The error says which profile is meant, also on the wire."""
        error = self.assertRaises(
            DocumentError, Profile.from_mapping, "big", {"pool-limit": 0}
        )

        wire = to_wire(error)
        self.assertEqual((wire.category, wire.code), (12, 22))
        self.assertTrue(wire.reason.startswith("profile 'big': pool-limit: "))


class DocumentTests(_Documents):
    """What holds for manifests, profiles and runlists alike."""

    def test_names_of_documents(self) -> None:
        """Every error begins with the kind and the name."""
        table: dict[Any, str] = {
            Manifest: "manifest",
            Profile: "profile",
            Runlist: "runlist",
        }

        for kind, word in table.items():
            error = self.assertRaises(DocumentError, kind.from_mapping, "n\n", [])
            self.assertEqual(str(error), f"{word} 'n\\n': must be a map")
            self.assertEqual(error.what, f"{word} 'n\\n'")

    def test_frozen(self) -> None:
        """Documents do not change while an app runs."""
        for document, field in (
            (Manifest(name="x", slave="w"), "slave"),
            (Profile(name="x"), "pool_limit"),
            (Runlist(name="x"), "apps"),
        ):
            self.assertRaises(AttributeError, setattr, document, field, None)

    def test_given_mapping_is_not_kept(self) -> None:
        """What the caller does with his mapping afterwards changes nothing."""
        document: dict[str, Any] = {"isolate": {"args": {"a": [1]}}}
        profile = Profile.from_mapping("x", document)

        document["isolate"]["args"]["a"].append(2)

        self.assertEqual(profile.isolate.args, {"a": [1]})
        self.assertEqual(profile.data, {"isolate": {"args": {"a": [1]}}})

    def test_hostile_names_in_errors(self) -> None:
        """No key or value makes an error long or unprintable."""
        key = "\udcff\n" * 50_000

        for kind, document in (
            (Manifest, {"slave": "w", "environment": {key: 5, key + "=": key}}),
            (Runlist, {key: 5}),
            (Profile, {"isolate": {"type": key, "args": 5}, "log-output": key}),
        ):
            error = self.assertRaises(DocumentError, kind.from_mapping, "x", document)
            self.assertLess(len(error.reason.encode("utf-8")), 2000)
            self.assertNotIn("\n", error.reason)

    def test_last_of_double_keys_counts(self) -> None:
        """A map with a key twice has its last value, as in the original."""
        packed = b"\x82\xa5slave\xa1a\xa5slave\xa1b"

        self.assertEqual(Manifest.from_blob("x", packed).slave, "b")


class RunlistTests(_Documents):
    """What to start with the node."""

    def test_apps(self) -> None:
        """Apps come with their profiles, in the order of the document."""
        runlist = Runlist.from_blob("boot", raw({"b": "default", "a": "small"}))

        self.assertEqual(runlist.name, "boot")
        self.assertEqual(list(runlist.apps.items()), [("b", "default"), ("a", "small")])

    def test_empty(self) -> None:
        """A runlist may be empty."""
        self.assertEqual(Runlist.from_blob("boot", raw({})).apps, {})

    def test_mistakes(self) -> None:
        """Names are text; all mistakes are listed."""
        found = self.problems(
            Runlist, {"a": 5, "b": "", "": "x", 7: "x", "c": "ok", "d": "\0"}
        )

        self.assertEqual(
            found,
            [
                "app 'a': its profile must be a name",
                "app 'b': its profile must be a name",
                "the name of an app must be text, not ''",
                "the name of an app must be text, not '7'",
                "app 'd': must not contain the sign with code 0",
            ],
        )

    def test_length_is_bounded(self) -> None:
        """More apps than a node can hold are refused."""
        apps = {f"app{number}": "default" for number in range(MAX_RUNLIST + 1)}

        self.assertEqual(
            self.problems(Runlist, apps), [f"names more than {MAX_RUNLIST} apps"]
        )

    def test_longest(self) -> None:
        """The greatest number of apps fits a blob."""
        apps = {f"app{number}": "default" for number in range(MAX_RUNLIST)}

        self.assertEqual(len(Runlist.from_blob("boot", raw(apps)).apps), MAX_RUNLIST)


_keys = st.sampled_from(
    "slave environment protocol isolate type args pool-limit queue-limit "
    "concurrency grow-threshold publish-on unpublish-under heartbeat-timeout "
    "startup-timeout idle-timeout log-output crashlog-limit".split()
) | st.text(max_size=4)
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 200)
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=4)
    | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3)
    ),
    max_leaves=8,
)
_profiles = st.fixed_dictionaries(
    {},
    optional={
        "heartbeat-timeout": st.floats(0.001, MAX_SECONDS),
        "startup-timeout": st.integers(1, 100),
        "idle-timeout": st.integers(0, 100),
        "pool-limit": st.integers(5, MAX_POOL),
        "queue-limit": st.integers(0, MAX_QUEUE),
        "concurrency": st.integers(1, MAX_CONCURRENCY),
        "grow-threshold": st.integers(1, 100),
        "publish-on": st.integers(3, 5),
        "unpublish-under": st.just(0),
        "log-output": st.booleans(),
        "isolate": st.fixed_dictionaries(
            {}, optional={"type": st.just("docker"), "args": st.just({"a": [1]})}
        ),
    },
)


class PropertyTests(SynchronousTestCase):
    """Laws of all documents."""

    @given(document=_values | st.dictionaries(_keys, _values, max_size=8))
    def test_any_tree_is_a_document_or_refused(self, document: object) -> None:
        """No tree raises anything but a DocumentError that can be sent."""
        for kind in (Manifest, Profile, Runlist):
            try:
                found = kind.from_mapping("x", document)
            except DocumentError as error:
                self.assertTrue(error.reason.encode("utf-8"))
                self.assertTrue(error.problems)
            else:
                self.assertEqual(found.name, "x")

    @given(blob=st.binary(max_size=40))
    def test_any_bytes_are_a_document_or_refused(self, blob: bytes) -> None:
        """Neither do any bytes."""
        for kind in (Manifest, Profile, Runlist):
            try:
                found = kind.from_blob("x", blob)
            except DocumentError as error:
                self.assertTrue(str(error))
            else:
                self.assertEqual(found.name, "x")

    @given(document=_profiles)
    def test_profile_is_a_fixpoint(self, document: dict[str, Any]) -> None:
        """What a profile writes out is read back as the same profile."""
        first = Profile.from_blob("x", raw(document))

        second = Profile.from_blob("x", raw(first.to_mapping()))

        self.assertEqual(second.to_mapping(), first.to_mapping())
        self.assertEqual(second.data, first.to_mapping())
        self.assertEqual(second.unknown, ())

    @given(document=_profiles)
    def test_profile_keeps_its_rules(self, document: dict[str, Any]) -> None:
        """Whatever is accepted can be divided by and compared."""
        profile = Profile.from_mapping("x", document)

        self.assertGreaterEqual(profile.grow_threshold, 1)
        self.assertLessEqual(profile.unpublish_under, profile.publish_on)
        self.assertLessEqual(profile.publish_on, profile.pool_limit)

    @given(
        slave=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9),
        more=st.dictionaries(st.text(max_size=4), st.integers(), max_size=3),
    )
    def test_manifest_is_kept_whole(self, slave: str, more: dict[str, int]) -> None:
        """A manifest's document is what was stored, key by key."""
        document = {**more, "slave": slave.replace("\0", "0")}
        for key in ("environment", "protocol"):
            document.pop(key, None)

        manifest = Manifest.from_mapping("x", document)

        self.assertEqual(manifest.data, document)
        self.assertEqual(manifest.slave, document["slave"])
