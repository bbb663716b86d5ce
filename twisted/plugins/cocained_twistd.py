"""``twistd cocained``."""

from twisted.application.service import ServiceMaker

cocained = ServiceMaker(
    "cocained",
    "cocained.tap",
    "A node that hosts apps in any language.",
    "cocained",
)
