"""A payments export as a small company's Stripe dashboard writes it: some thousand lines of a year, plans of every length."""

import csv
from calendar import monthrange
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

COLUMNS = (
    "id", "Created date (UTC)", "Amount", "Amount Refunded", "Currency", "Captured", "Converted Amount", "Converted Amount Refunded",
    "Converted Currency", "Decline Reason", "Description", "Fee", "Is Link", "Mode", "PaymentIntent ID", "Payment Source Type",
    "Refunded date (UTC)", "Statement Descriptor", "Status", "Seller Message", "Taxes On Fee", "Card ID", "Card Name", "Card Address Line1",
    "Card Address City", "Card Address Country", "Card Address Zip", "Card AVS Line1 Status", "Card AVS Zip Status", "Card Brand",
    "Card CVC Status", "Card Exp Month", "Card Exp Year", "Card Fingerprint", "Card Funding", "Card Issue Country", "Card Last4",
    "Card Tokenization Method", "Customer ID", "Customer Description", "Customer Email", "Disputed Amount", "Dispute Date (UTC)",
    "Dispute Evidence Due (UTC)", "Dispute Reason", "Dispute Status", "Invoice ID", "Invoice Number", "Payment Link ID",
    "Payment Intent ID", "Transfer", "Transfer Group",
)  # fmt: skip
PLANS = (
    ("month", 1, "49.00", 62), ("month", 1, "19.00", 22), ("year", 12, "490.00", 8), ("quarter", 3, "139.00", 3),
    ("half_year", 6, "270.00", 2), ("week", 0, "9.00", 3),
)  # fmt: skip
"""Interval, its months, price and how many of a hundred customers have it."""
REASONS = (
    ("insufficient_funds",) * 5 + ("generic_decline",) * 4 + ("expired_card",) * 3 + ("do_not_honor",) * 2
)
RETRIES = (3, 5, 7, 8)
"""Days from one try to the next, as Stripe's own retries may go."""


class Export:
    """The lines, and of each invoice the interval it really renews at."""

    def __init__(self, now: datetime, customers: int, seed: int = 7) -> None:
        self.now, self.dice = now, Random(seed)
        self.lines: list[dict[str, str]] = []
        self.truth: dict[str, str] = {}
        for n in range(customers):
            self._life(n)
        self.lines.sort(key=lambda line: line["Created date (UTC)"], reverse=True)

    def write(self, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.lines)

    def _life(self, n: int) -> None:
        dice = self.dice
        interval, months, price, _ = dice.choices(PLANS, [p[3] for p in PLANS])[0]
        began = self.now - timedelta(days=dice.uniform(20, 800))
        card = {
            "Card ID": f"pm_{n}", "Card Fingerprint": f"fp{n}", "Card Brand": dice.choice(("Visa", "Visa", "MasterCard")),
            "Card Exp Month": "6", "Card Exp Year": str(self.now.year + 2), "Card Funding": dice.choice(("credit", "debit")),
            "Card Issue Country": dice.choice(("DE", "DE", "AT", "FR")), "Card Last4": f"{n % 10000:04d}",
            "Customer ID": f"cus_{n}", "Customer Email": f"{n}@customer.example", "Payment Source Type": "card",
        }  # fmt: skip
        for k, at in enumerate(_renewals(began, months, self.now)):
            if at < self.now - timedelta(days=400):
                continue
            hour = timedelta(minutes=dice.uniform(55, 130))  # a draft invoice is charged an hour later
            if not self._invoice(f"in_{n}_{k}", interval, at + hour, price, card):
                return
            if dice.random() < 0.02:
                odd = f"{dice.uniform(1, float(price)):.2f}"
                self._line(f"in_{n}_{k}_up", at + timedelta(days=dice.uniform(1, 20)), odd, "Paid", card, 0)

    def _invoice(self, id: str, interval: str, at: datetime, price: str, card: dict[str, str]) -> bool:
        """One invoice with its tries; whether the customer stays."""
        self.truth[id] = interval
        if self.dice.random() > 0.09:
            self._line(id, at, price, "Paid", card, 0)
            return True
        reason = self.dice.choice(REASONS)
        for nth, wait in enumerate((0, *RETRIES)):
            at += timedelta(days=wait)
            if at > self.now:
                return False
            paid = nth > 0 and self.dice.random() < 0.28
            self._line(id, at, price, "Paid" if paid else "Failed", card, nth, "" if paid else reason)
            if paid:
                return True
        return False

    def _line(
        self, id: str, at: datetime, price: str, status: str, card: dict[str, str], nth: int, reason: str = ""
    ) -> None:
        if at > self.now:
            return
        self.lines.append(
            dict.fromkeys(COLUMNS, "") | card | {
                "id": f"ch_{id}_{nth}", "Created date (UTC)": f"{at:%Y-%m-%d %H:%M:%S}", "Amount": price, "Currency": "eur",
                "Status": status, "Captured": "true" if status == "Paid" else "false", "Decline Reason": reason, "Invoice ID": id,
                "Description": "Subscription update", "PaymentIntent ID": f"pi_{id}", "Amount Refunded": "0.00",
            }
        )  # fmt: skip


def _renewals(began: datetime, months: int, end: datetime) -> Iterator[datetime]:
    """A weekly plan has no months; the others renew on the day they began, or the last of a shorter month."""
    nth, at = 0, began
    while at < end:
        yield at
        nth += 1
        if months == 0:
            at = began + timedelta(days=7 * nth)
            continue
        month = began.month - 1 + months * nth
        year, month = began.year + month // 12, month % 12 + 1
        at = began.replace(year=year, month=month, day=min(began.day, monthrange(year, month)[1]))
