"""The extract holds what the cases hold, on both databases; a second refresh reads only what moved and says the same."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta

import msgspec
import pytest

from recoup.domain import facts as f
from recoup.domain.view import Attempt, Debt, Result, Trigger
from recoup.engine.house import House
from recoup.insight import behind, extract
from recoup.insight import fresh as fresh_room
from recoup.insight.cards import CARDS
from recoup.insight.frame import Frame, Where
from recoup.insight.fresh import frame
from recoup.insight.incremental import incremental
from recoup.insight.measure import measure, the
from recoup.insight.money import at_risk, cash_recovered, involuntary_churn, waterfall
from recoup.insight.recovery import cohorts, recovery_curve, recovery_curves, speed, split
from recoup.insight.tries import rungs, timing
from recoup.store.merchants import Merchant
from tests.insight.crafted import NOW, clean, keep, standing_at_now, story
from tests.support.house import PAYS, fail, live_until, standing, view


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    with standing(sqlite_url) as made:
        yield made


@pytest.fixture
def either(database_url: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A house on SQLite, then one on PostgreSQL."""
    monkeypatch.setenv("RECOUP_INSIGHT_DIR", str(tmp_path))
    with standing(database_url) as made:
        yield made


@pytest.fixture
def merchant(house: House) -> Merchant:
    return standing_at_now(house)


def fresh(house: House, merchant: Merchant) -> Frame:
    return frame(house, merchant, at_most=timedelta(0))


def everything(frame: Frame) -> object:
    """Every figure there is, for comparing two extracts."""
    figures = [measure(frame, c, where=Where(currency="EUR")) for c in CARDS]
    rest = (cohorts(frame), recovery_curve(frame), speed(frame), split(frame), rungs(frame), timing(frame), cash_recovered(frame),
            involuntary_churn(frame), at_risk(frame), waterfall(frame, "EUR"))  # fmt: skip
    return msgspec.json.encode([figures, rest])


def test_a_house_at_work(either: House) -> None:
    """Real cases through the real engine: what came back, when, and by whose doing."""
    from tests.support.house import BEGIN, NEVER_PAYS, add_merchant

    house = either
    merchant = add_merchant(house)
    fail(house, merchant, view(1), lives=PAYS)
    fail(house, merchant, view(2), lives=NEVER_PAYS)
    live_until(house, merchant, BEGIN + timedelta(days=40))
    found = fresh(house, merchant)
    assert found.label == "sandbox: no figure here is real money"
    assert the(found, "recovery_rate_count").value == 0.5
    rows = {str(r["id"]): r for r in found.dicts("SELECT * FROM renewals ORDER BY id")}
    assert (rows["c_1"]["outcome"], rows["c_1"]["recovered_by"], rows["c_1"]["reason"]) == (
        "R",
        "retry",
        "funds",
    )
    assert rows["c_2"]["outcome"] == "LI"
    assert rows["c_1"]["collected_minor"] == 4900
    assert found.number("SELECT COUNT(*) FROM attempts WHERE case_id = 'c_2'") > 2


def test_a_second_refresh_reads_what_moved_and_says_what_a_first_would(
    house: House, merchant: Merchant
) -> None:
    keep(house, merchant, clean(60))
    first = fresh(house, merchant)
    assert (first.stamp.cases, first.stamp.moved) == (60, 60)
    back = f.Refunded(at=NOW, actor="provider:generic", amount_minor=4900)
    moved = [story(0, "R", told=(back,), age=50), story("new", "O", age=3)]
    keep(house, merchant, moved)
    second = fresh(house, merchant)
    assert (second.stamp.cases, second.stamp.moved) == (61, 2)
    told = everything(second)
    extract.home(house.db).joinpath(merchant.id, "stamp.json").unlink()
    whole = fresh(house, merchant)
    assert whole.stamp.moved == 61
    assert everything(whole) == told
    assert second.number("SELECT SUM(refunded_minor) FROM cases") == 4900


