"""The worked run to the cent, overlap, what is refused, and how small segments are merged."""

import msgspec
import pytest

from recoup.insight.opportunities import Cell, merged
from recoup.insight.ranking import Ground, Opportunity, Segment, learnt, portfolio, rank
from recoup.insight.tactics import Tactic, catalogue

PICKED = ("T03", "T08", "T09", "T19", "T11", "T12", "T23", "T24")
TACTICS = [t for t in catalogue() if t.id in PICKED]
BY_ID = {t.id: t for t in catalogue()}
SEGMENTS = [
    Segment(reason=reason, interval="month", failed_minor=failed * 100, rate=rate, cases=cases)
    for reason, failed, rate, cases in (
        ("funds", 24_600, 0.65, 246), ("credential", 7_200, 0.55, 72), ("generic", 18_000, 0.58, 180),
        ("auth_required", 4_200, 0.50, 42), ("hard", 6_000, 0.585, 60),
    )
]  # fmt: skip
GROUND = Ground(
    gross_margin=0.8,
    further_months=4,
    day_rate_minor=60_000,
    quality=1.0,
    targets={s.key: 0.71 for s in SEGMENTS},
)


def ranked(ground: Ground = GROUND, segments: list[Segment] = SEGMENTS) -> list[Opportunity]:
    return rank(segments, TACTICS, ground)


def test_lost_value_of_the_worked_run() -> None:
    assert sum(s.failed_minor for s in SEGMENTS) == 6_000_000
    assert {s.reason: round(s.lost_minor) for s in SEGMENTS} == {
        "funds": 861_000, "credential": 324_000, "generic": 756_000, "auth_required": 210_000, "hard": 249_000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("place", "tactic", "saving", "impact", "confidence", "effort", "score"),
    [
        (1, "T03", 242_550, 970_200, 0.60, 2, 4.85),
        (2, "T08", 155_796, 623_184, 0.40, 1, 4.15),
        (3, "T09", 160_132, 640_529, 0.60, 2, 3.15),
        (4, "T19", 101_771, 407_085, 0.36, 1, 2.24),
        (5, "T11", 67_235, 268_941, 0.50, 4, 0.56),
        (6, "T12", 117_613, 470_451, 0.48, 10, 0.38),
        (7, "T23", 185_638, 742_550, 0.43, 37.5, 0.13),
        (8, "T24", 39_886, 159_543, 0.14, 7.5, 0.05),
    ],
)
def test_the_worked_run_to_the_cent(
    place: int, tactic: str, saving: int, impact: int, confidence: float, effort: float, score: float
) -> None:
    found = ranked()[place - 1]
    assert (found.rank, found.tactic) == (place, tactic)
    assert (found.saving_minor[1], found.impact_minor[1]) == (saving, impact)
    assert (round(found.confidence, 2), found.effort_days) == (confidence, effort)
    assert int(found.score * 100 + 0.5) / 100 == pytest.approx(score, abs=0.0051)
    assert found.pays is (place <= 4)


def test_the_band_of_the_first_pick() -> None:
    first = ranked()[0]
    assert [round(v / 100) for v in first.saving_minor] == [808, 2426, 4631]
    assert [round(v / 100) for v in first.impact_minor] == [3234, 9702, 18524]


def test_ten_times_the_size_lifts_what_did_not_pay() -> None:
    big = [msgspec.structs.replace(s, failed_minor=s.failed_minor * 10, cases=s.cases * 10) for s in SEGMENTS]
    ground = msgspec.structs.replace(GROUND, targets={s.key: 0.71 for s in big})
    pays = {o.tactic for o in ranked(ground, big) if o.pays}
    assert {"T11", "T12", "T23"} <= pays


def test_two_runs_on_one_snapshot_give_one_list() -> None:
    assert msgspec.json.encode(ranked()) == msgspec.json.encode(ranked())


def test_no_euro_is_claimed_twice() -> None:
    """All tactics together never save more than is lost."""
    everything = rank(SEGMENTS, catalogue(), GROUND)
    assert sum(o.saving_minor[1] for o in everything) < sum(s.lost_minor for s in SEGMENTS)
    alone = rank(SEGMENTS, [BY_ID["T09"]], GROUND)[0].saving_minor[1]
    assert alone > next(o for o in everything if o.tactic == "T09").saving_minor[1]


def test_what_is_in_place_brings_nothing_more() -> None:
    half = ranked(msgspec.structs.replace(GROUND, already={"T03": 0.5}))
    assert next(o for o in half if o.tactic == "T03").saving_minor[1] < 242_550
    assert "T03" not in {o.tactic for o in ranked(msgspec.structs.replace(GROUND, already={"T03": 1.0}))}


