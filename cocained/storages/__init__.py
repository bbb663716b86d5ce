# -*- test-case-name: cocained.test.test_storages -*-
"""
The storages that come with the project.

* :mod:`cocained.storages.names` says which names are fit (pure);
* :mod:`cocained.storages.disk` does the blocking work on a file system;
* :mod:`cocained.storages.changes` runs changes that must not be lost;
* :mod:`cocained.storages.files` is the storage ``files`` made of both;
* :mod:`cocained.storages.memory` is the storage ``memory``: the same
  behaviour, and nothing stays when the node ends;
* :mod:`cocained.storages.remote` is what storages on servers have in common,
  with :mod:`~cocained.storages.order` (what waits for what),
  :mod:`~cocained.storages.lines` (threads and connections) and
  :mod:`~cocained.storages.reach` (a server that went away);
* :mod:`cocained.storages.postgres`, :mod:`~cocained.storages.redis`,
  :mod:`~cocained.storages.s3` and :mod:`~cocained.storages.mongodb` are made of
  it and a driver each.
"""
