# -*- test-case-name: cocained.test.test_unicorns -*-
"""
Coordination: values, watches and locks that several nodes share.

::

    IUnicorn          what everybody else sees
       │
    recipe ─ following, locks, numbers      how it is done, once for all backends
       │
    Keeper            a tree of nodes with versions and one-shot watches
     ├── session      ZooKeeper's, through kazoo
     └── local        a tree of our own, with a journal or without

The names and the exact behaviour are those of plugins.md §4.1.
"""
