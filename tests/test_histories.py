import multiprocessing
import os

import pytest

from histories import Found, Profile, generate, search, shrink
from histories_rules import RULES, switched_off

HISTORIES = int(os.environ.get("OCBLOB_TEST_HISTORIES", "2000"))
WORKERS = 2
CHUNK = 50
RULE_HISTORIES = 600
"""A rule that is switched off loses something within so many."""


def seeds(first: int, count: int) -> list[range]:
    """In pieces that a worker takes at a time."""
    return [range(at, min(at + CHUNK, first + count)) for at in range(first, first + count, CHUNK)]


def looked_for(some: range) -> Found | None:
    """In a worker."""
    return search(some, Profile())


def test_random_histories_lose_nothing() -> None:
    """What was durable reads back or says that it was expired, whatever hosts, deleters, clocks and power do.

    OCBLOB_TEST_HISTORIES says how many; OCBLOB_TEST_SEED runs that one alone.
    """
    if seed := os.environ.get("OCBLOB_TEST_SEED"):
        found = search(range(int(seed), int(seed) + 1), Profile())
    else:
        with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
            found = next(filter(None, pool.imap(looked_for, seeds(0, HISTORIES))), None)

    assert found is None, str(shrink(found))


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if not rule.redundant])
def test_without_a_rule_something_is_lost(name: str) -> None:
    """Each rule is needed: the same histories find a loss without it, and none of them with it."""
    rule = RULES[name]
    with switched_off(name):
        found = search(range(rule.seed, rule.seed + RULE_HISTORIES), rule.profile, losses_only=True)
    assert found is not None, f"{name}: {rule.words}"

    with_rule = search(range(found.seed, found.seed + 1), rule.profile)

    assert with_rule is None, str(with_rule)


def test_a_history_is_the_same_for_the_same_seed() -> None:
    """A failure can be run again."""
    assert generate(7, Profile()) == generate(7, Profile())
