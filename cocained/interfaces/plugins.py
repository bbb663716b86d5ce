# -*- test-case-name: cocained.test.test_conventions -*-
"""
Plugins and components: what everything that is configured provides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


#: The kinds of plugins, in the order in which ``--plugins`` lists them.
CATEGORIES = (
    "service",
    "storage",
    "logger",
    "gateway",
    "isolate",
    "cluster",
    "driver",
    "unicorn",
)


class IPluginEntry(Interface):
    """
    The name of a plugin, as a dropin in ``twisted/plugins/`` lists it.

    An entry is light: importing it imports no plugin code.
    """

    category: str = Attribute("One of :data:`CATEGORIES`.")
    type: str = Attribute("The name used in configurations, such as ``files``.")
    dotted: str = Attribute("Dotted path of the factory, imported on demand.")


class IComponent(Interface):
    """Something that the node builds from its configuration."""

    name: str = Attribute("The name under which it is configured.")

    def start() -> Deferred[None] | None:
        """
        Begin to work; called once, after everything has been built.

        :returns: nothing, or a Deferred that fires when the component is
            ready.  A failure ends the start of the node.
        """

    def stop() -> Deferred[None] | None:
        """
        Let go of everything; called once, in the reverse order of start,
        also when :meth:`start` failed.

        :returns: nothing, or a Deferred that fires when nothing is left.
        """


class IReporter(Interface):
    """What a component may provide besides: how it is, for operators."""

    def report() -> Mapping[str, Any]:
        """
        Say what an operator may want to know; cheap, and of plain values.

        ``problem``, if it is there and not empty, is a sentence that says what
        is wrong and what to do about it; in maps inside the report, too.  Of a
        service ``requests``, if it is there, is how many it works on now.
        """
