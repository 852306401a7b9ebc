"""Lets API keys in: a bearer key, its merchant, and the scope that an operation asks for."""

from recoup.engine.house import House
from recoup.store import keys, merchants
from recoup.store.engines import reading
from recoup.store.keys import Key, Scope
from recoup.store.merchants import Merchant
from recoup.web.problems import Problem

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="recoup"'}


def admitted(house: House, authorization: str | None, scope: Scope) -> tuple[Merchant, Key]:
    """The key of the header `Authorization: Bearer rk_…` and its merchant. Raises `Problem`: 401, or 403 for the scope."""
    scheme, _, given = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not given.strip():
        why = "send the header Authorization: Bearer rk_…; `recoup merchant add` and `rotate-key` make keys"
        raise Problem(401, why, headers=_CHALLENGE)
    with reading(house.db) as tx:
        key = keys.find(tx, given.strip())
        if key is None:
            raise Problem(401, "this key is unknown or was revoked; use a current one", headers=_CHALLENGE)
        try:
            merchant = merchants.get(tx, key.merchant_id)
        except merchants.NoSuchMerchant:
            raise Problem(401, "the merchant of this key was removed", headers=_CHALLENGE) from None
    if scope not in key.scopes and "admin" not in key.scopes:
        challenge = {
            "WWW-Authenticate": f'Bearer realm="recoup", error="insufficient_scope", scope="{scope}"'
        }
        raise Problem(
            403, f"this needs the scope {scope!r}, and the key has {', '.join(key.scopes) or 'none'}; use another key",
            headers=challenge,
        )  # fmt: skip
    return merchant, key
