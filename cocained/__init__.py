"""
``cocained``: a node that hosts apps in any language.

``twistd cocained -c node.yaml`` runs one node.  Read the packages from the
bottom up: :mod:`cocained.rpc` is the wire, :mod:`cocained.apps` the engine,
``services`` and ``isolates`` are what a node offers, and
:mod:`cocained.node` puts them together.
"""

from cocained._version import __version__

__all__ = ["__version__"]
