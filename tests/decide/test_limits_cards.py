"""Card networks: each rule with a story that it must stop, and the neighbour that it must let through."""

from datetime import UTC, date, datetime, timedelta

import pytest

from recoup.decide.caps import visa_category
from recoup.decide.limits import Counted, used
from recoup.domain.view import Attempt, Method, Result, Trigger
from tests.decide.cards import AMOUNT, START, ask, card, counted, day, paid, refused, view

MINUTE = timedelta(minutes=1)


def series(days: list[float], **more: object) -> list[Attempt]:
    """The renewal that failed, then tries of ours."""
    first, *rest = days
    return [
        refused(day(first), trigger=Trigger.RENEWAL, **more),
        *(refused(day(d), **more) for d in rest),
    ]


# --- Visa -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["04", "07", "12", "14", "15", "41", "43", "46", "57", "R0", "R1", "R3"])
def test_visa_cat1(code: str) -> None:
    seen = view([refused(START, network_code=code)], card("visa"))
    verdict = ask(seen, day(300))
    assert verdict.earliest is None
    assert "VISA-CAT1" in verdict.rules
    assert ask(seen, day(300), on_session=True).earliest is None


def test_visa_cat1_of_another_case_binds_the_card() -> None:
    seen = view([refused(START, network_code="51")], card("visa"))
    assert ask(seen, others=[counted(day(-90), network_code="43")]).rules == ("VISA-CAT1",)
    assert ask(seen, others=[counted(day(-90), "f_2", network_code="43")]).earliest == START


def test_visa_cat1_ends_with_a_new_card_and_with_an_approval() -> None:
    old, new = card("visa"), Method(id="pm_2", network="visa", fingerprint="f_2")
    seen = view([refused(START, network_code="43")], old, new)
    assert ask(seen, method=new).earliest == START
    again = view([refused(START, network_code="57"), paid(day(1)), refused(day(30), network_code="51")], old)
    assert ask(again).earliest == day(30)


def test_visa_cat1_is_the_card_not_the_method_that_names_it() -> None:
    token = Method(id="pm_token", network="visa", fingerprint="f_1", added_at=day(1))
    seen = view([refused(START, network_code="41")], card("visa"), token, now=day(2))
    assert ask(seen, method=token).earliest is None


def test_visa_cat1_came_into_force_in_april_2021() -> None:
    before = datetime(2021, 4, 10, tzinfo=UTC)
    seen = view([refused(before, network_code="57")], card("visa"))
    assert "VISA-CAT1" not in ask(seen, before + timedelta(days=6)).rules
    assert "VISA-CAT1" in ask(seen, before + timedelta(days=7)).rules


@pytest.mark.parametrize("code", ["R0", "R1", "R3"])
def test_visa_vsps(code: str) -> None:
    verdict = ask(view([refused(START, network_code=code)], card("visa")), day(20))
    assert verdict.rules == ("VISA-CAT1", "VISA-VSPS")


@pytest.mark.parametrize(
    ("code", "rule_id"), [("51", "VISA-CAT2"), ("05", "VISA-CAT4"), ("91", "VISA-CAT2"), ("N4", "VISA-CAT2")]
)
def test_visa_counts_fifteen_reattempts_in_thirty_days(code: str, rule_id: str) -> None:
    fourteen = series([0, *range(1, 15)], network_code=code)
    assert ask(view(fourteen, card("visa")), day(14.5)).earliest == day(14.5)
    fifteen = [*fourteen, refused(day(15), network_code=code)]
    verdict = ask(view(fifteen, card("visa")), day(16))
    assert verdict.earliest == day(31)
    assert verdict.rules == (rule_id,)
    assert verdict.says == (
        f"15 of 15 Visa attempts used in 30 days ({rule_id}): not before 2026-09-03 09:00",
    )


def test_visa_cat3_reattempt() -> None:
    tries = series(list(range(16)), network_code="N7")
    tries = [*tries[:-1], refused(day(15), trigger=Trigger.CUSTOMER, network_code="N7")]
    verdict = ask(view(tries, card("visa")), day(16), on_session=True)
    assert (verdict.earliest, verdict.rules) == (day(31), ("VISA-CAT3-REATTEMPT",))


