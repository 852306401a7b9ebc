"""What a customer may do right now in the merchant's product, read from their cases."""

from datetime import datetime

from sqlalchemy.engine import Connection

from recoup.decide.access import Access, access
from recoup.domain.case import Case
from recoup.engine.house import House
from recoup.store import cases
from recoup.store.merchants import Merchant


def access_of(
    house: House, tx: Connection, merchant: Merchant, customer_id: str, now: datetime
) -> tuple[Access, Case | None]:
    """The answer, and the case that decides; None where nothing is owed or nobody of that id is known."""
    found = cases.of_customers(tx, merchant.id, [customer_id])
    pairs = [(case, house.policy(tx, merchant.id, case.policy)) for case in found]
    answer = access(pairs, now)
    return answer, next((case for case in found if case.id == answer.case_id), None)
