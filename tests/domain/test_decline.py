"""Every shipped code means something, the right code wins, and what means nothing to us is named."""

from collections import Counter

import pytest

from recoup.data import rows
from recoup.domain.codebook import DEFAULT_ADVICE
from recoup.domain.decline import (
    Decline,
    hands_over,
    masked,
    needs_customer,
    retry_possible,
    silent_to_payer,
    understand,
)
from recoup.domain.policy import CATEGORIES
from recoup.domain.view import Attempt, Method
from tests.domain.refusals import card, debit, refused

ROWS = rows("decline_codes")
CAUTION = [
    "retry",
    "retry_later",
    "retry_after_customer_action",
    "retry_with_updated_credentials",
    "never",
]
KINDS = {
    "nacha": "ach_debit",
    "sepa": "sepa_debit",
    "bacs": "bacs_debit",
    "becs_au": "becs_debit",
    "becs_nz": "becs_debit",
    "pad_ca": "pad_debit",
    "nach_in": "upi",
}
STRIPE_KINDS = {
    "ach": "ach_debit",
    "sepa_debit": "sepa_debit",
    "bacs_debit": "bacs_debit",
    "au_becs_debit": "becs_debit",
}


def as_it_comes(row: dict[str, str]) -> tuple[Attempt, Method]:
    """An attempt that carries the row's code where a provider or network would put it."""
    system, scheme, code = row["source_system"], row["network_or_scheme"], row["code"]
    if scheme == "mastercard_europe_ecom":
        return refused(raw=code), card("mastercard", "DE")
    if system == "iso8583":
        return refused(raw=code), card(scheme)
    if system == "mastercard_mac":
        return refused(advice=code), card("mastercard")
    if scheme.startswith("merchant_advice_code_raw"):
        return refused("cybersource", advice=code), card("mastercard")
    if scheme == "payment_insights":
        return refused("cybersource", f"{scheme}:{code}"), card("visa")
    if system == "bacs":
        return refused(raw=code) if scheme == "ARUDD" else refused(code=f"{scheme}:{code}"), debit(
            "bacs_debit"
        )
    if system in KINDS:
        return refused(raw=code), debit(KINDS[system], "NZ" if system == "becs_nz" else None)
    if system == "stripe" and scheme == "advice_code":
        return refused("stripe", advice=code), card("visa")
    kind = STRIPE_KINDS.get(scheme, "card") if system == "stripe" else "card"
    return refused(system, code), debit(kind)


def key(row: dict[str, str]) -> tuple[str, str, str]:
    return row["source_system"], row["network_or_scheme"], row["code"]


def same(decline: Decline) -> tuple[str, str, str]:
    return decline.source_system, decline.network_or_scheme, decline.code


@pytest.mark.parametrize("system", sorted({r["source_system"] for r in ROWS}))
def test_every_row_maps(system: str) -> None:
    twins = Counter((r["source_system"], r["code"].lower()) for r in ROWS)
    for row in (r for r in ROWS if r["source_system"] == system):
        attempt, method = as_it_comes(row)
        found = understand(attempt, method)
        assert found.mapped
        assert found.category == row["category"], key(row)
        if same(found) == key(row):
            assert found.advice == row["retry_advice"], key(row)
            assert found.source_url == row["source_url"]
            assert found.customer_action == row["customer_action"]
        else:
            # The same word stands in two lists of one system; the other one allows no more than this.
            assert twins[system, row["code"].lower()] > 1, key(row)
            assert CAUTION.index(found.advice) >= CAUTION.index(row["retry_advice"]), key(row)


def test_the_table_is_the_whole_one() -> None:
    assert len(ROWS) == 1602
    assert {r["category"] for r in ROWS} == set(CATEGORIES) == set(DEFAULT_ADVICE)


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_categories_themselves_are_understood(category: str) -> None:
    found = understand(refused(code=category), card("visa"))
    assert (found.category, found.advice, found.mapped) == (category, DEFAULT_ADVICE[category], True)