def test_visa_counts_everybodys_tries() -> None:
    triggers = list(Trigger)
    tries = [refused(day(i), trigger=triggers[i % len(triggers)], network_code="51") for i in range(16)]
    assert ask(view(tries, card("visa")), day(16)).earliest == day(31)


def test_visa_counts_whatever_the_amount_and_whatever_the_debt() -> None:
    here = [refused(day(i), network_code="51", amount_minor=100 + i) for i in range(5)]
    past = [refused(day(-5 + i), network_code="51") for i in range(5)]
    elsewhere = [counted(day(5 + i), network_code="51") for i in range(6)]
    verdict = ask(view(here, card("visa"), past=past), day(12), others=elsewhere)
    assert verdict.earliest == day(-4 + 30)


def test_what_has_no_answer_counts_and_what_was_never_sent_is_not_there() -> None:
    tries = [refused(day(i), network_code="51") for i in range(8)]
    tries += [refused(day(i), code=None, result=Result.UNKNOWN) for i in range(8, 16)]
    assert ask(view(tries, card("visa")), day(16)).earliest == day(31)


def test_a_first_try_is_no_reattempt() -> None:
    months = [paid(day(-30 * i)) for i in range(12, 0, -1)]
    seen = view([refused(START, network_code="51")], card("visa"), past=months)
    assert ask(seen).says == ("0 of 15 Visa attempts used in 30 days (VISA-CAT2)",)


@pytest.mark.parametrize(
    ("raw", "country", "on", "category"),
    [
        ("83", "US", date(2026, 7, 24), "VISA-CAT4"),
        ("83", "US", date(2026, 7, 25), "VISA-CAT2"),
        ("51", "US", date(2026, 7, 25), "VISA-CAT2"),
        ("70", "DE", date(2026, 7, 25), "VISA-CAT3-REATTEMPT"),
        ("70", "US", date(2026, 7, 25), "VISA-CAT4"),
        ("54", "US", date(2026, 7, 25), "VISA-CAT3-REATTEMPT"),
        ("5", "US", date(2026, 7, 25), "VISA-CAT4"),
        (None, "US", date(2026, 7, 25), "VISA-CAT4"),
    ],
)
def test_visa_reclass_2026_and_the_other_categories(
    raw: str | None, country: str, on: date, category: str
) -> None:
    assert visa_category(raw, country, on) == category


# --- Mastercard -----------------------------------------------------------------------------------------------


def hours(count: int, **more: object) -> list[Attempt]:
    return [refused(START + timedelta(hours=2 * i), **more) for i in range(count)]


def test_mc_tpe_24h() -> None:
    nine = hours(9, network_code="51")
    assert ask(view(nine, card("mastercard")), START + timedelta(hours=20)).rules == ()
    verdict = ask(view(hours(10, network_code="51"), card("mastercard")), START + timedelta(hours=20))
    assert verdict.earliest == START + timedelta(hours=24)
    assert verdict.rules == ("MC-TPE-24H",)


@pytest.mark.parametrize(("country", "count"), [("BR", 7), ("US", 10), (None, 10)])
def test_mc_tpe_24h_in_brazil(country: str | None, count: int) -> None:
    for tries, free in ((count - 1, True), (count, False)):
        seen = view(hours(tries, network_code="51"), card("mastercard", country=country))
        assert (ask(seen, START + timedelta(hours=20)).rules == ()) is free


def test_mc_tpe_30d() -> None:
    tries = [refused(day(0.75 * i), network_code="51") for i in range(35)]
    seen = view(tries, card("mastercard"))
    verdict = ask(seen, day(28))
    assert verdict.earliest == day(30)
    assert verdict.rules == ("MC-TPE-30D",)
    assert ask(view(tries[1:], card("mastercard")), day(28)).earliest == day(28)


def test_mastercard_counts_declines_not_payments() -> None:
    tries = [paid(START + timedelta(hours=i)) for i in range(12)]
    seen = view([refused(START + timedelta(hours=13), network_code="51")], card("mastercard"), past=tries)
    assert ask(seen).rules == ()


@pytest.mark.parametrize("advice", ["03", "21"])
def test_mc_tpe_mac(advice: str) -> None:
    seen = view([refused(START, network_code="79", advice_code=advice)], card("mastercard"))
    for on_session in (False, True):
        verdict = ask(seen, day(100), on_session=on_session)
        assert verdict.earliest is None
        assert verdict.rules == (f"MC-MAC-{advice}", "MC-TPE-MAC")


