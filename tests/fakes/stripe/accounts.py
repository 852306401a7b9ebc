"""The account itself: who it is, its balance, its events and its webhook endpoints."""

from collections import Counter

from .book import Obj, page
from .calls import Call, merge_metadata, route
from .errors import bad
from .world import World


@route("GET /v1/account")
def retrieve_account(world: World, call: Call) -> Obj:
    return {
        "id": "acct_1Fake",
        "object": "account",
        "business_profile": None,
        "business_type": "company",
        "capabilities": {"card_payments": "active", "sepa_debit_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "country": world.settings.country,
        "default_currency": "eur",
        "details_submitted": True,
        "email": "billing@example.com",
        "metadata": {},
        "payouts_enabled": True,
        "type": "standard",
    }


@route("GET /v1/balance")
def retrieve_balance(world: World, call: Call) -> Obj:
    sums: Counter[str] = Counter()
    for movement in world.ledger:
        sign = 1 if movement.kind in ("charge", "dispute_won") else -1
        sums[movement.currency] += sign * movement.amount
    available = [{"amount": amount, "currency": currency} for currency, amount in sorted(sums.items())]
    return {
        "object": "balance",
        "available": available or [{"amount": 0, "currency": "eur"}],
        "livemode": False,
        "pending": [{"amount": 0, "currency": money["currency"]} for money in available],
    }


@route("GET /v1/events/{id}")
def retrieve_event(world: World, call: Call) -> Obj:
    return world.book.get("event", call.id())


@route("GET /v1/events", "type", "types", paged=True)
def list_events(world: World, call: Call) -> Obj:
    wanted = set(call.params.get("types", [])) | ({call.params["type"]} if "type" in call.params else set())
    found = [event for event in world.book.all("event") if not wanted or matches(event["type"], wanted)]
    return page("/v1/events", found, call.params)


def matches(type: str, wanted: set[str]) -> bool:
    """`*`, an exact type, or a group such as `invoice.*`."""
    return any(w in ("*", type) or (w.endswith(".*") and type.startswith(w[:-1])) for w in wanted)


@route("POST /v1/webhook_endpoints", "url", "enabled_events", "api_version", "description", "metadata")
def create_endpoint(world: World, call: Call) -> Obj:
    given = call.params
    if not given["url"].startswith(("http://", "https://")):
        raise bad("Invalid URL.", param="url", code="url_invalid")
    endpoint: Obj = {
        "id": world.book.new_id("we"),
        "object": "webhook_endpoint",
        "api_version": given.get("api_version"),
        "application": None,
        "created": world.now,
        "description": given.get("description"),
        "enabled_events": given["enabled_events"],
        "livemode": False,
        "metadata": {},
        "status": "enabled",
        "url": given["url"],
    }
    merge_metadata(endpoint, given.get("metadata"))
    world.book.put(endpoint)
    world.secrets[endpoint["id"]] = f"whsec_{endpoint['id'].encode().hex()}"
    return {**endpoint, "secret": world.secrets[endpoint["id"]]}  # shown this once only


@route("GET /v1/webhook_endpoints/{webhook_endpoint}")
def retrieve_endpoint(world: World, call: Call) -> Obj:
    return world.book.get("webhook_endpoint", call.id(), "webhook_endpoint")


@route("GET /v1/webhook_endpoints", paged=True)
def list_endpoints(world: World, call: Call) -> Obj:
    return page("/v1/webhook_endpoints", world.book.all("webhook_endpoint"), call.params)


@route("POST /v1/webhook_endpoints/{webhook_endpoint}", "url", "enabled_events", "disabled", "description")
def update_endpoint(world: World, call: Call) -> Obj:
    endpoint = world.book.get("webhook_endpoint", call.id(), "webhook_endpoint")
    for name in ("url", "enabled_events", "description"):
        if name in call.params:
            endpoint[name] = call.params[name]
    if "disabled" in call.params:
        endpoint["status"] = "disabled" if call.params["disabled"] else "enabled"
    return endpoint


@route("DELETE /v1/webhook_endpoints/{webhook_endpoint}")
def delete_endpoint(world: World, call: Call) -> Obj:
    endpoint = world.book.get("webhook_endpoint", call.id(), "webhook_endpoint")
    world.book.drop(endpoint)
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}
