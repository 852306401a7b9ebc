"""Worlds: every number says where it comes from, and a wrong file is refused by name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from recoup.lab.world import BASE, WorldRefused, load, raw, shipped

NOT_NUMBERS = {"name", "title", "currency", "grades"}
WHOLE = {"place", "issuer", "network", "funding", "interval", "cause"}


def keys(world: dict[str, object]) -> Iterator[str]:
    """The keys of a world file as its grades name them."""
    for key, value in world.items():
        if key in NOT_NUMBERS:
            continue
        if isinstance(value, dict) and key not in WHOLE:
            yield from (f"{key}.{inner}" for inner in value)
        else:
            yield key


def test_six_worlds_ship_and_the_demos() -> None:
    assert set(shipped()) == {
        "business", "consumer", "enterprise", "europe", "hard_times", "prepaid", "studio",
    }  # fmt: skip
    for name in shipped():
        assert load(name).name == name


@pytest.mark.parametrize("name", [BASE, *shipped()])
def test_every_number_of_a_world_is_graded(name: str) -> None:
    world = raw(name)
    grades = world["grades"]
    assert isinstance(grades, dict)
    assert set(grades) == set(keys(world))
    for key, told in grades.items():
        grade, source, *_ = str(told).split("; ")
        assert grade in ("A", "B", "C", "D"), key
        assert source == "judgement" if grade == "D" else source.startswith("https://"), key


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('name = "x"\nwindow_day = 3', "window_day"),
        ('name = "x"\ncurrency = "euro"', "currency"),
        ('name = "x"\n[cause]\nfunds = 0.5', "cause add up to 0.5"),
        ('name = "x"\n[people]\npatience = -1', "patience"),
        ("name = ", "Invalid value"),
        (
            'name = "x"\n[[place]]\ncountry = "DE"\nzone = "Mars/Base"\nlocale = "de"\nshare = 1.0',
            "Mars/Base",
        ),
    ],
)
def test_a_wrong_world_is_refused_with_the_reason(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(WorldRefused, match=why):
        load(str(file))


def test_a_world_of_ones_own_lies_over_the_base(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\ntitle = "Mine"\n[people]\npatience = 5\n[cause]\nfunds = 1.0\n')
    world = load(str(file))
    assert (world.people.patience, world.people.slackens, world.cause) == (5, 0.8, {"funds": 1.0})


def test_an_unknown_world_is_named_with_what_there_is() -> None:
    with pytest.raises(WorldRefused, match=r"atlantis: no such world .* consumer"):
        load("atlantis")