@pytest.mark.parametrize(
    ("advice", "wait"),
    [
        ("24", timedelta(hours=1)),
        ("25", timedelta(hours=24)),
        ("26", timedelta(days=2)),
        ("27", timedelta(days=4)),
        ("28", timedelta(days=6)),
        ("29", timedelta(days=8)),
        ("30", timedelta(days=10)),
        ("02", timedelta(hours=72)),
    ],
)
def test_mc_mac_waits(advice: str, wait: timedelta) -> None:
    seen = view([refused(START, network_code="51", advice_code=advice)], card("mastercard"))
    rule_id = f"MC-MAC-{advice}"
    verdict = ask(seen, START + MINUTE)
    assert (verdict.earliest, verdict.rules) == (START + wait, (rule_id,))
    assert verdict.says[0].startswith(f"Mastercard advice {advice}: not before 2026-08-")
    assert ask(seen, START + wait + MINUTE).rules == ()
    assert ask(seen, START + wait).earliest == START + wait


def test_mc_mac_26_in_words() -> None:
    seen = view([refused(START, network_code="51", advice_code="26")], card("mastercard"))
    assert ask(seen).says == (
        "Mastercard advice 26: not before 2026-08-05 09:00 (MC-MAC-26)",
        "1 of 35 Mastercard declines used in 30 days (MC-TPE-30D)",
    )


def test_the_longest_wait_binds_even_when_a_later_refusal_gives_none() -> None:
    tries = [
        refused(START, network_code="51", advice_code="30"),
        refused(day(1), network_code="51", advice_code="25"),
        refused(day(3), network_code="51"),
    ]
    assert ask(view(tries, card("mastercard"))).earliest == day(10)


def test_a_wait_told_on_another_case_binds_the_card() -> None:
    seen = view([refused(START, network_code="51")], card("mastercard"))
    told = counted(START, network_code="51", advice_code="26")
    assert ask(seen, others=[told]).earliest == day(2)


def test_waits_do_not_stop_a_payer_on_the_page_but_72_hours_do() -> None:
    for advice, free in (("30", START), ("02", day(3))):
        seen = view([refused(START, network_code="51", advice_code=advice)], card("mastercard"))
        assert ask(seen, on_session=True).earliest == free


def test_mc_mac_26_came_into_force_in_october_2022() -> None:
    before = datetime(2022, 10, 13, tzinfo=UTC)
    seen = view([refused(before, network_code="51", advice_code="26")], card("mastercard"))
    assert ask(seen, before).earliest == before
    assert ask(seen, before + timedelta(days=1)).earliest == before + timedelta(days=2)


@pytest.mark.parametrize("advice", ["01", "04", "22", "40", "41"])
def test_advice_that_wants_other_details(advice: str) -> None:
    tries = [refused(START, network_code="79", advice_code=advice)]
    verdict = ask(view(tries, card("mastercard")), day(20))
    assert (verdict.earliest, verdict.rules) == (None, (f"MC-MAC-{advice}",))
    renewed = card("mastercard", added_at=day(1))
    assert ask(view(tries, renewed, now=day(2))).earliest == day(2)


def test_mc_mac_01_on_a_security_decline_waits_for_the_payer() -> None:
    seen = view([refused(START, network_code="83", advice_code="01")], card("mastercard"))
    assert ask(seen).rules == ("MC-MAC-01",)
    assert ask(seen, on_session=True).earliest == START


def test_mc_mac_42_and_43() -> None:
    stop = view([refused(START, network_code="51", advice_code="42")], card("mastercard"))
    assert (ask(stop).earliest, ask(stop).rules) == (None, ("MC-MAC-42",))
    inform = view([refused(START, network_code="51", advice_code="43")], card("mastercard"))
    assert ask(inform).rules == ()


# --- Other networks -------------------------------------------------------------------------------------------


