"""No policy, no model and no person breaks a cap: everybody charges as often as they can, and a judge counts by himself."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.decide import debits, limits
from recoup.decide.caps import caps_for
from recoup.decide.debits import Moved
from tests.properties.caps_world import Breach, World

TURNS = 25
SHARDS = 20
OF_EACH = 5_000


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**48))
def test_nobody_breaks_a_cap(seed: int) -> None:
    World(seed).live(TURNS)


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_nobody_breaks_a_cap_in_a_hundred_thousand_lives(shard: int) -> None:
    charges = _lives(range(shard * OF_EACH, (shard + 1) * OF_EACH))
    print(f"shard {shard}: {OF_EACH} lives, {charges} charges judged")
    assert charges > 2 * OF_EACH


def _one_more(rules: tuple[str, ...]) -> Callable[..., Any]:
    real = caps_for

    def wider(*a: Any, **k: Any) -> Any:
        return tuple(c._replace(most=c.most + 1) if c.rule in rules else c for c in real(*a, **k))

    return wider


def _nothing(*_: Any) -> None:
    return None


BROKEN: dict[str, tuple[Any, str, Any]] = {
    "one reattempt more": (limits, "caps_for", _one_more(("VISA-CAT2", "VISA-CAT4"))),
    "one decline more": (limits, "caps_for", _one_more(("MC-TPE-24H", "MC-TPE-30D", "ELO-RETRY"))),
    "one repeat more": (limits, "caps_for", _one_more(("SEPA-REPRESENT", "BECS-RETRY", "PAD-REPRESENT", "NACH-RETRY"))),
    "no notice": (limits, "_notices", _nothing),
    "no notice of another amount": (limits, "_changed_amount", _nothing),
    "nothing is forbidden": (limits, "_bars", _nothing),
    "India lets everything pass": (limits, "_india", _nothing),
    "returned for ever": (debits, "nacha", lambda _t, at, *_: Moved(at)),
    "Bacs at any time": (debits, "bacs", lambda _t, at, **_: Moved(at)),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_the_judge_sees_a_broken_rule(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules are broken on purpose, each in turn: a charge that should not have gone out is seen."""
    room, name, broken = BROKEN[what]
    monkeypatch.setattr(room, name, broken)
    with pytest.raises(Breach):
        _lives(range(1_500))


def _lives(seeds: range) -> int:
    return sum(World(seed).live(TURNS) for seed in seeds)
