"""
The tests of cocained.

``trial cocained`` runs them, wherever it is installed; those in ``live`` need a
machine of their own and say so.
"""

from hypothesis import settings

# Examples take as long as a busy machine lets them; all else stays as it is.
settings.register_profile("cocained", deadline=None)
settings.load_profile("cocained")
