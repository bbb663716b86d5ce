# -*- test-case-name: cocained.test.test_fuzz -*-
"""
Fuzzing of everything that reads bytes of others.

::

    python -m cocained.test.fuzz                      all targets, a minute each
    python -m cocained.test.fuzz decoder --seconds 600
    python -m cocained.test.fuzz decoder --reproduce FILE

A *target* is a function of bytes that returns, or raises what is wrong: its
laws say more than "does not crash".  Coverage of the code under test, measured
by ``atheris``, tells which inputs are worth keeping; the best of them are in
``corpus/`` and run with the unit tests, where nothing has to be installed.

Processes that misbehave against a node that lives are in
:mod:`cocained.test.live.test_fuzz_live`.
"""
