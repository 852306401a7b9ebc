"""What a page experiment changes: the hosted page of one arm asks for another card first, the other is as always."""

from recoup.domain.experiment import Arm
from recoup.insight import experiments_run as run
from tests.support import house as houses
from tests.web import pages


def test_one_arm_is_asked_for_another_card_first(sqlite_url: str) -> None:
    with houses.standing(sqlite_url) as house:
        merchant = houses.add_merchant(house)
        arms = (Arm(name="now", share=0.5), Arm(name="card", share=0.5, variant="card_first"))
        run.start(
            house,
            merchant,
            id="card",
            name="Card first",
            kind="page",
            arms=arms,
            actor="staff:anna",
            anyway=True,
        )
        houses.fail(house, merchant, *(houses.view(n) for n in range(40)), lives=houses.NEVER_PAYS)
        seen: dict[str, set[bool]] = {}
        with pages.client_of(house) as client:
            for n in range(40):  # one in 10**12 draws of the arms leaves one of them empty
                case = houses.case_of(house, merchant, f"c_{n}")
                html = client.get(f"/pay/{pages.token_of(house, merchant, case)}").text
                seen.setdefault(case.arms[0].arm, set()).add(
                    html.index('value="same"') < html.index('value="new"')
                )
        assert seen == {"now": {True}, "card": {False}}
