# -*- test-case-name: cocained.test.test_examples_docker -*-
"""
What ``make docker-demo`` shows, and how.

::

    demo.py
      │
    command            arguments, errors, the order of things
      │ machine        what must be installed; namespaces of our own
      │
    tour               the steps, and the end of all that they started
      │ images         base image, app image, push
      │ starts         a node, calls, cold starts
      │ table          pure: figures side by side, the record
      │
    demonstration      signals, packages, and the screen: steps, bars, errors
"""