def test_nothing_moved_and_time_goes_on(house: House, merchant: Merchant) -> None:
    keep(house, merchant, [story(1, "O", age=10)])
    assert fresh(house, merchant).number("SELECT age_s FROM cases") == 10 * 86_400
    house.clock.forward(timedelta(days=25))  # type: ignore[attr-defined]
    later = fresh(house, merchant)
    assert later.stamp.moved == 0
    assert later.number("SELECT age_s FROM cases") == 35 * 86_400


def test_a_young_extract_is_taken_as_it_is(house: House, merchant: Merchant) -> None:
    keep(house, merchant, clean(5))
    first = frame(house, merchant)
    keep(house, merchant, clean(9))
    assert frame(house, merchant).stamp == first.stamp
    house.clock.forward(timedelta(minutes=1))  # type: ignore[attr-defined]
    assert frame(house, merchant).stamp.cases == 9


def test_merchants_do_not_mix(house: House, merchant: Merchant) -> None:
    other = standing_at_now(house, name="other")
    keep(house, merchant, clean(8))
    keep(house, other, [story(1, "LI")])
    assert fresh(house, merchant).stamp.cases == 8
    assert the(fresh(house, other), "recovery_rate_count").value == 0


def test_an_empty_house_has_nothing_to_say(house: House, merchant: Merchant) -> None:
    found = fresh(house, merchant)
    for card in CARDS:
        for figure in measure(found, card):
            assert figure.value is None
            assert figure.why
    assert (cohorts(found), split(found), rungs(found), at_risk(found), found.currencies) == (
        [],
        [],
        [],
        [],
        [],
    )
    assert recovery_curve(found).steps == ()
    assert waterfall(found, "EUR").gross_minor == 0


def test_currencies_stay_apart(house: House, merchant: Merchant) -> None:
    yen = [story(f"y{i}", "R", currency="JPY", amount=980) for i in range(3)]
    keep(house, merchant, [*clean(30), *yen, story("lost", "LI", currency="JPY", amount=980)])
    found = fresh(house, merchant)
    told = {x.of: x for x in measure(found, "recovery_rate_value")}
    assert set(told) == {"EUR", "JPY"}
    assert told["JPY"].value == pytest.approx(0.75)
    with pytest.raises(ValueError, match="choose one"):
        the(found, "recovery_rate_value")
    with pytest.raises(ValueError, match="choose one"):
        recovery_curve(found, by_value=True)
    assert waterfall(found, "JPY").gross_minor == 3 * 980


def test_only_renewals_count_and_the_amount_rule_holds(house: House, merchant: Merchant) -> None:
    credited = f.AmountChanged(at=NOW, actor="provider:generic", amount_minor=2000)
    keep(house, merchant, [
        story(1, "R"),
        story(2, "LI", debt__kind="first"),
        story(3, "R", by="elsewhere", retries=(), told=(credited,), debt__amount_minor=2000),
        story(4, "R", by="elsewhere", retries=()),
        story(5, "X"),
    ])  # fmt: skip
    found = fresh(house, merchant)
    rate = the(found, "recovery_rate_count")
    assert (rate.value, rate.n) == (1.0, 2)
    rows = {str(r["id"]): r["outcome"] for r in found.dicts("SELECT id, outcome FROM cases")}
    assert rows["c_3"] == "X"


def test_young_cohorts_are_bounded_not_judged(house: House, merchant: Merchant) -> None:
    old = [story(f"o{i}", "R" if i < 20 else "LI", age=100, day=5 if i < 20 else 28) for i in range(40)]
    young = [story(f"y{i}", "R", age=20, day=4) for i in range(10)]
    keep(house, merchant, [*old, *young, *(story(f"z{i}", "O", age=20) for i in range(10))])
    ripe, green = cohorts(fresh(house, merchant))
    assert (ripe.mature, ripe.share.value, ripe.lowest, ripe.highest) == (True, 0.5, 0.5, 0.5)
    assert (green.mature, green.lowest, green.highest) == (False, 0.5, 1.0)
    assert green.share.value is not None
    assert 0.5 <= green.share.value <= 1.0
    assert "not mature: an estimate" in green.share.notes
    with pytest.raises(ValueError, match="maturity"):
        green.share - ripe.share