def test_elo_retry() -> None:
    tries = series([i / 2 for i in range(16)], network_code="51")
    verdict = ask(view(tries, card("elo")), day(8))
    assert (verdict.earliest, verdict.rules) == (day(30.5), ("ELO-RETRY",))
    assert ask(view(tries[:-1], card("elo")), day(8)).rules == ()
    final = view([refused(START, network_code="82")], card("elo"))
    assert (ask(final, day(50)).earliest, ask(final, day(50)).rules) == (None, ("ELO-RETRY",))
    soft = view([refused(START, network_code="62")], card("elo"))
    assert ask(soft).earliest == START


@pytest.mark.parametrize("network", ["amex", "discover", "jcb", None])
def test_default_unknown_network(network: str | None) -> None:
    nine = series(list(range(9)))
    verdict = ask(view(nine, card(network)), day(9))
    assert (verdict.earliest, verdict.rules) == (day(31), ("DEFAULT-UNKNOWN-NETWORK",))
    assert ask(view(nine[:-1], card(network)), day(9)).rules == ()


def test_the_default_counts_one_obligation() -> None:
    others = [counted(day(i / 10)) for i in range(20)]
    assert ask(view(series([0, 1]), card("amex")), day(3), others=others).earliest == day(3)


# --- What the provider and the issuer say ----------------------------------------------------------------------


def test_stripe_rate_lock() -> None:
    seen = view([refused(START, psp="stripe", code="card_decline_rate_limit_exceeded")], card("visa"))
    for on_session in (False, True):
        verdict = ask(seen, on_session=on_session)
        assert (verdict.earliest, verdict.rules) == (day(1), ("STRIPE-RATE-LOCK",))


@pytest.mark.parametrize(
    "code",
    [
        "incorrect_number",
        "lost_card",
        "pickup_card",
        "stolen_card",
        "revocation_of_authorization",
        "highest_risk_level",
    ],
)
def test_stripe_smart_nonretry(code: str) -> None:
    seen = view([refused(START, psp="stripe", code=code)], card("mastercard"))
    assert (ask(seen, day(60)).earliest, ask(seen).rules) == (None, ("STRIPE-SMART-NONRETRY",))
    other = Method(id="pm_2", network="mastercard", fingerprint="f_2")
    assert ask(seen, method=other).earliest == START


@pytest.mark.parametrize(
    ("network", "raw", "country"),
    [("visa", "1A", "DE"), ("mastercard", "65", "FR"), ("amex", "130", "GB")],
)
def test_sca_soft_decline(network: str, raw: str, country: str) -> None:
    tries = [refused(START, network_code=raw)]
    method = card(network, country=country)
    verdict = ask(view(tries, method), day(20))
    assert (verdict.earliest, verdict.rules) == (None, ("SCA-SOFT-DECLINE",))
    assert ask(view(tries, method), on_session=True).earliest == START
    came_back = [
        *tries,
        refused(day(1), trigger=Trigger.CUSTOMER, network_code="51" if network != "amex" else "116"),
    ]
    assert ask(view(came_back, method)).earliest == day(1)
    native_since = [*tries, refused(day(1), trigger=Trigger.NATIVE, code="processing_error", psp="stripe")]
    assert ask(view(native_since, method)).rules == ("SCA-SOFT-DECLINE",)


@pytest.mark.parametrize(
    ("code", "rule_id", "on_the_page"),
    [
        ("lost_or_stolen", "ADVICE-NEVER", False),
        ("closed_account", "ADVICE-NEVER", False),
        ("expired_card", "ADVICE-NEW-DETAILS", True),
        ("invalid_details", "ADVICE-NEW-DETAILS", True),
        ("not_permitted", "ADVICE-CUSTOMER", True),
        ("authentication_required", "SCA-SOFT-DECLINE", True),
    ],
)
def test_the_advice_of_the_code_on_the_same_card(code: str, rule_id: str, on_the_page: bool) -> None:
    seen = view([refused(START, code=code)], card(None))
    assert (ask(seen, day(5)).earliest, ask(seen, day(5)).rules) == (None, (rule_id,))
    assert (ask(seen, on_session=True).earliest is not None) is on_the_page
    assert ask(seen, method=Method(id="pm_2")).earliest == START


def test_a_suspected_fraud_is_tried_once_a_day_at_most() -> None:
    seen = view([refused(START, network_code="59")], card("visa"))
    assert (ask(seen).earliest, ask(seen).rules) == (day(1), ("ADVICE-BANK",))
    assert ask(seen, on_session=True).earliest == START
    assert ask(view([refused(START, psp="stripe", code="fraudulent")], card("visa"))).earliest is None


