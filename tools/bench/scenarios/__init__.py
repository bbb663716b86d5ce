# -*- test-case-name: cocained.test.test_tools_bench_runs -*-
"""
What is measured; :data:`~cocained.tools.bench.scenarios.catalogue.SCENARIOS`
lists it all.
"""
