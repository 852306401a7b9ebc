"""The ambiguities of the trade, one by one: codes that mean other things elsewhere, or hide what they mean."""

from datetime import date

import pytest

from recoup.domain.decline import needs_customer, retry_possible, understand
from tests.domain.refusals import card, debit, refused


@pytest.mark.parametrize(
    ("psp", "code", "raw", "network"),
    [
        (None, None, "05", "visa"),
        (None, None, "05", "mastercard"),
        ("stripe", "do_not_honor", None, "visa"),
        ("adyen", "2", None, "visa"),
        ("braintree", "2000", None, "visa"),
        ("checkout_com", "20005", None, "visa"),
        ("Checkout.com", "20005", None, "visa"),
        (None, None, "100", "amex"),
        ("braintree", "2046", None, "amex"),
        ("stripe", "generic_decline", None, "visa"),
    ],
)
def test_do_not_honour_and_its_sisters(
    psp: str | None, code: str | None, raw: str | None, network: str
) -> None:
    found = understand(refused(psp, code, raw), card(network))
    assert (found.category, found.advice) == ("generic_soft", "retry_later")


def test_a_generic_decline_that_radar_blocked_says_so() -> None:
    assert understand(refused("stripe", "highest_risk_level"), card("visa")).advice == "never"
    assert understand(refused("stripe", "previously_declined_do_not_retry"), card("visa")).advice == "never"


@pytest.mark.parametrize(
    ("raw", "category", "advice"),
    [
        ("79", "invalid_details", "retry_with_updated_credentials"),
        ("82", "not_permitted", "retry_later"),
        ("83", "fraud_suspected", "retry_after_customer_action"),
    ],
)
def test_mastercards_three_collective_codes_without_advice(raw: str, category: str, advice: str) -> None:
    found = understand(refused(raw=raw), card("mastercard"))
    assert (found.category, found.advice) == (category, advice)


@pytest.mark.parametrize(
    ("raw", "meanings"),
    [
        ("82", {"visa": "invalid_details", "mastercard": "not_permitted", "elo": "invalid_details"}),
        ("83", {"visa": "fraud_suspected", "mastercard": "fraud_suspected", "elo": "technical"}),
        ("70", {"visa": "authentication_required", "mastercard": "generic_soft"}),
        ("63", {"visa": "fraud_suspected", "mastercard": "fraud_suspected", "elo": "invalid_details"}),
        ("04", {"visa": "lost_or_stolen", "mastercard": "lost_or_stolen", "elo": "technical"}),
    ],
)
def test_one_number_means_other_things_on_other_networks(raw: str, meanings: dict[str, str]) -> None:
    assert {n: understand(refused(raw=raw), card(n)).category for n in meanings} == meanings


def test_elos_82_and_83_are_final() -> None:
    assert {understand(refused(raw=raw), card("elo")).advice for raw in ("82", "83")} == {"never"}


@pytest.mark.parametrize(
    ("country", "category"),
    [
        ("DE", "authentication_required"),
        ("gb", "authentication_required"),
        ("US", "velocity_or_limit"),
        (None, "velocity_or_limit"),
    ],
)
def test_a_european_mastercard_65_asks_for_authentication(country: str | None, category: str) -> None:
    assert understand(refused(raw="65"), card("mastercard", country)).category == category
    assert understand(refused(raw="65"), card("visa", country)).category == "velocity_or_limit"


@pytest.mark.parametrize("raw", ["62", "78", "93", "03"])
def test_what_visa_took_out_of_never_was_never_before(raw: str) -> None:
    now = understand(refused(raw=raw), card("visa"), on=date(2026, 3, 1))
    then = understand(refused(raw=raw), card("visa"), on=date(2021, 4, 16))
    assert now.advice != "never"
    assert then.advice == "never"
    assert understand(refused(raw=raw), card("visa"), on=date(2021, 4, 17)) == now


def test_visa_14_is_never_and_39_52_53_are_not() -> None:
    assert understand(refused(raw="14"), card("visa")).advice == "never"
    assert {understand(refused(raw=c), card("visa")).advice for c in ("39", "52", "53")} == {"retry_later"}


