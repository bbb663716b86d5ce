# -*- test-case-name: cocained.test.test_loggers_format -*-
"""
The loggers that come with the project: where log events go.

* :mod:`cocained.loggers.format` turns an event into one line (pure);
* :mod:`cocained.loggers.writer` carries lines to a descriptor in a thread;
* ``console``, ``file`` and ``syslog`` are the types for the configuration.

A logger never raises and never makes the reactor wait.  What it cannot pass on
it drops and counts, and says so in a line of its own once it works again.
"""
