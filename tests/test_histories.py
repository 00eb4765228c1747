import os

import pytest

from histories import Profile, generate, search, shrink
from histories_rules import RULES, switched_off

pytestmark = pytest.mark.many

HISTORIES = int(os.environ.get("OCBLOB_TEST_HISTORIES", "300"))
SEED = os.environ.get("OCBLOB_TEST_SEED", "")
PIECE = 100
"""So many in one test: pieces run side by side where the tests do."""
RULE_HISTORIES = 600
"""A rule that is switched off loses something within so many."""


def pieces() -> list[range]:
    """The seeds that are asked for."""
    if SEED:
        return [range(int(SEED), int(SEED) + 1)]
    return [range(at, min(at + PIECE, HISTORIES)) for at in range(0, HISTORIES, PIECE)]


@pytest.mark.parametrize("seeds", pieces(), ids=lambda seeds: f"from {seeds.start}")
def test_random_histories_lose_nothing(seeds: range) -> None:
    """What was durable reads back or says that it was expired, whatever hosts, deleters, clocks and power do.

    OCBLOB_TEST_HISTORIES says how many; OCBLOB_TEST_SEED runs that one alone.
    """
    found = search(seeds, Profile())

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