@pytest.mark.parametrize(
    ("code", "raw", "network", "category"),
    [
        (" Insufficient_Funds ", None, None, "insufficient_funds"),
        ("insufficient funds", None, None, "insufficient_funds"),
        ("do-not-honor", None, None, "generic_soft"),
        (None, "5", "visa", "generic_soft"),
        (None, "05", "Visa", "generic_soft"),
        (None, " 05 ", "VISA", "generic_soft"),
        (None, "005", "visa", "generic_soft"),
        (None, "1a", "visa", "authentication_required"),
        (None, "51 : Insufficient funds", "mc", "insufficient_funds"),
        (None, "116", "American Express", "insufficient_funds"),
        ("05", None, "visa", "generic_soft"),
        ("51", None, None, "insufficient_funds"),
    ],
)
def test_the_way_a_code_is_written_does_not_matter(
    code: str | None, raw: str | None, network: str | None, category: str
) -> None:
    found = understand(refused(code=code, raw=raw), card(network))
    assert (found.category, found.mapped) == (category, True)


@pytest.mark.parametrize(
    ("kind", "code", "category"),
    [
        ("ach_debit", "R01", "insufficient_funds"),
        ("ach_debit", "r15", "payer_deceased"),
        ("sepa_debit", "AM04", "insufficient_funds"),
        ("sepa_debit", "insufficient_funds", "insufficient_funds"),
        ("bacs_debit", "0", "insufficient_funds"),
        ("bacs_debit", "ARUDD-2", "payer_deceased"),
        ("bacs_debit", "ADDACS:0", "revoked_authorisation"),
        ("becs_debit", "6", "insufficient_funds"),
        ("becs_debit", "AM04", "insufficient_funds"),
        ("pad_debit", "901", "insufficient_funds"),
        ("upi", "04", "insufficient_funds"),
        ("upi", "mandate_not_active", "revoked_authorisation"),
        ("wallet", "PP06", "closed_account"),
    ],
)
def test_a_billing_of_ones_own_may_speak_the_language_of_the_rail(
    kind: str, code: str, category: str
) -> None:
    assert understand(refused("generic", code), debit(kind)).category == category


@pytest.mark.parametrize(
    ("psp", "code"), [("stripe", "no_such_code"), (None, "zz9"), ("acme", "E-77"), ("adyen", "999")]
)
def test_an_unknown_code_is_named(psp: str | None, code: str) -> None:
    found = understand(refused(psp, code), card("visa"))
    assert (found.category, found.advice, found.mapped) == ("unknown", "retry_later", False)
    assert found.code == code
    assert code in found.says


def test_no_code_at_all_is_named_too() -> None:
    found = understand(refused(), None)
    assert (found.category, found.mapped, found.says) == ("unknown", False, "refused without a code")


@pytest.mark.parametrize(
    "junk", ["", " ", ":", "-", "--", ":::", "\0", "٣", "²", "0" * 300, "51:", "ADDACS:", "💥"]
)
def test_junk_never_raises(junk: str) -> None:
    for method in (None, card("mastercard", "DE"), debit("bacs_debit"), debit("upi")):
        for psp in (None, "stripe", "cybersource", "gocardless", "rapyd", "iso8583"):
            assert understand(refused(psp, junk, junk, junk), method).category in CATEGORIES


# --- Which code wins ---------------------------------------------------------------------------------------------


def test_the_networks_word_wins_over_the_providers_where_both_allow_as_much() -> None:
    found = understand(refused("stripe", "generic_decline", "51"), card("visa"))
    assert same(found) == ("iso8583", "visa", "51")


def test_the_more_careful_one_wins_where_they_disagree() -> None:
    assert understand(refused("stripe", "fraudulent", "05"), card("visa")).category == "fraud_suspected"
    assert understand(refused("stripe", "generic_decline", "41"), card("visa")).category == "lost_or_stolen"
    found = understand(refused("stripe", "insufficient_funds", "51", "do_not_try_again"), card("visa"))
    assert found.advice == "never"


def test_a_soft_word_of_the_provider_does_not_hide_the_networks() -> None:
    found = understand(refused("stripe", "card_declined", "91", "try_again_later"), card("visa"))
    assert found.category == "technical"


def test_a_word_that_says_nothing_yields() -> None:
    assert understand(refused("stripe", "lost_card", "00"), card("visa")).category == "lost_or_stolen"
    assert (
        understand(refused("gocardless", "other", "AM04"), debit("sepa_debit")).category
        == "insufficient_funds"
    )


