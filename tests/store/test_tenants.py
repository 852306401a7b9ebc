"""The watch over statements sees one that reaches over merchants, and none that is held to one."""

import pytest
import sqlalchemy as sa

from recoup.store.among import of_merchant
from recoup.store.tables import cases, facts, merchants
from tests.support.tenants import unbound

BOUND = [
    sa.select(cases.c.body).where(cases.c.merchant_id == "m_1", cases.c.id == "c_1"),
    sa.select(cases.c.body).where(of_merchant("m_1", cases.c.id, "ids")),
    cases.update().where(cases.c.merchant_id == "m_1").values(version=2),
    facts.delete().where(facts.c.merchant_id == "m_1"),
    sa.select(merchants.c.id),
    sa.select(sa.func.min(cases.c.version)).where(cases.c.merchant_id == merchants.c.id).correlate(merchants),
    sa.select(facts.c.body).join(
        cases, sa.and_(cases.c.merchant_id == facts.c.merchant_id, cases.c.id == facts.c.case_id)
    ),
]
WIDE = [
    (sa.select(cases.c.body).where(cases.c.id == "c_1"), {"cases"}),
    (sa.select(cases.c.merchant_id), {"cases"}),
    (cases.update().values(version=2), {"cases"}),
    (cases.update().where(cases.c.id == "c_1").values(merchant_id="m_2"), {"cases"}),
    (facts.delete().where(facts.c.seq == 1), {"facts"}),
    (
        sa.select(cases.c.body)
        .join(facts, facts.c.case_id == cases.c.id)
        .where(cases.c.merchant_id == "m_1"),
        {"facts"},
    ),
]


def text(statement: sa.ClauseElement, dialect: str) -> str:
    return str(statement.compile(dialect=sa.create_mock_engine(f"{dialect}://", lambda *_: None).dialect))


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql+psycopg"])
@pytest.mark.parametrize("statement", BOUND, ids=range(len(BOUND)))
def test_held_to_one_merchant(statement: sa.ClauseElement, dialect: str) -> None:
    assert unbound(text(statement, dialect)) == set()


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql+psycopg"])
@pytest.mark.parametrize(("statement", "reached"), WIDE, ids=range(len(WIDE)))
def test_reaching_over_merchants(statement: sa.ClauseElement, reached: set[str], dialect: str) -> None:
    assert unbound(text(statement, dialect)) == reached
