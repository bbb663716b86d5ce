# -*- test-case-name: cocained.test.test_conventions -*-
"""The version, literal, so that it can be read without importing anything."""

__version__ = "1.0.0.dev0"
