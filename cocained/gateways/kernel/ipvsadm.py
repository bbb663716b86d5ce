# -*- test-case-name: cocained.test.test_gateways_kernel_ipvs -*-
"""
The language of ``ipvsadm``: rules as ``-R`` reads them and ``-S -n`` writes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from cocained.gateways.kernel.plan import Change, Endpoint, Plan, Verb, text

#: A firewall mark that nobody uses, to try a scheduler with: the largest.
TRIAL_MARK = 2**32 - 1

#: What a scheduler needs besides its name: by itself, ``sh`` refuses clients whose
#: destination has a weight of 0 instead of giving them another one.
_FLAGS = {"sh": " -b sh-fallback"}

_VERBS = {
    Verb.ADD_SERVICE: "-A",
    Verb.REMOVE_SERVICE: "-D",
    Verb.ADD: "-a",
    Verb.EDIT: "-e",
    Verb.REMOVE: "-d",
}


def write(changes: Iterable[Change], scheduler: str) -> str:
    """Write rules, one for each change; destinations are masqueraded."""
    return "".join(f"{_rule(change, scheduler)}\n" for change in changes)


def _rule(change: Change, scheduler: str) -> str:
    rule = f"{_VERBS[change.verb]} -t {text(change.virtual)}"
    if change.verb is Verb.ADD_SERVICE:
        rule += f" -s {scheduler}{_FLAGS.get(scheduler, '')}"
    if change.destination is not None:
        rule += f" -r {text(change.destination)}"
    if change.verb in (Verb.ADD, Verb.EDIT):
        rule += f" -m -w {change.weight}"
    return rule


def trial(scheduler: str) -> str:
    """Write rules that leave nothing behind, but need the scheduler."""
    return f"-A -f {TRIAL_MARK} -s {scheduler}\n-D -f {TRIAL_MARK}\n"


def read(listing: str) -> Plan:
    """
    Read the TCP services of a listing.

    Whatever else is in it is somebody else's: other protocols, firewall marks,
    and lines that we would not write.
    """
    found: dict[Endpoint, dict[Endpoint, int]] = {}
    for line in listing.splitlines():
        words = line.split()
        if len(words) < 3 or words[1] != "-t":
            continue
        virtual = _endpoint(words[2])
        if virtual is None:
            continue
        if words[0] == "-A":
            found.setdefault(virtual, {})
        elif words[0] == "-a" and virtual in found:
            options = dict(pairwise(words))
            destination = _endpoint(options.get("-r", ""))
            weight = options.get("-w", "")
            if destination is not None and weight.isdecimal():
                found[virtual][destination] = int(weight)
    return found


def _endpoint(word: str) -> Endpoint | None:
    host, colon, port = word.rpartition(":")
    if not colon or not port.isdecimal():
        return None
    return host.removeprefix("[").removesuffix("]"), int(port)