def test_bad_data_are_not_ranked() -> None:
    assert ranked(msgspec.structs.replace(GROUND, quality=0.79)) == []


def test_without_a_target_a_quarter_counts_as_closable() -> None:
    (one,) = rank(SEGMENTS[1:2], [BY_ID["T19"]], msgspec.structs.replace(GROUND, targets={}))
    closable = 0.25 * 324_000
    assert one.saving_minor[1] == round(closable + 0.35 * (0.4 * 324_000 - closable))


def test_a_market_like_the_evidences_counts_fully() -> None:
    bank = BY_ID["T23"]
    assert (bank.fit("b2b"), bank.fit(None), bank.fit("b2c")) == (1.0, 0.8, 0.6)


def test_own_test_results_outweigh_others_claims() -> None:
    mid, se = learnt((0.05, 0.15, 0.38), 0.30, 0.02)
    assert 0.29 < mid < 0.30
    assert se < 0.02
    unsure, _ = learnt((0.05, 0.15, 0.38), 0.30, 1.0)
    assert unsure == pytest.approx(0.15, abs=0.01)


def test_days_are_shared_and_two_on_one_step_are_enough() -> None:
    found = portfolio(ranked(), BY_ID, 20)
    assert found.quick[:3] == ("T03", "T08", "T09")
    assert found.structural == ()
    assert "does not pay" in found.left_out["T23"]
    assert portfolio(ranked(), BY_ID, 0).quick == ()


def test_the_catalogue_is_whole_and_says_where_it_comes_from() -> None:
    assert len(catalogue()) == len({t.id for t in catalogue()}) == 36
    assert sum(t.assumption for t in catalogue()) >= 14
    for t in catalogue():
        assert 0 <= t.cut_low <= t.cut_mid <= t.cut_high < 1
        assert t.source
        assert t.first_signal
        assert t.reach("funds") or t.reach("credential", method="card") or t.reach("hard") or t.reach("auth_required") or (
            t.reach("generic", country="DE") or t.reach("funds", interval="year") or t.reach("credential", country="DE")
        )  # fmt: skip


@pytest.mark.parametrize(
    ("tactic", "where", "share"),
    [
        ("T27", {"reason": "funds", "interval": "year"}, 1.0),
        ("T27", {"reason": "funds", "interval": "month"}, 0.0),
        ("T25", {"reason": "auth_required", "country": "FR"}, 1.0),
        ("T25", {"reason": "auth_required", "country": "US"}, 0.0),
        ("T19", {"reason": "credential", "method": "sepa_debit"}, 0.0),
        ("T11", {"reason": "generic"}, 0.5),
        ("T21", {"reason": "credential", "country": "US"}, 0.0),
    ],
)
def test_where_a_tactic_reaches(tactic: str, where: dict[str, str], share: float) -> None:
    assert BY_ID[tactic].reach(**where) == share


def cell(
    country: str, method: str, ripe: int, back: float, reason: str = "funds", interval: str = "month"
) -> Cell:
    return Cell(reason=reason, method=method, interval=interval, country=country, cases=ripe, failed=ripe * 100.0, ripe=ripe,
                ripe_minor=ripe * 100.0, back_minor=ripe * 100.0 * back)  # fmt: skip


def test_small_segments_are_merged_by_country_then_method_then_interval() -> None:
    cells = [
        cell("DE", "card", 40, 0.6), cell("AT", "card", 20, 0.5), cell("CH", "card", 15, 0.5), cell("NL", "upi", 10, 0.4),
        cell("FR", "wallet", 25, 0.4), cell("FR", "card", 3, 0.1, interval="year"),
    ]  # fmt: skip
    found = {s.key: s for s in merged(cells, scale=2.0)}
    assert set(found) == {"funds|card|month|DE", "funds|card|month|*", "funds|*|month|*", "funds|*|*|*"}
    assert found["funds|card|month|*"].cases == 35
    assert found["funds|card|month|DE"].failed_minor == 8000
    assert sum(s.cases for s in found.values()) == sum(c.cases for c in cells)


def test_rates_of_small_segments_lean_on_their_reason() -> None:
    cells = [cell("DE", "card", 950, 0.6), cell("AT", "card", 50, 0.0)]
    found = {s.country: s.rate for s in merged(cells, scale=1.0)}
    assert found["AT"] == pytest.approx((50 * 0 + 50 * 0.57) / 100)
    assert found["DE"] == pytest.approx((950 * 0.6 + 50 * 0.57) / 1000)


def test_every_tactic_is_typed() -> None:
    assert all(isinstance(t, Tactic) for t in catalogue())
