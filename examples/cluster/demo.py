# -*- test-case-name: cocained.test.test_examples_cluster -*-
"""
A cluster of three nodes, one of which dies, as ``make cluster-demo`` shows it.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(1, str(Path(__file__).resolve().parent.parent))
    from demonstration import entrance

    sys.exit(entrance.main("cluster_demo.command"))