def test_57_is_final_at_visa_and_the_payers_switch_at_mastercard() -> None:
    assert understand(refused(raw="57"), card("visa")).advice == "never"
    assert understand(refused(raw="57"), card("mastercard")).advice == "retry_after_customer_action"


@pytest.mark.parametrize("advice", ["24", "25", "26", "27", "28", "29", "30", None])
def test_51_with_and_without_a_wait_is_lack_of_funds(advice: str | None) -> None:
    found = understand(refused(raw="51", advice=advice), card("mastercard"))
    assert (found.category, found.mac) == ("insufficient_funds", advice)


@pytest.mark.parametrize("raw", ["R0", "R1", "R3"])
def test_stop_orders_are_never(raw: str) -> None:
    found = understand(refused(raw=raw), card("visa"))
    assert (found.category, found.advice) == ("revoked_authorisation", "never")


@pytest.mark.parametrize(
    ("kind", "raw", "category"),
    [
        ("bacs_debit", "0", "insufficient_funds"),
        ("becs_debit", "6", "insufficient_funds"),
        ("sepa_debit", "MS03", "generic_soft"),
        ("sepa_debit", "AM06", "insufficient_funds"),
    ],
)
def test_refer_to_payer(kind: str, raw: str, category: str) -> None:
    assert understand(refused(raw=raw), debit(kind)).category == category


@pytest.mark.parametrize(
    ("psp", "country", "category"),
    [
        ("gocardless", "DE", "insufficient_funds"),
        ("GoCardless", "sk", "insufficient_funds"),
        ("gocardless", "FR", "generic_soft"),
        ("gocardless", None, "generic_soft"),
        ("adyen", "DE", "generic_soft"),
    ],
)
def test_a_sepa_debit_refused_without_a_reason_lacked_funds_in_five_countries(
    psp: str, country: str | None, category: str
) -> None:
    for code, raw in ((None, "MS03"), ("MS03", None)):
        if psp == "adyen" and code:
            continue  # Adyen passes the scheme's reason on as the raw code
        found = understand(refused(psp, code, raw), debit("sepa_debit", country))
        assert (found.category, found.advice) == (category, "retry_later")


def test_closed_frozen_and_wrong_kind_of_account_at_nacha() -> None:
    advice = {c: understand(refused(raw=c), debit("ach_debit")).advice for c in ("R02", "R16", "R20")}
    assert advice == {
        "R02": "never",
        "R16": "retry_after_customer_action",
        "R20": "retry_with_updated_credentials",
    }


def test_stripes_authentication_required_is_only_for_the_page() -> None:
    found = understand(refused("stripe", "authentication_required"), card("visa"))
    assert needs_customer(found)
    assert not retry_possible(found)


@pytest.mark.parametrize(
    ("psp", "advice", "mac", "may_be_retried"),
    [
        ("rapyd", "01", "03", False),
        ("rapyd", "02", "02", True),
        ("cybersource", "02", "02", True),
        ("cybersource", "2", "02", True),
        ("cybersource", "4", "03", False),
        ("cybersource", "08", None, False),
        ("cybersource", "7903", "03", False),
        ("cybersource", "7921", None, True),
        ("cybersource", "7941", None, False),
        ("cybersource", "7942", "42", False),
        ("cybersource", "25", "25", True),
        ("paypal", "21", "21", False),
        ("adyen", "03 : Do not try again", "03", False),
        ("braintree", "26", "26", True),
    ],
)
def test_advice_numbers_are_translated_per_provider(
    psp: str, advice: str, mac: str | None, may_be_retried: bool
) -> None:
    found = understand(refused(psp, None, "51", advice), card("mastercard"))
    assert (found.mac, retry_possible(found)) == (mac, may_be_retried)


def test_the_provider_reads_both_of_stripes_fields() -> None:
    assert understand(refused("stripe", "expired_card"), card("visa")).category == "expired_card"
    assert (
        understand(refused("stripe", "card_decline_rate_limit_exceeded"), None).category
        == "velocity_or_limit"
    )


def test_a_range_of_codes() -> None:
    assert understand(refused("braintree", "2500"), card("visa")).code == "2109-2999"
    assert understand(refused("braintree", "3001"), card("visa")).code != "2109-2999"
