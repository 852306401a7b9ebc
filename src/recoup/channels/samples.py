"""Made-up facts for every kind of message, to look at and to try words on: never sent to a customer."""

from __future__ import annotations

from datetime import datetime, timedelta

from recoup.channels import texts
from recoup.channels.facts import Item, MessageFacts
from recoup.channels.languages import tongue
from recoup.channels.texts import Text

SHOWN = (
    ("soft_notice", "insufficient_funds"),
    ("soft_notice", "bank debit"),
    ("action_needed", "expired_card"),
    ("action_needed", "authentication_required"),
    ("action_needed", "revoked_authorisation"),
    ("action_needed", "lost_or_stolen"),
    ("reminder", "velocity_or_limit"),
    ("final_notice", ""),
    ("recovered", ""),
    ("card_expiring", ""),
    ("trial_first_charge", "generic_soft"),
    ("win_back", ""),
    ("digest", ""),
    ("pre_debit_notice", ""),
    ("pre_debit_notice", "another amount"),
)
"""Every kind of message, with the causes that read differently; `bank debit` is a debit that came back for lack of money,
`another amount` one by card of less than before."""
NAMES = {
    "ja": "佐藤 葵", "ko": "김민준", "zh-CN": "王芳", "ar": "ليلى حداد", "tr": "Elif Yılmaz", "pl": "Zofia Nowak", "de": "Lena Sommer",
    "fr": "Camille Martin", "es": "Lucía García", "pt-BR": "Ana Souza", "it": "Giulia Rossi", "nl": "Sanne de Vries", "sv": "Elsa Berg",
    "da": "Freja Holm",
}  # fmt: skip
MONEY = {
    "en": (4900, "USD"), "pt-BR": (9900, "BRL"), "pl": (19900, "PLN"), "sv": (49900, "SEK"), "da": (34900, "DKK"), "ja": (4900, "JPY"),
    "ko": (49000, "KRW"), "zh-CN": (34900, "CNY"), "tr": (149900, "TRY"), "ar": (17900, "AED"),
}  # fmt: skip
_RETRIES = frozenset({"insufficient_funds", "generic_soft", "velocity_or_limit", "unknown"})


def sample_facts(
    step: str,
    language: str,
    cause: str,
    now: datetime,
    *,
    merchant: str,
    support: str,
    pay_url: str,
    preferences_url: str,
    accent: str = "#0b6e4f",
    logo_url: str | None = None,
) -> MessageFacts:
    """A made-up case of `merchant`, with a name and money of the language. `cause` may be one of `SHOWN`."""
    less = cause == "another amount"
    debit = (step == "pre_debit_notice" and not less) or cause == "bank debit"
    minor, currency = (4900, "EUR") if debit else MONEY.get(language, (4900, "EUR"))
    cause = "insufficient_funds" if cause in ("bank debit", "another amount") else cause or "generic_soft"
    what = _say(texts.SOME_SUBSCRIPTION, language, merchant=merchant)
    label = (
        _say(texts.ACCOUNT_ENDING, language, last4="3000")
        if debit
        else _say(texts.CARD_ENDING, language, network="Visa", last4="4242")
    )
    items = tuple(
        Item(what=f"{merchant} 2026-{month:02}", amount_minor=minor, currency=currency)
        for month in (9, 10, 11)
    )
    return MessageFacts(
        merchant=merchant, support=support, accent=accent, logo_url=logo_url, customer=NAMES.get(language, "Alex Morgan"),
        amount_minor=minor, before_minor=2 * minor if less else None, currency=currency, locale=language, timezone="UTC", failed_at=now - timedelta(days=1), cause=cause,
        pay_url=pay_url, preferences_url=preferences_url, what=what, method_label=label, paid_at=now,
        next_try_at=now + timedelta(days=4) if debit or less or (cause in _RETRIES and step != "final_notice") else None,
        deadline=now + timedelta(days=14), deadline_action="cancel", rail="sepa_debit" if debit else "card",
        expires=f"{now + timedelta(days=30):%Y-%m}",
        mandate="MNDT-2026-118" if debit else None, creditor="DE98ZZZ09999999999" if debit else None,
        items=items if step == "digest" else (), reference="INV-2026-118",
        test=True,
    )  # fmt: skip


def _say(said: Text, language: str, **values: str) -> str:
    return tongue(language)(said.source).format_map(values)
