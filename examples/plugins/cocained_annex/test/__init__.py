"""Tests of cocained-annex: ``python -m twisted.trial cocained_annex``."""
