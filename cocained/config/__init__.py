# -*- test-case-name: cocained.test.test_config -*-
"""
``node.yaml`` and the original's ``cocaine-runtime.conf`` → one frozen tree.

::

    text ──source──▶ tree + lines ──original──▶ our layout ──convert──▶ NodeConfig
           (jsonc)                 (blackhole)              (schema)

:func:`load` runs it all.  Plugins use :func:`convert` for their own
arguments, and :class:`Invalid` for rules that types cannot say.
"""

from cocained.config.convert import Invalid, convert, examine
from cocained.config.problems import ConfigErrors, LineMap
from cocained.config.reader import load, loads
from cocained.config.schema import (
    ComponentConfig,
    LimitsConfig,
    LoggingConfig,
    NetworkConfig,
    NodeConfig,
    PathsConfig,
    Settings,
    ShutdownConfig,
    runtime_directory,
)

__all__ = [
    "ComponentConfig",
    "ConfigErrors",
    "Invalid",
    "LimitsConfig",
    "LineMap",
    "LoggingConfig",
    "NetworkConfig",
    "NodeConfig",
    "PathsConfig",
    "Settings",
    "ShutdownConfig",
    "convert",
    "examine",
    "load",
    "loads",
    "runtime_directory",
]
