# -*- test-case-name: cocained.test.test_examples_docker -*-
"""
Apps in containers, on a bare machine, as ``make docker-demo`` shows it.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(1, str(Path(__file__).resolve().parent.parent))
    from demonstration import entrance

    sys.exit(entrance.main("docker_demo.command"))
