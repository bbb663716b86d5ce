# -*- test-case-name: cocained.test.test_links_link -*-
"""
Why a node is not listened to, or not told anything.

Pure.
"""

from __future__ import annotations

from cocained.errors import Category, CocainedError, DispatchCode, NodeCode


class WrongNode(CocainedError):
    """
    Another node than expected is at an address.

    :param uuid: of the one that is there.
    :param itself: whether that is this very node.
    """

    category = Category.DISPATCH
    code = DispatchCode.INVALID_ARGUMENT

    def __init__(self, uuid: str, itself: bool) -> None:
        super().__init__(
            "this very node is there; does the other one announce an address such as"
            " 127.0.1.1? see its network.hostname"
            if itself
            else f"the node there is {uuid}; a node has a new uuid each time it starts"
        )
        self.uuid = uuid


class SilentNode(CocainedError):
    """A node takes what it is sent and does not answer."""

    category = Category.NODE
    code = NodeCode.TIMEOUT


class TooManyServices(CocainedError):
    """A node announces more services than one may have."""

    category = Category.NODE
    code = NodeCode.RESOURCE


class TooManyRemotes(CocainedError):
    """As many nodes listen as may."""

    category = Category.NODE
    code = NodeCode.RESOURCE


class RemoteTooSlow(CocainedError):
    """A node does not read, and too much has changed meanwhile."""

    category = Category.NODE
    code = NodeCode.RESOURCE
