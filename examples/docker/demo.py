# -*- test-case-name: cocained.test.test_examples_docker -*-
"""
Apps in containers, on a bare machine, as ``make docker-demo`` shows it.
"""

import signal
import sys

#: What asks us to end.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: Exit status of a program that Ctrl-C has ended.
INTERRUPTED = 128 + signal.SIGINT


def main() -> int:
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)
    try:
        # Takes a moment, in which somebody may have thought better of it.
        from docker_demo import command

        return command.main(sys.argv)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
