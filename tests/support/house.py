"""A real house for tests: a migrated database of its own, a clock moved by hand, the sandbox as provider."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from recoup.domain.case import Case
from recoup.domain.view import CaseView, Debt
from recoup.engine import policies, receive, timeline
from recoup.engine.house import House
from recoup.engine.ids import new_id
from recoup.psp.sandbox import Sandbox
from recoup.psp.sandbox_bank import Bank
from recoup.psp.sandbox_life import Cause, Life
from recoup.settings import Settings
from recoup.store import cases, merchants, migrate
from recoup.store.engines import reading, writing
from recoup.store.merchants import Brand, Merchant
from recoup.wiring import assemble

BEGIN = datetime(2026, 3, 2, 9, tzinfo=UTC)
BASE_URL = "http://recoup.example"
SECRET = "a-secret-key-that-only-tests-know-and-nobody-else"
HOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

Json = dict[str, Any]


class FakeClock:
    """A clock that stands still until the test moves it; safe to share between threads."""

    def __init__(self, at: datetime = BEGIN) -> None:
        self._at = at
        self._lock = threading.Lock()

    def now(self) -> datetime:
        with self._lock:
            return self._at

    def steady(self) -> float:
        return self.now().timestamp()

    def forward(self, span: timedelta) -> datetime:
        """Moves on by `span`; the new present."""
        with self._lock:
            self._at += span
            return self._at

    def to(self, at: datetime) -> datetime:
        """Moves to a later instant."""
        with self._lock:
            assert at >= self._at, f"a clock never goes back, from {self._at} to {at}"
            self._at = at
            return at


@contextmanager
def standing(
    database_url: str,
    *,
    clock: FakeClock | None = None,
    base_url: str = BASE_URL,
    smtp_url: str = "",
    mail_url: str = "",
) -> Iterator[House]:
    """The house on a migrated database. `house.clock` is the `FakeClock` given, or one at `BEGIN`."""
    settings = Settings(
        database_url=database_url,
        secret_key=SECRET,
        base_url=base_url,
        smtp_url=smtp_url,
        mail_url=mail_url,
        concurrency=4,
    )
    house = assemble(settings, clock=clock or FakeClock())
    try:
        migrate.upgrade(house.db)
        yield house
    finally:
        house.db.dispose()


def clock_of(house: House) -> FakeClock:
    """The hand-moved clock of a house made here."""
    assert isinstance(house.clock, FakeClock)
    return house.clock


def add_merchant(
    house: House,
    name: str = "acme",
    *,
    psp: str = "sandbox",
    account: Mapping[str, str] | None = None,
    policy: str = "default",
    brand: Brand | None = None,
    test_clock: datetime | None = None,
) -> Merchant:
    """A merchant with a policy (a shipped one's name, or TOML text). The sandbox's bank lives as long as the house."""
    merchant_id, now = new_id("m"), house.clock.now()
    bank = {"path": ":memory:"} if psp == "sandbox" else {}
    given = {**bank, "hook_secret": HOOK_SECRET, **(account or {})}
    toml, source = (policy, "test") if "\n" in policy else policies.text_of(policy)
    parsed = policies.parse(toml, source=source)
    with writing(house.db) as tx:
        merchants.add(
            tx, id=merchant_id, name=name, psp=psp, account=house.vault.seal(given), policy=f"{parsed.name}@1",
            brand=brand or Brand(name=name.title(), support=f"billing@{name}.example"), now=now, clock=test_clock,
        )  # fmt: skip
        ref = policies.keep(tx, merchant_id, parsed, toml, now)
        assert ref == f"{parsed.name}@1"
        return merchants.get(tx, merchant_id)


def bank_of(house: House, merchant: Merchant) -> Bank:
    """The bank behind a sandbox merchant: debts and lives are registered there, and its books hold the truth."""
    gateway = house.gateway(merchant)
    assert isinstance(gateway, Sandbox)
    return gateway.bank


def life(cause: Cause = "technical", *, clears_at: datetime | None = BEGIN, **more: Any) -> Life:
    """A debt's hidden life; as given it pays whenever it is asked."""
    values: Json = {
        "seed": "test", "cause": cause, "began_at": BEGIN - timedelta(days=1), "zone": "UTC", "network": "visa",
        "code": "processing_error", "network_code": "96", "clears_at": clears_at,
    }  # fmt: skip
    return Life(**{**values, **more})


PAYS = life()
NEVER_PAYS = life("funds", code="insufficient_funds", network_code="51", clears_at=None)


def view_json(n: int | str = 1, *, at: datetime = BEGIN, **over: Any) -> Json:
    """A failed card renewal as a billing system tells it (JSON); `over` replaces whole top-level fields, or a part of
    one when given as `debt__amount_minor=100`."""
    when = (at - timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    view: Json = {
        "case_id": f"c_{n}",
        "now": at.isoformat().replace("+00:00", "Z"),
        "debt": {"id": f"in_{n}", "subscription_id": f"sub_{n}", "amount_minor": 4900, "currency": "EUR", "due_at": when,
                 "kind": "renewal", "interval": "month"},
        "customer": {"id": f"cus_{n}", "country": "DE", "timezone": "Europe/Berlin", "locale": "de",
                     "email": f"someone{n}@customer.example", "name": f"Someone {n}"},
        "methods": [{"id": f"pm_{n}", "kind": "card", "network": "visa", "funding": "debit", "country": "DE",
                     "expires": "2028-04", "fingerprint": f"f_{n}", "last4": "4242"}],
        "attempts": [{"id": f"a_{n}", "at": when, "trigger": "renewal", "method_id": f"pm_{n}", "amount_minor": 4900,
                      "result": "declined", "psp": "stripe", "code": "insufficient_funds", "network_code": "51"}],
    }  # fmt: skip
    for key, value in over.items():
        part, _, inner = key.partition("__")
        if inner:
            view[part] = {**view[part], inner: value}
        else:
            view[part] = value
    return view


def view(n: int | str = 1, **over: Any) -> CaseView:
    """The same as a value."""
    return msgspec.convert(view_json(n, **over), CaseView)


def fail(house: House, merchant: Merchant, *views: CaseView, lives: Life | None = PAYS) -> list[Case]:
    """Tells failures in, each debt registered at the sandbox's bank with `lives`; the cases that stand afterwards."""
    if merchant.psp == "sandbox" and lives is not None:
        for each in views:
            bank_of(house, merchant).register(each.debt, lives)
    receipts = receive.failures(house, merchant, views, actor="test")
    return [case_of(house, merchant, r.case_id) for r in receipts]


def case_of(house: House, merchant: Merchant, case_id: str) -> Case:
    """The case as it stands now."""
    with reading(house.db) as tx:
        return cases.one(tx, merchant.id, case_id)


def settle(house: House, merchant: Merchant) -> None:
    """Does everything that is due at this instant: webhooks, cases, messages, until nothing is left."""
    timeline.settle(house, merchant.id)


def live_until(house: House, merchant: Merchant, at: datetime) -> None:
    """Lives on to `at` in real time: the clock goes from alarm to alarm, everything due is done at its own instant."""
    clock = clock_of(house)
    while True:
        settle(house, merchant)
        alarm = timeline.next_alarm(house, merchant)
        if alarm is None or alarm > at:
            break
        clock.to(max(alarm, clock.now()))
    clock.to(at)


def debt(n: int | str = 1, *, amount_minor: int = 4900, currency: str = "EUR") -> Debt:
    """The debt of `view(n)`."""
    return Debt(id=f"in_{n}", subscription_id=f"sub_{n}", amount_minor=amount_minor, currency=currency)


def states(house: House, merchant: Merchant, case_ids: Sequence[str]) -> dict[str, str]:
    """Where each of these cases stands."""
    with reading(house.db) as tx:
        return {i: c.state.value for i, c in cases.load(tx, merchant.id, list(case_ids)).items()}
