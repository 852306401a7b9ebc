"""The fake provider as an test holds it: start it, script it, move its time, look at its books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from stripe import StripeClient

from . import customers, hosted, invoice_shapes, invoices, payments, products, subscriptions
from .book import Obj
from .charges import refunds_of
from .clock import instant
from .collecting import follow
from .deliveries import Order, Post, Receipt
from .desk import Desk
from .hosted import complete, lines_of
from .intents import authenticate, settle
from .methods import attach_to, make
from .mishaps import How
from .outcomes import Wish, outcome
from .reversals import close_dispute, open_dispute
from .server import Served
from .world import CURRENT_VERSION, Attempt, Movement, Settings, World

# Importing a module registers its calls; these are imported for nothing else.
_REGISTERED = (hosted, invoices, payments, products, subscriptions)


@dataclass(frozen=True)
class Subscriber:
    """Ids of a customer made ready for a renewal."""

    customer: str
    method: str
    price: str
    subscription: str


@dataclass(frozen=True)
class Endpoint:
    id: str
    secret: str


class FakeStripe:
    """One account of the provider on a loopback port. Use as a context manager."""

    def __init__(
        self, now: datetime = datetime(2026, 11, 24, 9, tzinfo=UTC), *, checking: bool = True
    ) -> None:
        """`checking=False` spares load tests the check of answers (about two thirds of the fake's time)."""
        self.api_key = "sk_test_fake"
        self.world = World.starting(now)
        self.world.checking = checking
        self.world.followers.append(follow)
        self._add_includes()
        self.desk = Desk(self.world, self.api_key)
        self.post = Post(self.world)
        self._served = Served(self.desk)
        self.url = self._served.url

    def _add_includes(self) -> None:
        world = self.world
        world.includes |= {
            ("invoice", "payments"): lambda obj: invoice_shapes.payments_of(world, obj),
            ("invoice", "confirmation_secret"): lambda obj: invoice_shapes.secret_of(world, obj),
            ("customer", "subscriptions"): lambda obj: customers.subscriptions_of(world, obj),
            ("charge", "refunds"): lambda obj: refunds_of(world, obj),
            ("checkout.session", "line_items"): lambda obj: lines_of(world, obj),
        }

    def __enter__(self) -> FakeStripe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.post.close()
        self._served.close()

    def client(self, **options: Any) -> StripeClient:
        """The official client, wired to this fake; it retries nothing by itself unless asked to."""
        options.setdefault("max_network_retries", 0)
        return StripeClient(self.api_key, base_addresses={"api": self.url}, **options)

    # --- time ---

    @property
    def now(self) -> datetime:
        return instant(self.world.now)

    def advance(self, to: datetime | timedelta) -> datetime:
        """Moves time forward; renewals, retries, settlements and expiries happen on the way, in order."""
        with self.world.lock:
            self.world.clock.advance(to)
            return self.now

    # --- what the books say ---

    @property
    def settings(self) -> Settings:
        return self.world.settings

    @property
    def ledger(self) -> list[Movement]:
        """Every movement of money, oldest first."""
        with self.world.lock:
            return list(self.world.ledger)

    @property
    def attempts(self) -> list[Attempt]:
        """Every question put to a bank, oldest first."""
        with self.world.lock:
            return list(self.world.attempts)

    @property
    def faults(self) -> list[str]:
        """Where a request or an answer left the official client's types, or asked for what is not played."""
        with self.world.lock:
            return list(self.world.faults)

    def excuse(self, containing: str) -> int:
        """Takes expected faults off the list and tells how many there were."""
        with self.world.lock:
            kept = [fault for fault in self.world.faults if containing not in fault]
            count = len(self.world.faults) - len(kept)
            self.world.faults[:] = kept
            return count

    @property
    def requests(self) -> Counter[str]:
        """How often each `METHOD /path` was asked."""
        with self.world.lock:
            return Counter(self.desk.requests)

    def get(self, id: str) -> Obj:
        """The object of an id, in the newest shape. Errors: KeyError."""
        with self.world.lock:
            found = self.world.book.find(id)
        if found is None:
            raise KeyError(id)
        return found

    def events(self, type: str | None = None) -> list[Obj]:
        """Everything that happened, oldest first."""
        with self.world.lock:
            return list(reversed(self.world.book.all("event", type=type)))

    def paid(self, invoice: str) -> list[Movement]:
        """The charges that really collected this invoice: more than one is a double charge."""
        return [m for m in self.ledger if m.kind == "charge" and m.invoice == invoice]

    # --- scripts: what banks and customers do ---

    def script(self, target: str, *wishes: Wish) -> None:
        """What the bank answers to the next charges of a payment method or customer; the last is repeated.

        A wish is "paid", a decline code, a network code, (network code, advice code), "challenge", "blocked",
        or an Outcome of `outcomes.declined(...)` / `outcomes.pending(...)`.
        """
        with self.world.lock:
            self.world.scripts.write(target, wishes)

    def add_method(
        self, customer: str, like: str = "pm_card_visa", *, default: bool = True, **card: Any
    ) -> str:
        """The customer saves a method that behaves `like` a published one; its id."""
        with self.world.lock:
            owner = self.world.book.get("customer", customer)
            method = attach_to(self.world, make(self.world, like, **card), owner)
            if default:
                with self.world.changing(owner, "customer.updated"):
                    customers.set_default(self.world, owner, method["id"])
            return str(method["id"])

    def update_card(self, method: str, **card: Any) -> None:
        """The networks' account updater gives a card new details (`exp_year`, `last4`, `fingerprint`)."""
        with self.world.lock:
            found = self.world.book.get("payment_method", method)
            with self.world.changing(found, "payment_method.automatically_updated"):
                found["card"] = {**found["card"], **card}

    def authenticate(self, intent: str, *, passed: bool = True) -> None:
        """The customer meets the 3-D Secure challenge of an intent that waits for it."""
        with self.world.lock:
            authenticate(self.world, self.world.book.get("payment_intent", intent), passed=passed)

    def settle(self, intent: str, wish: Wish = "paid") -> None:
        """The bank ends a debit now instead of at its time."""
        with self.world.lock:
            settle(self.world, self.world.book.get("payment_intent", intent), outcome(wish))

    def complete_checkout(self, session: str, like: str = "pm_card_visa") -> str:
        """The customer fills in the checkout page with such a method; its id. Errors: Refusal as on the page."""
        with self.world.lock:
            found = self.world.book.get("checkout.session", session)
            return str(complete(self.world, found, like)["id"])

    def dispute(self, charge: str, reason: str = "fraudulent") -> str:
        """The customer's bank takes a charge back; the dispute's id."""
        with self.world.lock:
            return str(open_dispute(self.world, self.world.book.get("charge", charge), reason)["id"])

    def close_dispute(self, dispute: str, *, won: bool) -> None:
        with self.world.lock:
            close_dispute(self.world, self.world.book.get("dispute", dispute), won=won)

    def subscriber(
        self,
        *,
        amount: int = 4900,
        currency: str = "eur",
        interval: str = "month",
        like: str = "pm_card_visa",
        email: str = "ada@example.com",
        first: Wish = "paid",
    ) -> Subscriber:
        """A customer whose first invoice is paid (unless `first` says otherwise), through the client itself."""
        client = self.client()
        customer = client.v1.customers.create({"email": email, "name": "Ada Lovelace"})
        method = self.add_method(customer.id, like)
        self.script(method, first)
        price = client.v1.prices.create(
            {
                "currency": currency,
                "unit_amount": amount,
                "recurring": {"interval": interval},
                "product_data": {"name": "Team plan"},
            }
        )
        subscription = client.v1.subscriptions.create(
            {"customer": customer.id, "items": [{"price": price.id}]}
        )
        self.script(method)
        return Subscriber(customer.id, method, price.id, subscription.id)

    def renew(self, subscription: str) -> str:
        """Moves time just past the next renewal and its first charge; the invoice's id."""
        item = self.get(subscription)["items"]["data"][0]
        self.advance(instant(item["current_period_end"] + self.settings.finalize_after + 1))
        return str(self.get(subscription)["latest_invoice"])

    # --- webhooks ---

    def listen(
        self,
        url: str,
        events: Sequence[str] = ("*",),
        *,
        api_version: str | None = None,
        secret: str | None = None,
    ) -> Endpoint:
        """A webhook endpoint in its own API version, with a secret of the test's choice."""
        made = self.client().v1.webhook_endpoints.create(
            {
                "url": url,
                "enabled_events": list(events),  # type: ignore[arg-type]
                "api_version": api_version or CURRENT_VERSION,  # type: ignore[typeddict-item]
            }
        )
        with self.world.lock:
            self.world.secrets[made.id] = secret or self.world.secrets[made.id]
            return Endpoint(made.id, self.world.secrets[made.id])

    def deliver(
        self,
        *,
        order: Order = "made",
        copies: int = 1,
        only: str = "*",
        limit: int | None = None,
        seed: int = 0,
    ) -> list[Receipt]:
        """Posts the webhooks that are due; see `post` for holding, delaying, losing, resending."""
        return self.post.send(order=order, copies=copies, only=only, limit=limit, seed=seed)

    # --- trouble ---

    def mishap(self, how: How, on: str = "POST *", *, times: int = 1, seconds: float = 0.0) -> None:
        """The next `times` requests whose `METHOD /path` matches `on` go wrong; see `mishaps.How`."""
        self.desk.mishaps.add(how, on=on, times=times, seconds=seconds)

    def limit_rate(self, requests: int, per_seconds: float, retry_after: int = 1) -> None:
        """Answers 429 beyond so many requests in a sliding window of real seconds."""
        self.desk.mishaps.limit(requests, per_seconds, retry_after)

    def calm(self) -> None:
        """No more mishaps, no more rate limit."""
        self.desk.mishaps.clear()


def total(movements: Iterable[Movement]) -> Counter[str]:
    """Minor units per currency: charges less refunds and lost disputes."""
    sums: Counter[str] = Counter()
    for movement in movements:
        sums[movement.currency] += movement.amount * (1 if movement.kind in ("charge", "dispute_won") else -1)
    return sums
