# -*- test-case-name: cocained.test.test_clusters_sightings -*-
"""
When each node was heard last; pure.
"""

from __future__ import annotations

import errno

from cocained.errors import CocainedError

#: Nodes that are remembered.  Each of them costs a link, so a cluster of more
#: wants another means to find its nodes; forged announcements end here.
NODE_LIMIT = 1024


class TooManyNodes(CocainedError):
    """
    More nodes are heard than may be known.

    :param uuid: the one that is left out.
    :param limit: how many may be known.
    """

    code = errno.ENOSPC

    def __init__(self, uuid: str, limit: int) -> None:
        super().__init__(
            f"node {uuid!r} is not taken: {limit} nodes are known already; see who"
            " announces so many, or divide the cluster into several groups"
        )


class Sightings:
    """
    The nodes that were heard not too long ago.

    :param patience: seconds of silence after which a node is gone.
    :param limit: how many may be known.
    """

    def __init__(self, patience: float, limit: int = NODE_LIMIT) -> None:
        self._patience = patience
        self._limit = limit
        # The longest silent comes first: whoever is heard goes to the end.
        self._heard: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._heard)

    def hear(self, uuid: str, now: float) -> bool:
        """
        A node was heard.

        :returns: whether it is a new one.
        :raises TooManyNodes: it is new, and there is no room.
        """
        is_new = self._heard.pop(uuid, None) is None
        if is_new and len(self._heard) >= self._limit:
            raise TooManyNodes(uuid, self._limit)
        self._heard[uuid] = now
        return is_new

    @property
    def due(self) -> float | None:
        """When the next node is gone unless it is heard; ``None`` without any."""
        for heard in self._heard.values():
            return heard + self._patience
        return None

    def expire(self, now: float) -> list[str]:
        """Forget the nodes whose time is over, and give them."""
        gone = []
        for uuid, heard in self._heard.items():
            if heard + self._patience > now:
                break
            gone.append(uuid)
        for uuid in gone:
            del self._heard[uuid]
        return gone

    def silences(self, now: float) -> dict[str, float]:
        """Say for how many seconds each node has been silent."""
        return {uuid: now - heard for uuid, heard in self._heard.items()}
