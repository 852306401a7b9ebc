"""How a subscription is ended, paused, downgraded or resumed at Stripe; what is so already is left alone."""

from typing import Any

from recoup.psp.port import EndingAnswer, EndingDone, EndingRefused
from recoup.psp.stripe_shapes import Subscription, Thing
from recoup.psp.stripe_wire import Said, Wire

ACTIONS = ("cancel", "pause", "downgrade", "resume")
PAUSES = ("void", "keep_as_draft", "mark_uncollectible")
_OVER = frozenset({"canceled", "incomplete_expired"})


def end(
    wire: Wire,
    subscription_id: str,
    action: str,
    key: str,
    *,
    downgrade_price: str | None,
    pause_behavior: str,
) -> EndingAnswer:
    """Carries out one of `ACTIONS`. `downgrade_price` is the price to go down to; `pause_behavior` one of `PAUSES`."""
    if action not in ACTIONS:
        return EndingRefused(
            why=f"there is no ending {action!r} at a biller; it is one of {', '.join(ACTIONS)}"
        )
    found = wire.get(f"/v1/subscriptions/{subscription_id}", Subscription)
    if isinstance(found, Said):
        return EndingRefused(why=f"Stripe does not show the subscription {subscription_id}: {found.text}")
    if not isinstance(found, Subscription):
        return found
    if action == "cancel":
        if found.status in _OVER:
            return EndingDone(ref=found.id)
        return _done(wire.delete(f"/v1/subscriptions/{found.id}", Thing), action)
    if found.status in _OVER:
        return EndingRefused(why=f"the subscription {found.id} has ended; a person has to make a new one")
    change = _change(found, action, downgrade_price, pause_behavior)
    if not isinstance(change, dict):
        return change
    return _done(wire.post(f"/v1/subscriptions/{found.id}", Thing, key=key, **change), action)


def _change(
    found: Subscription, action: str, downgrade_price: str | None, pause_behavior: str
) -> dict[str, Any] | EndingAnswer:
    """What to change, or the answer where there is nothing to change."""
    paused = found.pause_collection is not None
    if action == "pause":
        return EndingDone(ref=found.id) if paused else {"pause_collection": {"behavior": pause_behavior}}
    if action == "resume":
        return {"pause_collection": ""} if paused else EndingDone(ref=found.id)
    if downgrade_price is None:
        return EndingRefused(
            why="no plan to go down to is known; register the account with downgrade_price=price_..., or end otherwise"
        )
    items = found.items.data
    if len(items) != 1 or found.items.has_more:
        return EndingRefused(
            why=f"{found.id} has {len(items)} items; a person has to say which of them goes down"
        )
    if items[0].price is not None and items[0].price.id == downgrade_price:
        return EndingDone(ref=found.id)
    return {"items": [{"id": items[0].id, "price": downgrade_price}], "proration_behavior": "none"}


def _done(answer: Any, action: str) -> EndingAnswer:
    if isinstance(answer, Thing):
        return EndingDone(ref=answer.id)
    if isinstance(answer, Said):
        return EndingRefused(why=f"Stripe will not {action} it: {answer.text}")
    assert not isinstance(answer, Subscription)
    result: EndingAnswer = answer
    return result
