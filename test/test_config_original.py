# -*- test-case-name: cocained.test.test_config_original -*-
"""
Configurations of the original, versions 2, 3 and 4.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.config import ComponentConfig, NodeConfig, loads
from cocained.config.draft import MAX_NOTES, Draft
from cocained.config.original import IGNORED, translate
from cocained.config.problems import LineMap
from cocained.errors import ConfigError

CONSOLE = ComponentConfig(type="console")

VERSION_2 = """{
    "version": 2,
    "paths": {"plugins": "/usr/lib/x", "runtime": "/run/x", "spool": "/spool"},
    "locator": {
        "hostname": "node.example",
        "endpoint": "0.0.0.0",
        "port": 10099,
        "port-range": [41000, 42000]
    },
    "network": {"group": "239.0.100.53", "gateway": {"args": {"a": 1}}},
    "services": {
        "node": {"type": "node", "args": {"runlist": "default"}},
        "storage": {"type": "storage", "args": {"backend": "core"}}
    },
    "storages": {"core": {"type": "files", "args": {"path": "/var/lib/x"}}},
    "loggers": {
        "core": {"type": "syslog", "args": {"identity": "me", "verbosity": "debug"}}
    }
}"""

VERSION_3 = """{
    "version": 3,
    "logging": {
        "core": {
            "loggers": [
                {"formatter": {"type": "string"},
                 "sink": {"type": "syslog", "identity": "me", "priority": 1}}
            ],
            "timestamp": "%Y",
            "verbosity": "warning"
        }
    },
    "network": {"pinned": {"locator": 10053}, "pool": 8},
    "services": {
        "locator": {
            "type": "locator",
            "args": {
                "cluster": {"type": "multicast", "args": {"group": "239.0.100.53"}},
                "gateway": {"type": "adhoc"}
            }
        },
        "node": {"type": "node::v2", "args": {"runlist": "default"}}
    },
    "storages": {"core": {"type": "files"}}
}"""

VERSION_4 = """// The newest layout.
{
    "version": 4,
    "logging": {
        "loggers": {
            "core": [
                {"type": "root", "sinks": [
                    {"type": "console"},
                    {"type": "file", "path": "/var/log/x.log", "flush": 1},
                    {"type": "asynchronous", "factor": 10,
                     "sink": {"type": "syslog"}},
                    {"type": "udp", "host": "h"}
                ]}
            ],
            "other": [],
        },
        "severity": "error", /* quiet */
    },
    "network": {"endpoint": "::1", "shared": [41000, 42000]},
    "paths": {"plugins": ["/a", "/b"]},
    "services": {"node": {"type": "node", "args": {"anything": [1, {"x": null}]}}},
    "storages": {"core": {"type": "files"}, "cache": {"type": "cocaine"}},
    "unicorns": {"core": {"type": "zookeeper"}},
    "authentications": {"core": {"type": "promiscuous"}},
    "authorizations": {},
    "senders": {},
    "postgres": {},
    "context": {"distributor": {"type": "rr"}},
}"""


class _Originals(SynchronousTestCase):
    def read(self, tree: dict[str, Any]) -> NodeConfig:
        """Read a tree as if it stood in a file of the original."""
        return loads(json.dumps(tree), "x.conf")

    def refused(self, tree: dict[str, Any]) -> str:
        """Give the text of the error about a tree."""
        return str(self.assertRaises(ConfigError, self.read, tree))


class Version2Tests(_Originals):
    """The layout of v0.11."""

    def test_network(self) -> None:
        """The locator's keys become those of the network."""
        network = loads(VERSION_2).network

        self.assertEqual(network.hostname, "node.example")
        self.assertEqual(network.endpoint, "0.0.0.0")
        self.assertEqual(network.pinned, {"locator": 10099})
        self.assertEqual(network.shared, (41000, 42000))

    def test_locator_becomes_a_service(self) -> None:
        """The built-in locator is added with cluster and gateway."""
        config = loads(VERSION_2)

        self.assertEqual(
            config.services["locator"],
            ComponentConfig(
                type="locator",
                args={
                    "cluster": {"type": "multicast", "args": {"group": "239.0.100.53"}},
                    "gateway": {"type": "adhoc", "args": {"a": 1}},
                },
            ),
        )
        self.assertEqual(set(config.services), {"locator", "node", "storage"})

    def test_rest_is_kept(self) -> None:
        """Paths, services and storages stay as they are."""
        config = loads(VERSION_2)

        self.assertEqual(config.paths.runtime, "/run/x")
        self.assertEqual(config.paths.spool, "/spool")
        self.assertEqual(config.services["node"].args, {"runlist": "default"})
        self.assertEqual(config.storages["core"].args, {"path": "/var/lib/x"})

    def test_logger(self) -> None:
        """The logger ``core`` becomes ours, its verbosity the severity."""
        logging = loads(VERSION_2).logging

        self.assertEqual(
            logging.loggers, (ComponentConfig(type="syslog", args={"identity": "me"}),)
        )
        self.assertEqual(logging.severity, "debug")

    def test_notes(self) -> None:
        """What differs is said."""
        notes = " ".join(loads(VERSION_2).notes)

        self.assertIn("network.group: peers are found by multicast", notes)
        self.assertIn("paths.plugins: ", notes)

    def test_least_of_all(self) -> None:
        """Without anything else, there is a locator on its usual port."""
        config = self.read({"version": 2})

        self.assertEqual(config.network.pinned, {"locator": 10053})
        self.assertEqual(config.network.shared, (0, 0))
        self.assertEqual(config.services, {"locator": ComponentConfig(type="locator")})
        self.assertEqual(config.logging.loggers, (CONSOLE,))

    def test_port_range_with_missing_members(self) -> None:
        """Missing members are filled in as the original does."""
        for given_range, whole in (([], (32768, 61000)), ([5000], (5000, 61000))):
            config = self.read({"version": 2, "locator": {"port-range": given_range}})
            self.assertEqual(config.network.shared, whole)

    def test_faults_have_their_old_paths(self) -> None:
        """A bad value is reported where the file has it."""
        text = self.refused(
            {"version": 2, "locator": {"port": 70000, "port-range": [5, "x"]}}
        )

        self.assertIn("x.conf:1: locator.port: must be a whole number", text)
        self.assertIn("x.conf:1: locator.port-range[1]: must be a whole number", text)

    def test_lines_of_moved_values(self) -> None:
        """So is its line."""
        broken = VERSION_2.replace("10099", '"x"')

        error = self.assertRaises(ConfigError, loads, broken)

        self.assertEqual((error.path, error.line), ("locator.port", 7))

    def test_unknown_keys(self) -> None:
        """Sections that mean something else in version 2 know their keys."""
        text = self.refused(
            {"version": 2, "locator": {"prot": 1}, "network": {"pinned": {}}}
        )

        self.assertIn("locator.prot: unknown key; did you mean 'port'?", text)
        self.assertIn("network.pinned: unknown key; known are gateway, group", text)

    def test_sections_of_the_wrong_kind(self) -> None:
        """A section that is none is refused."""
        for name in ("locator", "network", "loggers", "services"):
            text = self.refused({"version": 2, name: [1]})
            self.assertIn(f"{name}: must be a section", text)

    def test_locator_among_the_services(self) -> None:
        """The built-in locator cannot be configured twice."""
        text = self.refused({"version": 2, "services": {"locator": {"type": "x"}}})

        self.assertIn("services.locator: version 2 brings its own", text)

    def test_loggers(self) -> None:
        """Each type has a counterpart or a note."""
        table: list[tuple[dict[str, Any], ComponentConfig]] = [
            ({"type": "stdout"}, CONSOLE),
            (
                {"type": "files", "args": {"path": "/l", "x": 1}},
                ComponentConfig(type="file", args={"path": "/l"}),
            ),
            ({"type": "syslog", "args": None}, ComponentConfig(type="syslog")),
            ({"type": "logstash", "args": {"host": "h"}}, CONSOLE),
        ]

        for old, new in table:
            config = self.read({"version": 2, "loggers": {"core": old}})
            self.assertEqual(config.logging.loggers, (new,))

    def test_ignored_arguments_of_loggers(self) -> None:
        """What is dropped from a logger is noted."""
        config = self.read(
            {
                "version": 2,
                "loggers": {
                    "aux": {"type": "stdout"},
                    "core": {"type": "gelf", "args": {"host": "h"}},
                },
            }
        )

        notes = "\n".join(config.notes)
        self.assertIn("loggers.aux: only 'core' is used; ignored", notes)
        self.assertIn("loggers.core.type: has no counterpart", notes)
        self.assertIn("loggers.core.args.host: has no meaning", notes)

    def test_verbosity_ignore(self) -> None:
        """Who wants no logs gets none."""
        logger = {"type": "stdout", "args": {"verbosity": "ignore"}}

        config = self.read({"version": 2, "loggers": {"core": logger}})

        self.assertEqual(config.logging.loggers, ())

    def test_bad_verbosity(self) -> None:
        """A severity that is none is reported where it stands."""
        logger = {"type": "stdout", "args": {"verbosity": "loud"}}

        text = self.refused({"version": 2, "loggers": {"core": logger}})

        self.assertIn("loggers.core.args.verbosity: must be one of", text)

    def test_logger_without_a_type(self) -> None:
        """A logger needs a type."""
        for logger in ({}, 5, {"type": 5}):
            text = self.refused({"version": 2, "loggers": {"core": logger}})
            self.assertIn("loggers.core: must be a section with a type", text)


