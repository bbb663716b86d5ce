# -*- test-case-name: tests -*-
"""
Tests of the framework: ``python -m unittest discover`` in the directory above.
"""
