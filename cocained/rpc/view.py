# -*- test-case-name: cocained.test.test_rpc_view -*-
"""
A service some methods of which do something else, for those who are not to have
all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cocained.errors import Forbidden
from cocained.rpc.dispatch import Protocol


class View:
    """
    A service as some of its clients have it: its graph is the same.

    :param service: has a ``protocol`` and the methods that it declares.
    :param methods: what is called in place of those of the service, by the names
        of their functions.
    """

    def __init__(self, service: Any, **methods: Callable[..., Any]) -> None:
        self.protocol: Protocol = service.protocol
        # Methods and nothing else: it is no component, and provides no interface.
        names = {each.attribute for each in self.protocol.declarations.values()}
        self._methods = {name: getattr(service, name) for name in names} | methods

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_methods"][name]
        except KeyError:
            raise AttributeError(name) from None


def forbidden(*args: Any) -> Any:
    """
    Stand for a method that such clients must not call.

    :raises Forbidden: always.
    """
    raise Forbidden("this method is not for workers behind walls: Permission denied")
