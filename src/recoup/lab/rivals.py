"""The schedules of other systems as policies, each with its source, to be played on the same lives as ours.

Where a system's own times are a secret (a model picks them), an even spread over its window stands in, and the note says
so. Network rules bind all of them, as they bind us; those whose documents show that codes are not looked at are there a
second time, `_unbound`, as they are. Messages are the system's own where they are known, else the same four for all.
A schedule's own ending is not held against it: the customer may pay by themselves until the world's window ends.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import cache

import msgspec

from recoup.domain.policy import EndingRule, MessageRule, Policy, Rung, Timing
from recoup.lab.deciders import ByPolicy, Decider, Unbound, hours

FOUR = (("soft_notice", 1.0), ("action_needed", 72.0), ("second_reminder", 168.0), ("final_notice", 360.0))
"""The messages of a system that leaves them to the merchant, or does not say: hours after the failure."""
NONE: tuple[tuple[str, float], ...] = ()
LASTS = timedelta(days=120)
SOFT = ("insufficient_funds", "velocity_or_limit", "generic_soft", "technical", "unknown")
NOT_PLAYED = {
    "Maxio Advanced Billing": "the merchant sets the days, none are published",
    "Butter, FlexPay, Vindicia, Slicker": "nothing but the length of the window is published",
    "Apple, Google Play": "the store charges; its times are not published",
}
"""Systems that cannot be played, and why."""


class Rival(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule: where it comes from, and what was assumed."""

    name: str
    title: str
    source: str
    decider: Decider
    note: str = ""

    @property
    def lawful(self) -> bool:
        """Whether network rules bind it."""
        return isinstance(self.decider, ByPolicy)


def _rung(after: float, when: Sequence[str] = ()) -> Rung:
    return Rung(after=timedelta(hours=after), when=tuple(when))


def _policy(
    name: str,
    rungs: Sequence[Rung],
    mails: Sequence[tuple[str, float]],
    *,
    at_most: int | None = None,
    working_days: bool = False,
) -> ByPolicy:
    return ByPolicy(
        Policy(
            name=name,
            window=LASTS,
            timing=Timing(
                mode="schedule" if rungs or mails else "learned",
                attempts=len(rungs) if at_most is None else at_most,
                avoid=("bank_holiday", "weekend") if working_days else (),
            ),
            retry=tuple(rungs),
            message=tuple(MessageRule(step=s, after=timedelta(hours=h)) for s, h in mails),
            ending=EndingRule(action="cancel"),
        )
    )


def _fixed(
    name: str,
    title: str,
    charges: Sequence[float],
    source: str,
    note: str = "",
    mails: Sequence[tuple[str, float]] = FOUR,
) -> Rival:
    """Tries so many hours after the failure, whatever the reason, as far as network rules allow."""
    decider = _policy(name, [_rung(h) for h in charges], mails)
    return Rival(name=name, title=title, source=source, note=note, decider=decider)


def _as_it_is(of: Rival) -> Rival:
    """The same times without network rules, for a system whose documents show no look at the codes."""
    assert isinstance(of.decider, ByPolicy)
    policy, name = of.decider.policy, f"{of.name}_unbound"
    charges = tuple(sorted(r.after / timedelta(hours=1) for r in policy.retry if not r.when))
    mails = tuple((m.step, m.after / timedelta(hours=1)) for m in policy.message)
    return Rival(
        name=name, title=f"{of.title}, codes and network rules not looked at", source=of.source,
        note="charges dead cards and beyond the networks' caps; each such charge is counted and paid for",
        decider=Unbound(name, charges, mails),
    )  # fmt: skip


def _each(prefix: str, *times: float) -> tuple[tuple[str, float], ...]:
    return tuple((f"{prefix}_{n}", h) for n, h in enumerate(times, 1))


def _plain() -> list[Rival]:
    nothing = Rival(
        name="nothing", title="No dunning", source="none", decider=_policy("nothing", (), NONE, at_most=0),
        note="nobody charges, nobody writes; some customers notice by themselves",
    )  # fmt: skip
    return [
        nothing,
        _fixed("daily_3", "Home-made: days 1, 2, 3", (24, 48, 72), "https://hexdocs.pm/phoenix_kit/PhoenixKit.Modules.Billing.Workers.SubscriptionDunningWorker.html", "also Cashfree and PhoenixKit"),
        _fixed("daily_28", "Home-made: every day", hours(24, 27), "https://ronbuilds.dev/churn/failed-payment-recovery-smart-retry", "as far as network caps allow"),
        _fixed("weekly_4", "Weekly, four tries", (168, 336, 504, 660), "https://docs.messagecloud.com/article/53-retries", "Payforit tries three times a week apart"),
    ]  # fmt: skip


def _platforms() -> list[Rival]:
    recurly = [_rung(h, [c for c in SOFT if c != "technical"]) for h in hours(48, 7)]
    recurly += [_rung(h, ["technical"]) for h in hours(72, 7)]
    return [
        _fixed("stripe_smart", "Stripe Smart Retries", hours(42, 8), "https://docs.stripe.com/billing/revenue-recovery/smart-retries", "8 tries in 14 days; a model picks the times: evenly here"),
        _fixed("stripe_357", "Stripe custom, gaps of 3, 5, 7 days", (72, 192, 360), "https://docs.flycode.com/docs/stripe-smart-retries-complete-guide"),
        Rival(name="recurly_static", title="Recurly static retries", source="https://docs.recurly.com/recurly-subscriptions/docs/static-retries", note="every 48 hours, 72 after outages, until 7 declines", decider=_policy("recurly_static", recurly, FOUR, at_most=7)),
        _fixed("recurly_recover", "Recurly Recover", hours(72, 9), "https://docs.recurly.com/recurly-recover/docs/retry-strategy-models", "27 days; a model picks the times and their number: nine evenly here"),
        _fixed("chargebee_custom", "Chargebee custom", (72, 144, 216), "https://www.chargebee.com/docs/payments/2.0/kb/payments/what-happens-when-dunning-retries-expire", "3 tries; gaps are the merchant's, 3 days assumed"),
        _fixed("chargebee_smart", "Chargebee smart", hours(56, 12), "https://www.chargebee.com/docs/payments/2.0/kb/payments/what-happens-when-dunning-retries-expire", "12 tries by category and chance: evenly over 28 days here"),
        _fixed("paddle", "Paddle Billing", hours(103, 7), "https://developer.paddle.com/changelog/2025/default-dunning-payment-recovery", "7 tries in 30 days; a model picks the times: evenly here"),
        _fixed("zuora_smart", "Zuora Smart Retry", hours(120, 5), "https://docs.zuora.com/en/zuora-payments/payment-orchestration/payment-retry/configurable-payment-retry/configure-configurable-payment-retry/enable-smart-retry", "window and number are the merchant's: 5 in 25 days assumed"),
        _fixed("braintree", "Braintree", (120, 240), "https://www.braintreepayments.com/blog/customizable-dunning-management/", "2 tries; 5 and 10 days assumed", _each("notice", 0.1)),
        _fixed("checkout_com", "Checkout.com Smart Dunning", hours(112, 6), "https://checkout.com/docs/payments/manage-payments/configure-scheduled-retries", "n tries in d days, both the merchant's: 6 in 28 assumed"),
        _fixed("adyen_rescue", "Adyen Auto Rescue, cards", hours(120, 5), "https://docs.adyen.com/online-payments/auto-rescue/cards/", "a model picks the times within a month: five evenly here", (("final_notice", 610.0),)),
        _fixed("paypal", "PayPal subscriptions", (120, 240), "https://errorhandle.ai/paypal-subscription-payment-failure-retries", "every 5 days, twice a cycle"),
    ]  # fmt: skip


def _processors() -> list[Rival]:
    funds = ["insufficient_funds"]
    success = [_rung(h, funds) for h in (112, 336, 560)]
    rescue = [_rung(h, funds) for h in (336, 648)]
    no_dnh = [c for c in SOFT if c != "generic_soft"]
    dodo = (12, 36, 84, 156, 252, 372, 540, 708)
    return [
        Rival(name="gocardless", title="GoCardless Success+", source="https://support.gocardless.com/hc/en-gb/articles/360013070139-Automatically-retrying-failed-payments-with-intelligent-retries", note="made for bank debits: one try in each third of four weeks, working days, want of money only; the middle of each third here", decider=_policy("gocardless", success, _each("notice", 1, 113, 337), working_days=True)),
        Rival(name="adyen_rescue_sepa", title="Adyen Auto Rescue, SEPA", source="https://docs.adyen.com/online-payments/auto-rescue/sepa/", note="made for bank debits: 2 tries in 42 days, want of money only; days 14 and 27 here", decider=_policy("adyen_rescue_sepa", rescue, FOUR, working_days=True)),
        _fixed("yuno", "Yuno", (0.083, 1, 5, 24, 48, 96), "https://docs.y.uno/reference/retries"),
        Rival(name="dodo_13", title="Dodo Payments, 13 days", source="https://docs.dodopayments.com/features/recovery/payment-retries", note="takes do-not-honor for dead", decider=_policy("dodo_13", [_rung(h, no_dnh) for h in dodo[:5]], FOUR)),
        Rival(name="dodo_30", title="Dodo Payments, 30 days", source="https://docs.dodopayments.com/features/recovery/payment-retries", note="takes do-not-honor for dead", decider=_policy("dodo_30", [_rung(h, no_dnh) for h in dodo], FOUR)),
        _fixed("hyperswitch", "Hyperswitch, backstop of the ladder", hours(36, 18), "https://github.com/juspay/hyperswitch", "every 720 hours divided by the cap of 20", NONE),
        _fixed("churnkey", "Churnkey's advice", hours(84, 8), "https://churnkey.co/blog/stripe-smart-retries", "4 native and 4 own tries within 30 days: evenly here"),
        _fixed("churn_buster", "Churn Buster, 28 days", (48, 96, 240, 384, 528, 660), "https://churnbuster.io/docs/data-testing", "two silent tries, then mails and tries; exact days are not published", (("soft_notice", 120.0), ("action_needed", 264.0), ("second_reminder", 432.0), ("final_notice", 600.0))),
    ]  # fmt: skip


def _open_source() -> list[Rival]:
    no_dnh = [c for c in SOFT if c != "generic_soft"]
    polar = [*(_rung(h, no_dnh) for h in (48, 168, 336)), _rung(504)]
    doubling = [300 * 2**n / 3600 for n in range(8)]
    sums = [sum(doubling[: n + 1]) for n in range(8)]
    killbill = [*(_rung(h) for h in (192, 384, 576)), *(_rung(h, ["technical"]) for h in sums)]
    return [
        Rival(name="polar", title="Polar", source="https://github.com/polarsource/polar", note="23 codes, do-not-honor among them, are tried once, on day 21; one mail", decider=_policy("polar", polar, _each("notice", 0.1))),
        Rival(name="killbill", title="Kill Bill", source="https://github.com/killbill/killbill", note="days 8, 16, 24; technical failures again after 5 minutes, doubling; sends nothing itself", decider=_policy("killbill", killbill, NONE)),
        _fixed("killbill_doc", "Kill Bill, documented example", (24, 48, 240, 384), "https://github.com/killbill/killbill-docs/pull/254", "days 1, 2, 10, 16, notice on day 10", _each("notice", 240)),
        _fixed("lago", "Lago dunning campaign", (24,), "https://github.com/getlago/lago-api", "the columns' defaults: one attempt after one day, with its mail", _each("notice", 24.1)),
        _fixed("shopify", "Shopify reference app", (168, 336), "https://github.com/Shopify/subscriptions-reference-app", "a mail with each failed try", _each("notice", 0.1, 168.1, 336.1)),
        _fixed("solidus", "Solidus subscriptions", hours(24, 27), "https://github.com/solidusio-contrib/solidus_subscriptions", "every day without end", NONE),
        _fixed("woo", "WooCommerce Subscriptions", (12, 24, 48, 96, 168), "https://woocommerce.com/document/subscriptions/failed-payment-retry/", "a mail with each failed try", _each("notice", 0.1, 12.1, 24.1, 48.1, 96.1, 168.1)),
        _fixed("sublium", "Sublium", (12, 36, 84, 156, 276, 516), "https://sublium.com/docs/payment-recovery-schedule"),
        _fixed("sesamy", "Sesamy", (72, 144, 216), "https://support.sesamy.com/en/articles/10057561-payment-retry-system-and-grace-period-management"),
    ]  # fmt: skip


@cache
def rivals() -> dict[str, Rival]:
    """Every schedule by its name."""
    found = {r.name: r for r in (*_plain(), *_platforms(), *_processors(), *_open_source())}
    for name in ("yuno", "killbill", "shopify", "solidus", "woo"):
        twin = _as_it_is(found[name])
        found[twin.name] = twin
    return found
