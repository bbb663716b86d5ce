"""Sphinx configuration; ``make docs`` runs it."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import tables  # noqa: E402

from cocained import __version__  # noqa: E402

project = "cocained"
copyright = "2026, the cocained contributors"
author = "the cocained contributors"
version = release = __version__

extensions = []
exclude_patterns = ["_build", "_generated", "examples"]
nitpicky = True
html_theme = "furo"
html_title = f"cocained {release}"
# Wire values, drawings and shell lines are no Python.
highlight_language = "none"


def setup(app):
    """Write the tables that come from the code before anything is read."""
    app.connect("builder-inited", lambda app: tables.write(app.srcdir))