def test_what_is_wrong_with_one_debt_does_not_bind_another() -> None:
    seen = view([refused(START, network_code="51")], card("visa"))
    for code in ("duplicate_transaction", "invalid_amount", "authentication_required"):
        assert ask(seen, others=[counted(START, psp="stripe", code=code)]).earliest == START


def test_an_expired_card_of_another_case_is_still_expired() -> None:
    seen = view([refused(START, network_code="51")], card("visa"))
    assert ask(seen, others=[counted(START, code="expired_card")]).rules == ("ADVICE-NEW-DETAILS",)


# --- India ------------------------------------------------------------------------------------------------------


def test_rbi_pre_notice() -> None:
    seen = view([refused(START, network_code="51")], card("visa", country="IN"), now=day(3))
    verdict = ask(seen)
    assert (verdict.earliest, verdict.rules) == (day(4), ("RBI-PRE-NOTICE",))
    assert ask(seen, day(4)).earliest == day(4)
    assert ask(seen, day(5)).rules == ()
    assert ask(seen, on_session=True).earliest == day(3)
    assert ask(seen, announced=True).earliest == day(3)
    upi = view(
        [refused(START, code="insufficient_funds", psp="razorpay")], Method(id="pm_1", kind="upi"), now=day(3)
    )
    assert ask(upi).rules == ("RBI-PRE-NOTICE",)


@pytest.mark.parametrize(
    ("rupees", "kind", "free"),
    [
        (15000, "renewal", True),
        (15001, "renewal", False),
        (15001, "insurance", True),
        (100001, "insurance", False),
    ],
)
def test_rbi_afa_limit(rupees: int, kind: str, free: bool) -> None:
    seen = view(
        [refused(START, network_code="51")], card("visa", country="IN"),
        amount_minor=rupees * 100, currency="INR", kind=kind,
    )  # fmt: skip
    assert ("RBI-AFA-LIMIT" not in ask(seen).rules) is free
    assert ask(seen, on_session=True).earliest == START


# --- The answer itself --------------------------------------------------------------------------------------------


def test_a_try_that_names_no_method_counts() -> None:
    tries = [
        refused(START, network_code="51"),
        *(refused(day(i), method_id=None, network_code="51") for i in range(1, 16)),
    ]
    assert ask(view(tries, card("visa")), day(16)).earliest == day(31)


def test_beyond_the_horizon_there_is_no_instant_but_a_reason() -> None:
    seen = view([refused(START, network_code="51", advice_code="30")], card("mastercard"))
    verdict = ask(seen, horizon=day(9))
    assert verdict.earliest is None
    assert verdict.rules == ("MC-MAC-30",)
    assert ask(seen, horizon=day(10)).earliest == day(10)


def test_the_order_of_the_attempts_does_not_matter() -> None:
    tries = series(list(range(16)), network_code="51")
    assert ask(view(tries[::-1], card("visa")), day(16)) == ask(view(tries, card("visa")), day(16))


def test_without_a_method_the_debts_own_tries_count() -> None:
    seen = view(series(list(range(9))), card(None))
    from recoup.decide.limits import earliest

    verdict = earliest(seen, None, day(9), amount_minor=AMOUNT, currency="EUR", horizon=day(60))
    assert (verdict.earliest, verdict.rules) == (day(31), ("DEFAULT-UNKNOWN-NETWORK",))


def test_used_tells_every_count_and_what_is_forbidden() -> None:
    seen = view([refused(START, network_code="51", advice_code="26")], card("mastercard"))
    assert used(seen, seen.methods[0], START) == (
        "1 of 10 Mastercard declines used in 24 hours (MC-TPE-24H)",
        "1 of 35 Mastercard declines used in 30 days (MC-TPE-30D)",
        "Mastercard advice 26: not before 2026-08-05 09:00 (MC-MAC-26)",
    )
    lost = view([refused(START, network_code="41")], card("visa"))
    assert used(lost, lost.methods[0], START)[1].endswith("(VISA-CAT1)")
    other = [Counted(at=START, identity="f_1", amount_minor=1, result=Result.DECLINED)]
    assert used(seen, seen.methods[0], START, other)[0].startswith("2 of 10")
