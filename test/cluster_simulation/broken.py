# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
What is raised when a promise is broken.
"""

from __future__ import annotations


class Broken(AssertionError):
    """The cluster has not kept its promises."""