def test_death_wins_over_everything() -> None:
    found = understand(refused("gocardless", "payer_deceased", "B"), debit("bacs_debit"))
    assert found.category == "payer_deceased"
    found = understand(refused("gocardless", "bank_account_closed", "2"), debit("bacs_debit"))
    assert found.category == "payer_deceased"


def test_the_advice_wins_over_the_issuers_code() -> None:
    found = understand(refused("stripe", None, "79", "02"), card("mastercard"))
    assert same(found) == ("mastercard_mac", "mastercard", "02")
    assert found.mac == "02"
    assert retry_possible(found)


def test_advice_that_only_informs_leaves_the_code_its_say() -> None:
    found = understand(refused(None, None, "51", "43"), card("mastercard"))
    assert (found.category, found.mac) == ("insufficient_funds", "43")


def test_a_mild_advice_does_not_bring_a_lost_card_back() -> None:
    assert understand(refused(None, None, "41", "24"), card("mastercard")).advice == "never"


@pytest.mark.parametrize("advice", ["02", "24"])
def test_nor_does_it_cure_a_stale_card_or_a_wish_for_authentication(advice: str) -> None:
    assert understand(refused(None, None, "54", advice), card("mastercard")).category == "expired_card"
    found = understand(refused(None, None, "65", advice), card("mastercard", "DE"))
    assert (found.category, found.mac) == ("authentication_required", advice)
    assert understand(refused(None, None, "62", advice), card("mastercard")).code == advice


def test_a_security_decline_that_wants_more_information_wants_authentication() -> None:
    found = understand(refused(None, None, "83", "01"), card("mastercard"))
    assert (found.category, found.advice) == ("authentication_required", "retry_after_customer_action")


def test_advice_numbers_mean_nothing_on_other_networks() -> None:
    found = understand(refused(None, "insufficient_funds", "51", "03"), card("visa"))
    assert (found.category, found.mac) == ("insufficient_funds", None)


# --- What follows ---------------------------------------------------------------------------------------------------


def test_everybody_is_somebodys() -> None:
    """Each meaning is cured by time, by the payer or by a person of the merchant; by exactly one of them."""
    for row in ROWS:
        attempt, method = as_it_comes(row)
        found = understand(attempt, method)
        assert [retry_possible(found), needs_customer(found), hands_over(found) is not None].count(True) == 1


@pytest.mark.parametrize(
    ("psp", "code"),
    [("stripe", "amount_too_large"), ("adyen", "7"), ("checkout_com", "20013"), ("braintree", "2064")],
)
def test_a_wrong_amount_is_the_merchants_to_look_at(psp: str, code: str) -> None:
    found = understand(refused(psp, code), card("visa"))
    assert (found.category, hands_over(found)) == ("currency_or_amount", "data_fault")
    assert silent_to_payer(found)
    another_card_helps = understand(refused("stripe", "currency_not_supported"), card("visa"))
    assert (another_card_helps.category, hands_over(another_card_helps)) == ("currency_or_amount", None)
    assert needs_customer(another_card_helps)


@pytest.mark.parametrize(
    ("category", "queue"),
    [("payer_deceased", "vulnerable"), ("duplicate", "data_fault"), ("merchant_config", "data_fault")],
)
def test_what_is_handed_to_a_person_is_not_said_to_the_payer(category: str, queue: str) -> None:
    found = understand(refused(code=category), None)
    assert hands_over(found) == queue
    assert silent_to_payer(found)
    assert not retry_possible(found)
    assert not needs_customer(found)


def test_technical_trouble_is_first_met_in_silence() -> None:
    assert silent_to_payer(understand(refused(raw="91"), card("visa")))
    assert not silent_to_payer(understand(refused(raw="51"), card("visa")))


def test_loss_fraud_and_death_are_never_named_to_the_payer() -> None:
    assert {masked(c) for c in ("lost_or_stolen", "fraud_suspected", "payer_deceased")} == {"generic_soft"}
    assert masked("expired_card") == "expired_card"


def test_what_operators_read() -> None:
    assert understand(refused(raw="51"), card("visa")).says == "Not enough funds (Visa 51)"
    assert understand(refused("stripe", "lost_card"), None).says == "Card reported lost (Stripe lost_card)"
