# -*- test-case-name: cocained.test.test_isolates_spool -*-
"""
What an isolate promises.

An isolate (:class:`cocained.interfaces.IIsolate`) is the means to run the
workers of one app; one object serves the app from its start to its stop.

* **Spool once, then spawn.**  ``spool()`` prepares the code or the image, and
  no worker starts before it has succeeded.  It leaves either something whole
  or nothing, and doing it again for the same code costs next to nothing.
* **Never in the way.**  The reactor's thread does not wait for disks, images
  or children: long work runs in a thread or a child, can be cancelled, and
  cancelling leaves nothing behind.
* **Exactly one end.**  Each worker that was spawned ends once, with a reason
  that people understand, and with all that it started.
* **Nothing inherited.**  A worker gets the environment, the descriptors and
  the files that it is meant to have.
* **The code is not trusted**, neither before it runs nor while it does:
  archives come from the storage, and output comes from the app.
* **One tree of errors.**  :class:`cocained.errors.SpoolError` and
  :class:`cocained.errors.SpawnError`, with the remedy in the text.

:mod:`cocained.isolates.spool` unpacks archives for the isolates that need
files; :mod:`cocained.isolates.archive` is what it is made of.
"""
