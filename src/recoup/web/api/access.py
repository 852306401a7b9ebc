"""What the merchant's app should let a customer do."""

import msgspec

from recoup.decide.access import Level
from recoup.domain.instants import Instant
from recoup.engine.access import access_of
from recoup.store.engines import reading
from recoup.web.endpoint import Call, endpoint


class AccessShown(msgspec.Struct, frozen=True, kw_only=True):
    """`full`, `limited` or `blocked`. `until` is when it next gets narrower if nothing is paid, null where nothing is
    planned; `case_id` is the case that decides, null where nothing is owed. `data_export` is always true: nobody is kept from
    their own data because of an unpaid payment."""

    customer_id: str
    access: Level
    reason: str
    until: Instant | None
    case_id: str | None
    data_export: bool = True
    """Always true: nobody is kept from taking their own data out because of an unpaid payment."""


@endpoint("GET", "/v1/customers/{customer_id}/access", scope="read")
def customer_access(call: Call) -> AccessShown:
    """Says what the app should let this customer do, from their unpaid debts and the `[access]` of their policies.

    A customer who owes nothing, or is not known, has full access.
    """
    customer_id = call.path["customer_id"]
    with reading(call.house.db) as tx:
        answer, _ = access_of(call.house, tx, call.merchant, customer_id, call.now)
    return AccessShown(
        customer_id=customer_id, access=answer.access, reason=answer.reason, until=answer.until,
        case_id=answer.case_id,
    )  # fmt: skip


endpoints = (customer_access,)