class Version3Tests(_Originals):
    """The layout of v0.12.3."""

    def test_logging(self) -> None:
        """Verbosity and sink are kept, the rest is noted."""
        config = loads(VERSION_3)

        self.assertEqual(
            config.logging.loggers,
            (ComponentConfig(type="syslog", args={"identity": "me"}),),
        )
        self.assertEqual(config.logging.severity, "warning")
        notes = "\n".join(config.notes)
        for path in (
            "logging.core.timestamp",
            "logging.core.loggers[0].formatter",
            "logging.core.loggers[0].sink.priority",
            "network.pool",
        ):
            self.assertIn(f"{path}: ", notes)

    def test_services_are_kept(self) -> None:
        """Arguments of services pass through untouched."""
        services = loads(VERSION_3).services

        self.assertEqual(
            services["locator"].args["cluster"],
            {"type": "multicast", "args": {"group": "239.0.100.53"}},
        )
        self.assertEqual(services["locator"].args["gateway"], {"type": "adhoc"})

    def test_node_has_one_type(self) -> None:
        """Both names of the node service mean ours."""
        self.assertEqual(loads(VERSION_3).services["node"].type, "node")

    def test_no_locator_is_added(self) -> None:
        """From version 3 on the locator is a service like any other."""
        config = self.read({"version": 3, "services": {}})

        self.assertEqual((config.services, config.network.pinned), ({}, {}))

    def test_bare_lists_of_handlers(self) -> None:
        """Names with lists right under ``logging`` are understood too."""
        handlers = [{"sinks": [{"type": "file", "path": "/l"}]}]

        config = self.read({"version": 4, "logging": {"core": handlers}})

        self.assertEqual(
            config.logging.loggers, (ComponentConfig(type="file", args={"path": "/l"}),)
        )

    def test_bad_verbosity(self) -> None:
        """A severity that is none is reported where it stands."""
        text = self.refused(
            {"version": 3, "logging": {"core": {"loggers": [], "verbosity": "x"}}}
        )

        self.assertIn("logging.core.verbosity: must be one of debug", text)


