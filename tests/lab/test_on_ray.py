"""A simulation on a Ray cluster of one machine gives the table it gives without."""

import pytest

from recoup.lab.on_ray import OnRay
from recoup.lab.simulate import entrant, here, run
from recoup.lab.world import load


@pytest.mark.slow
def test_the_table_is_the_same_on_ray() -> None:
    pytest.importorskip("ray", reason="pip install 'recoup[ray]'")
    entrants = [entrant("default"), entrant("polar")]
    world = load("europe")
    told: list[int] = []
    assert run(world, 2, entrants, 230, OnRay(2), told.append) == run(world, 2, entrants, 230, here)
    assert told == [100, 100, 30]
