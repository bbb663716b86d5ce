"""
Two plugins for cocained, in a distribution of their own.

* :mod:`cocained_annex.netns` is the isolate ``netns``;
* :mod:`cocained_annex.sqlite` is the storage ``sqlite``, and
  :mod:`cocained_annex.database` the file under it.
"""
