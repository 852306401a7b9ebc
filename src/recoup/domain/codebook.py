"""The shipped decline table as an index: the row a code belongs to, by system and list, however it is written."""

from functools import cache

import msgspec

from recoup.data import rows


class Row(msgspec.Struct, frozen=True):
    """One row of the decline table."""

    system: str
    scheme: str
    code: str
    meaning: str
    category: str
    advice: str
    customer_action: str
    source_url: str


DEFAULT_ADVICE: dict[str, str] = {
    "insufficient_funds": "retry_later",
    "velocity_or_limit": "retry_later",
    "generic_soft": "retry_later",
    "technical": "retry",
    "authentication_required": "retry_after_customer_action",
    "expired_card": "retry_with_updated_credentials",
    "invalid_details": "retry_with_updated_credentials",
    "lost_or_stolen": "never",
    "closed_account": "never",
    "fraud_suspected": "never",
    "not_permitted": "retry_after_customer_action",
    "revoked_authorisation": "never",
    "payer_deceased": "never",
    "currency_or_amount": "retry_after_customer_action",
    "duplicate": "never",
    "merchant_config": "retry_later",
    "customer_abandoned": "retry_after_customer_action",
    "not_a_decline": "never",
    "unknown": "retry_later",
}
"""What may be done where all we are told is the category."""


def normal(code: str) -> str:
    """A code without the accidents of writing: case, blanks, hyphens, and leading zeros where it is a number."""
    text = "_".join(code.replace("-", " ").split()).upper()
    if text.isascii() and text.isdigit():
        return text.lstrip("0") or "0"
    return text


def split(code: str) -> tuple[str, str]:
    """A code as (what stands before a colon, what stands after it); the second is empty where there is none.

    Acquirers write `51 : Insufficient funds`; we write `ADDACS:2` for the code 2 of one of several lists.
    """
    before, _, after = code.partition(":")
    return before.strip(), after.strip()


class _List:
    """One list of codes: exact ones, and ranges of numbers."""

    __slots__ = ("exact", "ranges")

    def __init__(self) -> None:
        self.exact: dict[str, Row] = {}
        self.ranges: list[tuple[int, int, Row]] = []

    def add(self, row: Row) -> None:
        low, _, high = row.code.partition("-")
        if low.isdigit() and high.isdigit():
            self.ranges.append((int(low), int(high), row))
        self.exact[normal(row.code)] = row

    def find(self, code: str) -> Row | None:
        found = self.exact.get(code)
        if found is None and self.ranges and code.isascii() and code.isdigit():
            number = int(code)
            return next((row for low, high, row in self.ranges if low <= number <= high), None)
        return found


@cache
def _book() -> dict[str, dict[str, _List]]:
    book: dict[str, dict[str, _List]] = {}
    for r in rows("decline_codes"):
        row = Row(
            r["source_system"],
            r["network_or_scheme"],
            r["code"],
            r["short_meaning"],
            r["category"],
            r["retry_advice"],
            r["customer_action"],
            r["source_url"],
        )
        book.setdefault(row.system, {}).setdefault(row.scheme, _List()).add(row)
    return book


def schemes(system: str) -> tuple[str, ...]:
    """The lists of `system` in the table's order; empty for a system that is not in it."""
    return tuple(_book().get(system, ()))


def find(system: str, scheme: str, code: str) -> Row | None:
    """The row of `code` (in `normal` form) in one list, or None."""
    found = _book().get(system, {}).get(scheme)
    return None if found is None else found.find(code)


def in_lists(system: str, schemes: tuple[str, ...], code: str) -> Row | None:
    """The row of `code` in the first of the lists that has it, or None."""
    for scheme in schemes:
        row = find(system, scheme, code)
        if row is not None:
            return row
    return None


def knows(system: str) -> bool:
    """Whether the table has codes of `system`."""
    return system in _book()


@cache
def refers_to_funds() -> frozenset[str]:
    """The countries in which a SEPA debit refused without a reason (MS03) is, at GoCardless, one that lacked funds."""
    rule = next(r for r in rows("network_rules") if r["rule_id"] == "GC-SUCCESS-PLUS")
    told = rule["applies_to_codes"].partition("MS03 in ")[2].partition(" only")[0]
    return frozenset(told.split())


@cache
def once_never() -> tuple[str, frozenset[str]]:
    """The day Visa took codes out of its never-again list, and those codes; before that day they meant never."""
    rule = next(r for r in rows("network_rules") if r["rule_id"] == "VISA-RECLASS-2021")
    return rule["effective_date"], frozenset(normal(c) for c in rule["applies_to_codes"].split())
