"""The generated pages say what the code says today."""

import pytest

from recoup.domain.case import TRANSITIONS
from scripts import docs


@pytest.mark.parametrize("name", ["states.md", "commands.md", "policies.md", "api.md"])
def test_a_generated_page_is_fresh(name: str) -> None:
    assert docs.stale([(name, docs.pages()[name])]) == [], "run `make docs`"


def test_a_stale_page_is_seen() -> None:
    assert docs.stale([("states.md", docs.states() + "more")]) == ["states.md"]


def test_every_move_of_the_table_is_drawn() -> None:
    drawn = docs.states()
    for (state, kind), target in TRANSITIONS.items():
        if target is not state:
            name = docs._name(kind)
            assert any(f"--> {target.value}" in line and name in line for line in drawn.splitlines()), (
                state,
                name,
            )
