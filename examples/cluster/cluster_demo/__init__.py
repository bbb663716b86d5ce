# -*- test-case-name: cocained.test.test_examples_cluster -*-
"""
What ``make cluster-demo`` shows, and how.

::

    demo.py
      │
    command            arguments, errors, the order of things
      │
    tour               the steps, and the end of all that they started
      │ nodes          a node on a host of its own; what a user types
      │ crowd          a program: clients, a line for each of their requests
      │ seconds        pure: those lines, second by second
      │
    demonstration      signals, packages, and the screen: steps, bars, errors
"""