def test_filters_and_splits_agree_with_the_whole(house: House, merchant: Merchant) -> None:
    keep(house, merchant, clean(100))
    found = fresh(house, merchant)
    parts = measure(found, "recovery_rate_count", by="reason")
    assert sum(p.n or 0 for p in parts) == the(found, "recovery_rate_count").n
    for part in parts:
        alone = the(found, "recovery_rate_count", where=Where(reason=part.of))
        assert (alone.value, alone.n) == (part.value, part.n)


def test_files_leave_as_csv_and_parquet(house: House, merchant: Merchant, tmp_path: object) -> None:
    import csv
    from pathlib import Path

    keep(house, merchant, [story("a,b\"c'\n", "R"), story(2, "LI")])
    found = fresh(house, merchant)
    paths = found.copy(Path(str(tmp_path)) / "it's out", form="csv")
    with paths[0].open(newline="") as file:
        assert {r["id"] for r in csv.DictReader(file)} == {"c_a,b\"c'\n", "c_2"}
    assert all(p.exists() for p in found.copy(Path(str(tmp_path)) / "parquet", form="parquet"))


def test_no_personal_data_is_lifted(house: House, merchant: Merchant) -> None:
    fail(house, merchant, view(1), lives=None)
    found = fresh(house, merchant)
    for table in ("cases", "attempts", "messages", "events"):
        for row in found.dicts(f"SELECT * FROM {table}"):
            assert not [v for v in row.values() if "someone" in str(v).lower()]


def test_debts_are_what_was_due_first() -> None:
    assert story(1).case.debt == Debt(
        id="in_1", amount_minor=4900, currency="EUR", subscription_id="sub_1", interval="month", due_at=NOW - timedelta(days=60)
    )  # fmt: skip


def test_who_comes_back_after_the_end_is_a_reactivation(house: House, merchant: Merchant) -> None:
    late = story(1, "R", day=40, returns=1, action="cancel")
    again = story(2, "R", day=9, returns=1, action="cancel")
    told = story(3, "R", day=40, given_up_at=NOW - timedelta(days=30))
    early = story(4, "R", day=9, given_up_at=NOW - timedelta(days=55))
    keep(house, merchant, [late, again, told, early])
    rows = {str(r["id"]): r for r in fresh(house, merchant).dicts("SELECT * FROM cases")}
    assert (rows["c_1"]["outcome"], rows["c_1"]["came_back"], rows["c_1"]["end_day"]) == ("LI", True, 28)
    assert (rows["c_2"]["outcome"], rows["c_2"]["came_back"]) == ("R", False)
    assert (rows["c_3"]["outcome"], rows["c_3"]["came_back"], rows["c_3"]["end_day"]) == ("LI", True, 28)
    assert (rows["c_4"]["outcome"], rows["c_4"]["came_back"]) == ("R", False)


def test_held_back_against_treated(house: House, merchant: Merchant) -> None:
    """520 of 1,000 against 470 of 1,000, shrunk to a tenth: five points, of which a tenth of the claim is ours."""
    from recoup.domain.experiment import Enrolment

    def arm(name: str, variant: str | None) -> tuple[Enrolment, ...]:
        return (
            Enrolment(experiment="message-holdout", kind="messages", arm=name, share=0.5, variant=variant),
        )

    treated = [
        story(f"t{i}", "R" if i < 52 else "LI", arms=arm("all", None), day=5 if i < 52 else 28)
        for i in range(100)
    ]
    held = [
        story(f"h{i}", "R" if i < 47 else "LI", arms=arm("none", "withhold"), day=5 if i < 47 else 28)
        for i in range(100)
    ]
    keep(house, merchant, [*treated, *held])
    (found,) = incremental(fresh(house, merchant), "EUR")
    assert found.by_count.value == pytest.approx(0.05)
    assert found.share == pytest.approx(0.096, abs=0.0005)
    assert found.total_minor == round(0.05 * 4900 * 100)
    assert found.by_count.interval is not None
    assert found.by_count.interval.low < 0 < found.by_count.interval.high
    assert incremental(fresh(house, merchant), "USD") == []