class Version4Tests(_Originals):
    """The layout of v0.12.14."""

    def test_logging(self) -> None:
        """Every sink with a counterpart becomes a logger, in order."""
        logging = loads(VERSION_4).logging

        self.assertEqual(
            logging.loggers,
            (
                CONSOLE,
                ComponentConfig(type="file", args={"path": "/var/log/x.log"}),
                ComponentConfig(type="syslog"),
            ),
        )
        self.assertEqual(logging.severity, "error")

    def test_notes(self) -> None:
        """Every key that does nothing here has a note with its path."""
        notes = "\n".join(loads(VERSION_4).notes)

        for path in (
            "logging.loggers.other",
            "logging.loggers.core[0].type",
            "logging.loggers.core[0].sinks[1].flush",
            "logging.loggers.core[0].sinks[3]",
            "paths.plugins",
            "authentications",
            "authorizations",
            "senders",
            "postgres",
            "context",
        ):
            self.assertIn(f"{path}: ", notes)

    def test_arguments_pass_through(self) -> None:
        """Arguments of services and types of storages are not looked into."""
        config = loads(VERSION_4)

        self.assertEqual(config.services["node"].args, {"anything": [1, {"x": None}]})
        self.assertEqual(config.storages["cache"].type, "cocaine")

    def test_unicorns(self) -> None:
        """Coordination backends are read as they are."""
        unicorns = loads(VERSION_4).unicorns

        self.assertEqual(unicorns, {"core": ComponentConfig(type="zookeeper")})

    def test_network(self) -> None:
        """Addresses and ports mean what they meant."""
        network = loads(VERSION_4).network

        self.assertEqual((network.endpoint, network.shared), ("::1", (41000, 42000)))

    def test_faults_of_sinks_have_their_old_paths(self) -> None:
        """A logger's bad argument can be reported where the file has it."""
        config = loads(VERSION_4, "x.conf")

        error = config.where.at("logging", "loggers", 1, "args").error("bad", ("path",))

        self.assertEqual(error.line, 9)
        self.assertEqual(error.path, "logging.loggers.core[0].sinks[1].args.path")

    def test_no_destination(self) -> None:
        """Without any usable sink the console is used, with a note."""
        handlers = [{"sinks": [{"type": "tcp"}, {"type": 5}]}]

        config = self.read({"version": 4, "logging": {"loggers": {"core": handlers}}})

        self.assertEqual(config.logging.loggers, (CONSOLE,))
        notes = "\n".join(config.notes)
        self.assertIn("sink of type 'tcp' has no counterpart", notes)
        self.assertIn("sink of type 5 has no counterpart", notes)
        self.assertIn("the console is used", notes)

    def test_null_sink(self) -> None:
        """Who logs to nowhere gets no logs."""
        handlers = [{"sinks": [{"type": "null"}]}]

        config = self.read({"version": 4, "logging": {"loggers": {"core": handlers}}})

        self.assertEqual(config.logging.loggers, ())

    def test_first_logger_without_core(self) -> None:
        """Where nothing is called ``core``, the first one is used."""
        loggers = {
            "b": [{"sinks": [{"type": "file", "path": "/b"}]}],
            "a": [{"sinks": [{"type": "console"}]}],
        }

        config = self.read({"version": 4, "logging": {"loggers": loggers}})

        self.assertEqual(config.logging.loggers[0].args, {"path": "/b"})
        self.assertIn("logging.loggers.a: only the logger 'b'", config.notes[0])

    def test_shapes_that_are_none(self) -> None:
        """Whatever is not of the library's shape is refused by path."""
        table: list[tuple[Any, str]] = [
            (5, "logging.loggers.core: must be a list of handlers, not 5"),
            ([5], "logging.loggers.core[0]: must be a section, not 5"),
            (
                [{"sinks": {}}],
                "logging.loggers.core[0].sinks: must be a list, not a section",
            ),
            (
                [{"sinks": [5]}],
                "logging.loggers.core[0].sinks[0]: must be a section, not 5",
            ),
            (
                [{"sink": {"type": "asynchronous"}}],
                "logging.loggers.core[0].sink.sink: must be a section, not nothing",
            ),
        ]

        for handlers, text in table:
            tree = {"version": 4, "logging": {"loggers": {"core": handlers}}}
            self.assertIn(text, self.refused(tree))

    def test_unknown_keys_beside_the_loggers(self) -> None:
        """Keys that are none of logging's are still refused."""
        text = self.refused(
            {"version": 4, "logging": {"loggers": {}, "severty": "info"}}
        )

        self.assertIn("logging.severty: unknown key; did you mean 'severity'?", text)

    def test_sections_of_version_2(self) -> None:
        """Old sections in a new file are explained."""
        text = self.refused({"version": 4, "locator": {}, "loggers": {}})

        self.assertIn("locator: is a section of version 2 only; use 'network'", text)
        self.assertIn("loggers: is a section of version 2 only; use 'logging'", text)


