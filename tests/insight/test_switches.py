"""Switches change one thing in the merchant's own policy file, and only where that makes a policy."""

import pytest

from recoup.engine import policies
from recoup.engine.policy_text import PolicyRefused, parse
from recoup.insight.switches import SWITCHES, buttons, offered, proposal
from recoup.insight.tactics import catalogue


@pytest.mark.parametrize("name", policies.shipped())
def test_every_switch_of_a_shipped_policy_does_what_it_says_and_then_is_gone(name: str) -> None:
    text, _ = policies.text_of(name)
    policy = parse(text, source=name)
    for tactic in sorted(buttons(policy, text)):
        found = proposal(policy, text, tactic)
        assert found.diff
        assert found.before or found.after, "the change can be told in words"
        assert parse(found.text, source="new") == found.policy
        assert found.policy.name == policy.name
        assert tactic not in offered(found.policy)
        comments = [line for line in text.splitlines() if line.startswith("#")]
        assert all(c in found.text for c in comments), "the merchant's own remarks stay"


def test_without_the_merchants_own_text_the_policy_is_written_anew() -> None:
    text, _ = policies.text_of("default")
    policy = parse(text, source="default")
    assert proposal(policy, "", "T33").policy == proposal(policy, text, "T33").policy
    assert proposal(policy, 'name = "another"', "T33").policy == proposal(policy, text, "T33").policy


def test_what_would_be_no_policy_has_no_button() -> None:
    text, _ = policies.text_of("weekly")
    policy = parse(text, source="weekly")
    assert "T26" in offered(policy)
    assert "T26" not in buttons(policy, text)
    with pytest.raises(PolicyRefused, match="window ends"):
        proposal(policy, text, "T26")


def test_what_is_on_already_is_not_offered() -> None:
    text, _ = policies.text_of("default")
    with pytest.raises(LookupError, match="on already"):
        proposal(parse(text, source="default"), text, "T03")


def test_switches_are_tactics_of_the_catalogue() -> None:
    assert set(SWITCHES) <= {t.id for t in catalogue()}
