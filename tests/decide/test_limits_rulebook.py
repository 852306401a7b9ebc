"""The machine's numbers are the table's numbers: each executable rule is compared with the words of its row."""

import re
from datetime import date, timedelta
from decimal import Decimal

import pytest

from recoup.data import rows
from recoup.decide.rulebook import rule, rulebook
from recoup.domain.codebook import normal

ROWS = {r["rule_id"]: r for r in rows("network_rules")}
ADDED = ("limit_n", "above_n", "window_iso", "from_date", "code_list", "role", "why")
# The rows whose number is not in their own count column, and the row or note that holds it.
NUMBER_ELSEWHERE = {
    "VISA-CAT2": ("STRIPE-VISA-BLOCK", "limit_count"),
    "VISA-CAT3-REATTEMPT": ("STRIPE-VISA-BLOCK", "limit_count"),
    "VISA-CAT4": ("STRIPE-VISA-BLOCK", "limit_count"),
    "BECS-RETRY": ("GC-SUCCESS-PLUS", "limit_count"),
    "SEPA-REPRESENT": ("ADYEN-SEPA-RESCUE", "limit_count"),
    "BACS-AFTER-MONTH": ("BACS-AFTER-MONTH", "limit_window"),
    "BACS-REPRESENT-NOTICE": ("BACS-REPRESENT-NOTICE", "limit_window"),
}
SPAN = re.compile(r"(\d+) (?:calendar )?(hour|day|week)s?")
SHARES = {"VISA-VAMP", "NACHA-RATE-UNAUTH", "NACHA-RATE-ADMIN", "NACHA-RATE-OVERALL"}
"""Their count is a share in hundredths of a percent."""


def number(text: str) -> int:
    found = re.search(r"\d+", text)
    assert found, text
    return int(found.group())


def spans(text: str) -> list[timedelta]:
    return [timedelta(**{f"{unit}s": int(n)}) for n, unit in SPAN.findall(text)]


@pytest.mark.parametrize("rule_id", [i for i in ROWS if ROWS[i]["limit_n"]])
def test_the_count_is_the_tables(rule_id: str) -> None:
    if rule_id == "BACS-REPRESENT":  # "no count limit; once or twice is usual"
        assert "twice" in ROWS[rule_id]["limit_count"]
        assert rule(rule_id).count == 2
        return
    if rule_id == "NACH-RETRY":
        assert "one try plus three" in ROWS[rule_id]["notes"]
        assert rule(rule_id).count == 3
        return
    other, column = NUMBER_ELSEWHERE.get(rule_id, (rule_id, "limit_count"))
    if rule_id in SHARES:
        told = [Decimal(n) * 100 for n in re.findall(r"([\d.]+)%", ROWS[other][column])]
        assert [rule(rule_id).count, *(n for _, n, _ in rule(rule_id).elsewhere)] == told
        return
    assert rule(rule_id).count_in("", date.max) == number(ROWS[other][column])


@pytest.mark.parametrize("rule_id", [i for i in ROWS if ROWS[i]["window_iso"]])
def test_the_span_is_the_tables(rule_id: str) -> None:
    row = ROWS[rule_id]
    if rule_id == "SEPA-MANDATE-36M":
        assert row["limit_window"] == "36 months"
        assert rule(rule_id).span == 3 * timedelta(days=365)
        return
    told = spans(row["limit_window"]) or spans(row["notes"]) or spans(row["limit_count"])
    assert rule(rule_id).span in told


@pytest.mark.parametrize("rule_id", [i for i in ROWS if ROWS[i]["from_date"]])
def test_the_day_it_came_into_force_is_the_tables(rule_id: str) -> None:
    told = re.search(r"\d{4}-\d{2}(-\d{2})?", ROWS[rule_id]["effective_date"])
    assert told
    assert rule(rule_id).since == date.fromisoformat((told.group() + "-01")[:10])


@pytest.mark.parametrize("rule_id", [i for i in ROWS if ROWS[i]["code_list"] and i != "ELO-RETRY"])
def test_the_codes_are_the_tables(rule_id: str) -> None:
    row = ROWS[rule_id]
    if rule_id.startswith("MC-MAC-"):
        assert set(rule(rule_id).codes) == {normal(rule_id.removeprefix("MC-MAC-"))}
        return
    words = {normal(w) for w in re.split(r"[\s;,()]+", row["applies_to_codes"]) if w}
    assert set(rule(rule_id).codes) <= words
    if rule_id in ("VISA-CAT1", "VISA-CAT2", "VISA-VSPS", "NACHA-R07-UNAUTH", "STRIPE-SMART-NONRETRY"):
        codes = {w for w in words if re.fullmatch(r"[A-Z0-9]{1,3}|[A-Z]+(_[A-Z]+)+", w)}
        assert set(rule(rule_id).codes) == codes


def test_elos_irreversible_codes_are_the_decline_tables() -> None:
    told = {
        normal(r["code"])
        for r in rows("decline_codes")
        if r["network_or_scheme"] == "elo" and "(irreversible" in r["short_meaning"]
    }
    assert set(rule("ELO-RETRY").codes) == told
    assert len(told) > 15


def test_the_visa_limit_is_the_safe_one_of_the_two_that_are_told() -> None:
    assert number(ROWS["VISA-CAT2"]["limit_count"]) == 20
    assert rule("VISA-CAT2").count == 15
    assert rule("VISA-CAT2").count_in("acquirer", date(2025, 5, 25)) == 20
    assert rule("VISA-CAT2").count_in("acquirer", date(2025, 5, 24)) == 15


def test_brazil_has_a_lower_count() -> None:
    assert "7 in Brazil" in ROWS["MC-TPE-24H"]["limit_count"]
    assert "Brazil 7 since 2023-02-01" in ROWS["MC-TPE-24H"]["effective_date"]
    r = rule("MC-TPE-24H")
    assert (
        r.count_in("BR", date(2023, 2, 1)),
        r.count_in("BR", date(2023, 1, 31)),
        r.count_in("DE", date.max),
    ) == (7, 10, 10)


def test_indias_amounts() -> None:
    told = ROWS["RBI-AFA-LIMIT"]["limit_count"]
    assert "INR 15000; INR 100000 for insurance, mutual funds, card bills" in told
    assert {kind for kind, count, _ in rule("RBI-AFA-LIMIT").elsewhere if count == 100000} == {
        "insurance", "mutual_funds", "card_bill",
    }  # fmt: skip


def test_no_source_column_was_lost() -> None:
    columns = list(ROWS["VISA-CAT1"])
    assert columns[:12] == [
        "scheme", "rule_id", "what_it_limits", "limit_count", "limit_window", "counted_per", "applies_to_codes",
        "fee_per_excess_by_region", "effective_date", "source_url", "confidence", "notes",
    ]  # fmt: skip
    assert tuple(columns[12:]) == ADDED
    assert len(rulebook()) == len(ROWS) == 97
    assert all(r["source_url"].startswith("http") for r in ROWS.values())