class CommonTests(_Originals):
    """What holds for all versions."""

    def test_versions(self) -> None:
        """Only three generations are understood."""
        versions: list[object] = [1, 5, "4", None, 4.0, True, [], {}]
        for version in versions:
            text = self.refused({"version": version})
            self.assertIn("version: must be 2, 3 or 4", text)

    def test_result_is_of_our_version(self) -> None:
        """Whatever came in, the configuration is of version 4."""
        for text in (VERSION_2, VERSION_3, VERSION_4):
            self.assertEqual(loads(text).version, 4)

    def test_old_layouts_in_yaml(self) -> None:
        """The layout does not depend on the syntax."""
        config = loads("version: 2\nlocator: {port: 1234}\n")

        self.assertEqual(config.network.pinned, {"locator": 1234})

    def test_ignored_sections_in_ours(self) -> None:
        """Sections of the original are no errors in YAML, whatever they hold."""
        for name in IGNORED:
            config = loads(f"{name}: [1, 2]")
            self.assertEqual(len(config.notes), 1)
            self.assertTrue(config.notes[0].startswith(f"{name}: "))
            self.assertTrue(config.notes[0].endswith("ignored"))

    def test_ours_is_left_alone(self) -> None:
        """A list of loggers is not taken for the original's."""
        config = loads("logging: {loggers: [{type: syslog, args: {a: 1}}]}")

        self.assertEqual(
            config.logging.loggers, (ComponentConfig(type="syslog", args={"a": 1}),)
        )
        self.assertEqual(config.notes, ())

    def test_tree_is_not_changed(self) -> None:
        """Translation works on copies."""
        for text in (VERSION_2, VERSION_3):
            tree = json.loads(text)
            translate(tree, LineMap())
            self.assertEqual(tree, json.loads(text))

    def test_number_of_notes_is_bounded(self) -> None:
        """A thousand ignored keys make a short list."""
        loggers: dict[str, list[Any]] = {
            f"logger{number}": [] for number in range(1000)
        }

        config = self.read({"logging": {"loggers": loggers}})

        self.assertEqual(len(config.notes), MAX_NOTES + 1)
        self.assertIn("more keys", config.notes[-1])

    def test_draft_replaces_what_is_no_section(self) -> None:
        """Writing below a plain value makes a section of it."""
        draft = Draft({"a": 5}, LineMap())

        draft.put(("a", "b", "c"), 1)

        self.assertEqual(draft.tree, {"a": {"b": {"c": 1}}})

    @given(
        port=st.integers(0, 65535),
        first=st.integers(1, 65000),
        size=st.integers(1, 500),
    )
    def test_ports_survive(self, port: int, first: int, size: int) -> None:
        """Version 2's ports mean the same after translation."""
        locator = {"port": port, "port-range": [first, first + size]}

        network = self.read({"version": 2, "locator": locator}).network

        self.assertEqual(network.pinned, {"locator": port})
        self.assertEqual(network.shared, (first, first + size))
