"""
The services that a node offers.

A service is a :class:`~cocained.component.Component` with a ``protocol``: each
method is declared with a number, the types of its arguments, and what follows
it (:mod:`cocained.rpc.dispatch`).  ``docs/extending.rst`` shows a whole one.
"""
