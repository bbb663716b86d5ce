# -*- test-case-name: cocained.test.test_conventions -*-
"""
Every contract of the project, one interface per role.

Plugins of eight kinds are found by *category* and *type* (plugins.md §1) and
built as ``factory(node, name, args)``: *node* is an :class:`INode`, *name* the
name under which the component is configured, *args* an instance of the
factory's ``Args`` (a ``msgspec.Struct``), already checked.

``docs/extending.rst`` shows one complete example of each kind.
"""

from cocained.interfaces.apps import (
    ICodeVersion,
    IDriver,
    IEventSink,
    IIsolate,
    ISpoolProgress,
    IWorkerHandle,
    IWorkerObserver,
)
from cocained.interfaces.clusters import (
    ICluster,
    IGateway,
    ILinks,
    INodeObserver,
)
from cocained.interfaces.directory import (
    IBehindDoors,
    IDirectory,
    IDoor,
    IExposure,
    Withdrawn,
)
from cocained.interfaces.loggers import (
    LOG_ATTRIBUTES,
    LOG_SOURCE,
    ILogger,
)
from cocained.interfaces.node import (
    INode,
    IReactor,
)
from cocained.interfaces.plugins import (
    CATEGORIES,
    IComponent,
    IPluginEntry,
    IReporter,
)
from cocained.interfaces.services import (
    IRemoteService,
    IResumable,
)
from cocained.interfaces.storages import (
    IStorage,
    IVersionedStorage,
)
from cocained.interfaces.unicorns import (
    Children,
    IScope,
    IUnicorn,
    IUnicornObserver,
    Versioned,
)

__all__ = [
    "CATEGORIES",
    "LOG_ATTRIBUTES",
    "LOG_SOURCE",
    "Children",
    "IBehindDoors",
    "ICluster",
    "ICodeVersion",
    "IComponent",
    "IDirectory",
    "IDoor",
    "IDriver",
    "IEventSink",
    "IExposure",
    "IGateway",
    "IIsolate",
    "ILinks",
    "ILogger",
    "INode",
    "INodeObserver",
    "IPluginEntry",
    "IReactor",
    "IRemoteService",
    "IReporter",
    "IResumable",
    "IScope",
    "ISpoolProgress",
    "IStorage",
    "IUnicorn",
    "IUnicornObserver",
    "IVersionedStorage",
    "IWorkerHandle",
    "IWorkerObserver",
    "Versioned",
    "Withdrawn",
]
