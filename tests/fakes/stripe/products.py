"""Products and prices, as far as subscriptions need them."""

from typing import Any

from .book import Obj, page
from .calls import Call, merge_metadata, route
from .errors import bad
from .world import World


@route("POST /v1/products", "name", "description", "metadata", "active")
def create_product(world: World, call: Call) -> Obj:
    product: Obj = {
        "id": world.book.new_id("prod"),
        "object": "product",
        "active": call.params.get("active", True),
        "created": world.now,
        "default_price": None,
        "description": call.params.get("description"),
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": {},
        "name": call.params["name"],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "unit_label": None,
        "updated": world.now,
        "url": None,
    }
    merge_metadata(product, call.params.get("metadata"))
    world.emit("product.created", world.book.put(product))
    return product


@route("GET /v1/products/{product}")
def retrieve_product(world: World, call: Call) -> Obj:
    return world.book.get("product", call.id(), "product")


@route(
    "POST /v1/prices",
    *(
        "currency",
        "unit_amount",
        "product",
        "product_data",
        "recurring",
        "nickname",
        "metadata",
        "lookup_key",
    ),
)
def create_price(world: World, call: Call) -> Obj:
    given = call.params
    if "product" in given:
        product = world.book.get("product", given["product"], "product")
    elif "product_data" in given:
        named = Call("POST", "/v1/products", {}, {"name": given["product_data"]["name"]}, "", call.version)
        product = create_product(world, named)
    else:
        raise bad("You must pass either product or product_data.", param="product")
    recurring = given.get("recurring")
    price: Obj = {
        "id": world.book.new_id("price"),
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": world.now,
        "currency": given["currency"].lower(),
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": given.get("lookup_key"),
        "metadata": {},
        "nickname": given.get("nickname"),
        "product": product["id"],
        "recurring": _recurring(recurring) if recurring else None,
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": given["unit_amount"],
        "unit_amount_decimal": str(given["unit_amount"]),
    }
    merge_metadata(price, given.get("metadata"))
    world.emit("price.created", world.book.put(price))
    return price


def _recurring(given: dict[str, Any]) -> Obj:
    return {
        "interval": given["interval"],
        "interval_count": given.get("interval_count", 1),
        "meter": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


@route("GET /v1/prices/{price}")
def retrieve_price(world: World, call: Call) -> Obj:
    return world.book.get("price", call.id(), "price")


@route("GET /v1/prices", "product", "active", paged=True)
def list_prices(world: World, call: Call) -> Obj:
    wanted = {name: call.params.get(name) for name in ("product", "active")}
    return page("/v1/prices", world.book.all("price", **wanted), call.params)


def plan_of(price: Obj) -> Obj:
    """The older twin of a price, which subscription items still carry."""
    recurring = price["recurring"]
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": False,
        "metadata": price["metadata"],
        "meter": None,
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }
