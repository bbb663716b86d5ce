# -*- test-case-name: cocained.test.test_isolates_archive -*-
"""
Archives of app code: what is in them, and how it gets onto the disk.

::

    bytes ── streams ──▶ tars ──┐
      │                         ├─ Member ──▶ tree ──▶ files
      └──────────────▶  zips ───┘

An archive comes from whoever may write to the storage, so every part takes it
for hostile: a reader never holds more than one chunk and one header of it,
and the tree alone decides what is written and where.

All of this blocks and is meant for a thread; nothing here knows a reactor.
"""
