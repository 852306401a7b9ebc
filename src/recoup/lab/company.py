"""A small company in the sandbox: its customers, their renewals, and the hidden lives of those that fail.

Their lives are drawn by the numbers of the world `studio`, as those of a simulation are.
"""

import random
from datetime import datetime, timedelta

from recoup.domain.view import Attempt, CaseView, Customer, Debt, Method, Result, Trigger
from recoup.lab.lives import Card, Failure, life_of
from recoup.lab.world import load
from recoup.psp.port import Declined

COMPANY = "Northwind Studio"
WORLD = "studio"
SUPPORT = "billing@northwind.example"
FAILS = 0.08
"""The share of renewals that fail; published figures for cards range from 4 to 15 %."""
_PLANS = (("Starter", 1900, 0.5), ("Team", 4900, 0.35), ("Business", 14900, 0.15))
_PLACES = (
    ("DE", "Europe/Berlin", "de", "EUR", 0.35),
    ("FR", "Europe/Paris", "fr", "EUR", 0.15),
    ("US", "America/New_York", "en-US", "USD", 0.3),
    ("GB", "Europe/London", "en-GB", "GBP", 0.2),
)
_FIRST = [
    "Anna",
    "Ben",
    "Clara",
    "David",
    "Elena",
    "Farid",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Kira",
    "Luca",
    "Mara",
    "Nils",
    "Olga",
    "Paul",
    "Rosa",
    "Sven",
    "Tara",
    "Yusuf",
]
_LAST = [
    "Adler",
    "Baker",
    "Costa",
    "Dubois",
    "Engel",
    "Fischer",
    "Garcia",
    "Hansen",
    "Ivanov",
    "Jansen",
    "Keller",
    "Lopez",
    "Meyer",
    "Novak",
    "Owens",
    "Petit",
]


def failures(seed: int, begins: datetime, days: int, customers: int) -> list[Failure]:
    """The renewals that fail within `days` of `begins`, in order; everything follows from the arguments."""
    dice = random.Random(f"company/{seed}")  # noqa: S311  (a story, not a secret)
    found = []
    for n in range(customers):
        someone, method, plan = _customer(dice, n, begins)
        at = begins + timedelta(days=dice.randrange(30), hours=dice.randrange(24), minutes=dice.randrange(60))
        for cycle in range(1 + days // 30):
            due = at + timedelta(days=30 * cycle)
            if dice.random() < FAILS and due < begins + timedelta(days=days):
                found.append(_failed(seed, n, cycle, due, someone, method, plan))
    return sorted(found, key=lambda f: (f.at, f.view.case_id))


def _customer(dice: random.Random, n: int, begins: datetime) -> tuple[Customer, Method, tuple[str, int, str]]:
    country, zone, locale, currency, _ = dice.choices(_PLACES, [p[4] for p in _PLACES])[0]
    plan, amount, _ = dice.choices(_PLANS, [p[2] for p in _PLANS])[0]
    first, last = dice.choice(_FIRST), dice.choice(_LAST)
    tenure = 30 + int(dice.expovariate(1 / 400))
    someone = Customer(
        id=f"cus_{n:04}",
        country=country,
        timezone=zone,
        locale=locale,
        tenure_days=tenure,
        mrr_minor=amount,
        plan=plan,
        email=f"{first}.{last}.{n}@customers.example".lower(),
        name=f"{first} {last}",
    )
    network = dice.choices(("visa", "mastercard", "amex"), (0.58, 0.36, 0.06))[0]
    method = Method(
        id=f"pm_{n:04}",
        kind="card",
        network=network,
        funding=dice.choices(("debit", "credit"), (0.6, 0.4))[0],
        country=country,
        expires="2029-06",
        fingerprint=f"f_{n:04}",
        added_at=begins - timedelta(days=tenure),
        last4=f"{dice.randrange(10_000):04}",
    )
    return someone, method, (plan, amount, currency)


def _failed(
    seed: int,
    n: int,
    cycle: int,
    due: datetime,
    someone: Customer,
    method: Method,
    plan: tuple[str, int, str],
) -> Failure:
    name, amount, currency = plan
    card = Card(
        network=method.network or "visa", funding=method.funding or "debit", zone=someone.timezone or "UTC"
    )
    life = life_of(load(WORLD), f"studio/{seed}/{n}/{cycle}", due, card)
    refused = life.declines(due) or Declined(code=life.code, network_code=life.network_code)
    number = f"{n:04}_{cycle}"
    attempt = Attempt(
        id=f"ren_{number}",
        at=due,
        trigger=Trigger.RENEWAL,
        method_id=method.id,
        amount_minor=amount,
        result=Result.DECLINED,
        psp="sandbox",
        code=refused.code,
        network_code=refused.network_code,
        advice_code=refused.advice_code,
    )
    view = CaseView(
        case_id=f"c_{number}",
        now=due,
        debt=Debt(
            id=f"in_{number}",
            amount_minor=amount,
            currency=currency,
            subscription_id=f"sub_{n:04}",
            due_at=due,
            interval="month",
            next_bill_at=due + timedelta(days=30),
            description=f"{COMPANY} {name}, {due:%B}",
        ),
        customer=someone,
        methods=(method,),
        attempts=(attempt,),
    )
    return Failure(at=due, view=view, life=life)