def test_parts_that_hold_nothing_moved_are_kept_as_they_are(
    house: House, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract, "PART", 20)
    keep(house, merchant, clean(60))
    first = fresh(house, merchant)
    assert first.stamp.parts == 3
    files = {p.name: p.stat().st_ino for p in first.folder.glob("cases-*")}
    back = f.Refunded(at=NOW, actor="provider:generic", amount_minor=4900)
    keep(house, merchant, [story(0, "R", told=(back,)), story("new", "O", age=3)])
    second = fresh(house, merchant)
    assert (second.stamp.cases, second.stamp.moved, second.stamp.parts) == (61, 2, 4)
    kept = [p for p in second.folder.glob("cases-*") if files.get(p.name) == p.stat().st_ino]
    assert len(kept) == 2
    assert (
        second.number("SELECT COUNT(*) FROM cases")
        == second.number("SELECT COUNT(DISTINCT case_n) FROM cases")
        == 61
    )
    joined = "SELECT COUNT(*) FROM attempts a JOIN cases c ON c.case_n = a.case_n WHERE c.id = a.case_id"
    assert second.number(joined) == second.number("SELECT COUNT(*) FROM attempts") > 60


def test_attempts_by_number_and_by_hour_are_those_of_the_stories(house: House, merchant: Merchant) -> None:
    stories = clean(60)
    keep(house, merchant, stories)
    found = frame(house, merchant)
    by_number: dict[int, list[Attempt]] = defaultdict(list)
    by_hour: dict[tuple[int, int], list[Attempt]] = defaultdict(list)
    for told in stories:
        for nth, a in enumerate(sorted(told.case.attempts, key=lambda a: a.at), 1):
            by_number[nth].append(a)
            if a.trigger is Trigger.RECOUP:
                by_hour[a.at.isoweekday(), a.at.hour].append(a)
    made = {r.k: r for r in rungs(found)}
    for nth, tries in by_number.items():
        paid = [a.amount_minor for a in tries if a.result is Result.PAID]
        assert (made[nth].made, made[nth].approved) == (len(tries), len(paid))
        assert made[nth].mean_minor == pytest.approx(sum(paid) / len(paid) if paid else 0)
    assert set(made) == set(by_number)
    assert [(h.weekday, h.hour, h.made, h.approved) for h in timing(found)] == [
        (*place, len(tries), sum(a.result is Result.PAID for a in tries))
        for place, tries in sorted(by_hour.items())
    ]
    assert rungs(found, most=1) == rungs(found)[:1]
    assert len([sql for sql, _ in found._kept if "FROM attempts" in sql]) == 1, "both come of one pass"


def test_one_curve_over_all_cohorts_is_that_of_all(house: House, merchant: Merchant) -> None:
    keep(house, merchant, clean(60))
    found = frame(house, merchant)
    for where in (Where(), Where(currency="EUR")):
        months = recovery_curves(found, by="cohort", where=where, by_value=bool(where.currency), whole=True)
        assert months.pop("all") == recovery_curve(found, where=where, by_value=bool(where.currency))
        assert months == recovery_curves(found, by="cohort", where=where, by_value=bool(where.currency))


def test_nobody_waits_for_a_large_merchants_refresh(
    house: House, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh_room, "LARGE", 5)
    keep(house, merchant, clean(9))
    first = frame(house, merchant)
    keep(house, merchant, [story("new", "O", age=3)])
    house.clock.forward(timedelta(minutes=10))  # type: ignore[attr-defined]
    asked: list[int] = []
    shown = frame(house, merchant, warm=lambda new: asked.append(new.stamp.cases))
    assert shown.stamp.cases == first.stamp.cases == 9
    behind.wait(fresh_room.job_of(merchant))
    assert asked == [10]
    assert frame(house, merchant).stamp.cases == 10
    house.clock.forward(timedelta(days=2))  # type: ignore[attr-defined]
    keep(house, merchant, [story("newer", "O", age=3)])
    assert frame(house, merchant).stamp.cases == 11, "what is days old is not shown any more"
