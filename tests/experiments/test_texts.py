"""Stories of tests of words: who reads which, what is refused, what a message's record says, promoted and taken back."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from recoup.channels.places import kinds_of
from recoup.channels.texts import BOOK
from recoup.channels.wording import NOT_YOURS
from recoup.decide.assignment import arm_of
from recoup.domain.case import Case
from recoup.domain.experiment import Arm, Plan
from recoup.engine import wording
from recoup.engine.house import House
from recoup.insight import experiments_run as run
from recoup.insight import experiments_texts as words
from recoup.insight.story import story
from recoup.store import cases, customers, experiments, wordings
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.tables import mails
from recoup.web.pages import fresh_link
from tests.support import house as houses

POLICY = """name = "words"
window = "P20D"
[timing]
mode = "schedule"
[[retry]]
after = "P18D"
[[message]]
step = "reminder"
after = "P3D"
channels = ["email"]
[[message]]
step = "final_notice"
after = "P10D"
channels = ["email"]
[ending]
action = "cancel"
"""
OURS = "Kurze Erinnerung: 49,00\u00a0€ sind noch offen"
KEY = "reminder.subject"
FRIENDLY = {"de": {KEY: "Kurz gefragt: {amount}?", "button.pay_now": "{amount} gleich erledigen"}}
THURSDAY = datetime(2026, 3, 5, 18, tzinfo=UTC)


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with houses.standing(database_url) as standing:
        yield standing


def begun(house: House, merchant: Merchant, texts: Any = None, **over: Any) -> Plan:
    """A test of words, begun on Mon 2 Mar 2026."""
    given = {"id": "friendly", "name": "A friendlier reminder", "kind": "messages", "actor": "staff:anna", "anyway": True,
             "arms": (Arm(name="now", share=0.5), Arm(name="new", share=0.5, texts=texts or FRIENDLY)), **over}  # fmt: skip
    return run.start(house, merchant, **given)[0]


def known(house: House, merchant: Merchant, **locales: int) -> None:
    """So many customers who read each of these languages."""
    told = [
        {"id": f"{locale}-{n}", "locale": locale.replace("_", "-")} for locale, many in locales.items() for n in range(many)
    ]  # fmt: skip
    with writing(house.db) as tx:
        customers.learn(tx, merchant.id, told, house.clock.now())


def of_arm(plan: Plan, arm: str, *, after: int = 0) -> int:
    """A number whose customer is in this arm."""
    return next(n for n in range(after, after + 500) if arm_of(plan, f"cus_{n}").name == arm)


def failed(house: House, merchant: Merchant, *numbers: int, **over: Any) -> list[Case]:
    at = house.clock.now()
    return houses.fail(
        house, merchant, *(houses.view(n, at=at, **over) for n in numbers), lives=houses.NEVER_PAYS
    )


def subjects(house: House, n: int) -> list[str]:
    """What this customer was sent, in order."""
    query = sa.select(mails.c.subject).where(mails.c.recipient == f"someone{n}@customer.example")
    with reading(house.db) as tx:
        return [
            s.partition(": ")[2] if s.startswith("Acme: ") else s
            for s in tx.execute(query.order_by(mails.c.at)).scalars()
        ]


def sides(house: House, merchant: Merchant, case_id: str) -> dict[str | None, tuple[str, ...]]:
    """What the records of a case's messages say, by step."""
    return {m.step: m.arms for m in houses.case_of(house, merchant, case_id).messages}


def test_each_side_reads_its_own_words_and_the_law_speaks_to_all_alike(house: House) -> None:
    merchant = houses.add_merchant(house, policy=POLICY)
    plan = begun(house, merchant)
    new, now = of_arm(plan, "new"), of_arm(plan, "now")
    failed(house, merchant, new, now)
    houses.live_until(house, merchant, THURSDAY)
    assert subjects(house, new) == ["Kurz gefragt: 49,00\u00a0€?"]
    assert subjects(house, now) == [OURS]
    houses.live_until(house, merchant, datetime(2026, 3, 13, 12, tzinfo=UTC))
    lasts = [subjects(house, n)[1] for n in (new, now)]
    assert lasts[0] == lasts[1]
    with reading(house.db) as tx:
        last = tx.execute(sa.select(mails.c.text).where(mails.c.subject.contains(lasts[0]))).scalars().all()
    assert len(last) == 2
    assert not any("gleich erledigen" in text for text in last)
    assert sides(house, merchant, f"c_{new}") == {"reminder": ("friendly:new",), "final_notice": ()}
    assert sides(house, merchant, f"c_{now}") == {"reminder": ("friendly:now",), "final_notice": ()}
    with reading(house.db) as tx:
        told = story(cases.one(tx, merchant.id, f"c_{new}"), cases.history(tx, merchant.id, f"c_{new}"))
    assert any("in the test friendly as new" in line.why for line in told)


def test_a_customer_stays_on_their_side_from_march_to_june(house: House) -> None:
    merchant = houses.add_merchant(house, policy=POLICY)
    plan = begun(house, merchant)
    new = of_arm(plan, "new")
    failed(house, merchant, new)
    houses.live_until(house, merchant, datetime(2026, 6, 1, 9, tzinfo=UTC))
    again = houses.view(
        f"{new}b",
        at=house.clock.now(),
        customer__id=f"cus_{new}",
        customer__email=f"someone{new}@customer.example",
    )
    houses.fail(house, merchant, again, lives=houses.NEVER_PAYS)
    houses.live_until(house, merchant, datetime(2026, 6, 4, 18, tzinfo=UTC))
    assert [s for s in subjects(house, new) if "gefragt" in s] == ["Kurz gefragt: 49,00\u00a0€?"] * 2


def test_a_fresh_link_speaks_as_its_side_does(house: House) -> None:
    merchant = houses.add_merchant(house, policy=POLICY)
    plan = begun(house, merchant, {"de": {"soft.wait": "Alles bleibt, wie es ist."}})
    new = of_arm(plan, "new")
    failed(house, merchant, new)
    houses.settle(house, merchant)
    assert fresh_link.send(house, merchant, f"c_{new}") == "sent"
    with reading(house.db) as tx:
        (text,) = tx.execute(sa.select(mails.c.text)).scalars()
    assert "Alles bleibt, wie es ist." in text
    assert set(sides(house, merchant, f"c_{new}").values()) == {("friendly:new",)}


def test_stopped_by_hand_the_words_are_said_to_the_end_stopped_for_harm_at_once(house: House) -> None:
    merchant = houses.add_merchant(house, policy=POLICY)
    plan = begun(house, merchant)
    new = of_arm(plan, "new")
    failed(house, merchant, new)
    assert run.stop(house, merchant, "friendly", actor="staff:anna", why="enough")
    houses.live_until(house, merchant, THURSDAY)
    assert subjects(house, new) == ["Kurz gefragt: 49,00\u00a0€?"]
    other = begun(house, merchant, id="second")
    unlucky = of_arm(other, "new", after=600)
    failed(house, merchant, unlucky)
    with writing(house.db) as tx:
        experiments.stop(
            tx,
            merchant.id,
            "second",
            by=experiments.BY_ITSELF,
            why="guardrail complaints",
            now=house.clock.now(),
        )
    houses.live_until(house, merchant, datetime(2026, 3, 8, 22, tzinfo=UTC))
    assert subjects(house, unlucky) == [OURS]
    assert sides(house, merchant, f"c_{unlucky}")["reminder"] == ()


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        ({"de": {KEY: "Noch offen"}}, r"'new', de, reminder.subject: \{amount\} is missing"),
        ({"de": {KEY: "{amount}, {discount}"}}, r"\{discount\} means nothing in this sentence"),
        ({"de": {"no.such": "Hallo"}}, "there is no sentence 'no.such'"),
        ({"xx": {KEY: "{amount}"}}, "'xx' is no language we speak"),
        ({"de": {"final.title": "Bis {deadline}"}}, "notices that everybody gets alike"),
        ({"de": {"sms.final": "{merchant}: {amount} bis {deadline}: {link}"}}, "everybody gets alike"),
        ({"de": {"pre_debit.title": "{amount} am {next_try}"}}, "everybody gets alike"),
        ({"de": {"recovered.title": "Da ist es"}}, "no open payment hears"),
        ({"de": {"expiring.title": "Neue Karte?"}}, "no open payment hears"),
        ({"en": {KEY: "{amount}?"}}, r"no words for reminder.subject in Deutsch \(de: 120 customers\)"),
        ({"de": {KEY: "{amount}?"}}, r"no words for reminder.subject in Français \(fr: 2 customers\)"),
    ],
)  # fmt: skip
def test_words_that_cannot_stand_begin_nothing(house: House, texts: Any, why: str) -> None:
    merchant = houses.add_merchant(house, policy=POLICY)
    known(house, merchant, de=120, fr=2)
    with pytest.raises(ValueError, match=why):
        begun(house, merchant, texts)
    with reading(house.db) as tx:
        assert experiments.everyone(tx, merchant.id) == []


def test_an_arm_that_says_what_is_said_today_is_refused(house: House) -> None:
    merchant = houses.add_merchant(house, policy=POLICY)
    wording.save(house, merchant, language="de", key=KEY, words="Kurz gefragt: {amount}?", by="staff:anna")
    with pytest.raises(words.BadTexts, match="what customers read today"):
        begun(house, merchant, {"de": {KEY: "Kurz gefragt: {amount}?"}})


def test_two_tests_never_word_the_same_sentence(house: House) -> None:
    merchant = houses.add_merchant(house, policy=POLICY)
    plan = begun(house, merchant)
    with pytest.raises(
        run.NotAnswerable, match=r"'friendly' is running and words reminder\.subject otherwise"
    ):
        begun(house, merchant, {"de": {KEY: "{amount}!"}}, id="other")
    other = begun(house, merchant, {"de": {"reminder.title": "Noch {amount}"}}, id="other")
    n = next(n for n in range(500) if {arm_of(p, f"cus_{n}").name for p in (plan, other)} == {"new"})
    failed(house, merchant, n)
    houses.live_until(house, merchant, THURSDAY)
    assert sides(house, merchant, f"c_{n}")["reminder"] == ("friendly:new", "other:new")
    with reading(house.db) as tx:
        mail = tx.execute(sa.select(mails.c.subject, mails.c.text)).one()
    assert "Kurz gefragt" in mail.subject
    assert "Noch 49,00" in mail.text


@pytest.mark.parametrize(
    ("arms", "kind", "why"),
    [
        ((Arm(name="a", share=0.5, texts=FRIENDLY), Arm(name="b", share=0.5)), "messages", "is what happens today"),
        ((Arm(name="a", share=0.5), Arm(name="b", share=0.5, texts=FRIENDLY)), "page", "give the experiment the kind messages"),
        ((Arm(name="a", share=0.5), Arm(name="b", share=0.5, texts=FRIENDLY, variant="withhold")), "messages", "choose one"),
    ],
)  # fmt: skip
def test_texts_stand_where_something_can_be_compared(
    house: House, arms: tuple[Arm, ...], kind: str, why: str
) -> None:
    merchant = houses.add_merchant(house, policy=POLICY)
    with pytest.raises(ValueError, match=why):
        begun(house, merchant, arms=arms, kind=kind)


def test_a_language_hardly_anybody_reads_is_said_and_then_doubted(house: House) -> None:
    merchant = houses.add_merchant(house, policy=POLICY)
    known(house, merchant, de=300, da=2)
    plan, can = run.start(
        house, merchant, id="friendly", name="x", kind="messages", actor="staff:anna", anyway=True,
        arms=(Arm(name="now", share=0.5), Arm(name="new", share=0.5, texts=FRIENDLY)),
    )  # fmt: skip
    assert can.says.endswith("languages that hardly anybody reads (Dansk: 2); they read yours.")
    new = of_arm(plan, "new")
    failed(house, merchant, new, customer__locale="da")
    houses.live_until(house, merchant, THURSDAY)
    assert "endnu ikke" in subjects(house, new)[0]
    assert sides(house, merchant, f"c_{new}")["reminder"] == ()
    (doubt,) = run.look(house, merchant, "friendly")[1].doubts
    assert (doubt.kind, doubt.cases) == ("unread", (f"c_{new}",))
    assert doubt.says == "1 case of the arm new read a language it has no words in: they read your own."


def test_each_arm_is_counted_by_itself(house: House) -> None:
    merchant = houses.add_merchant(house, policy=POLICY)
    plan = begun(house, merchant, horizon_days=7)
    views = [houses.view(n) for n in range(60)]
    for view in views:
        pays = arm_of(plan, view.customer.id).name == "new"
        houses.bank_of(house, merchant).register(view.debt, houses.PAYS if pays else houses.NEVER_PAYS)
    houses.fail(house, merchant, *views, lives=None)
    houses.live_until(house, merchant, datetime(2026, 4, 1, 9, tzinfo=UTC))
    found = run.look(house, merchant, "friendly")[1]
    drawn = [arm_of(plan, v.customer.id).name for v in views]
    assert {a.name: a.ripe for a in found.arms} == {name: drawn.count(name) for name in ("now", "new")}
    assert found.doubts == ()


def texts_of(house: House, merchant: Merchant) -> dict[str, dict[str, str]]:
    with reading(house.db) as tx:
        return wordings.by_language(tx, merchant.id)


def test_the_winner_becomes_the_merchants_own_and_goes_back_again(house: House) -> None:
    """Promoted on Tue 3 Mar: who was told as ever now reads the new words too; taken back on Fri 6 Mar, nobody does."""
    merchant = houses.add_merchant(house, policy=POLICY)
    wording.save(house, merchant, language="de", key=KEY, words="Offen: {amount}", by="staff:anna")
    plan = begun(house, merchant)
    new, now = of_arm(plan, "new"), of_arm(plan, "now")
    failed(house, merchant, now)
    would = run.moving(house, merchant, "friendly", "new")
    assert (would.policy, would.cases, would.kept) == (None, (), ())
    shown = {c.key: (c.was, c.becomes) for c in would.texts}
    assert shown == {
        KEY: ("Offen: {amount}", "Kurz gefragt: {amount}?"), "button.pay_now": (None, "{amount} gleich erledigen"),
    }  # fmt: skip
    assert "final_notice" in next(c.said_in for c in would.texts if c.key == "button.pay_now")
    houses.live_until(house, merchant, datetime(2026, 3, 3, 9, tzinfo=UTC))
    assert run.promote(house, merchant, "friendly", "new", actor="staff:anna", move_open_cases=False) == []
    assert texts_of(house, merchant) == FRIENDLY
    houses.live_until(house, merchant, THURSDAY)
    assert subjects(house, now) == ["Kurz gefragt: 49,00\u00a0€?"]
    assert sides(house, merchant, f"c_{now}")["reminder"] == ()
    failed(house, merchant, new)
    assert houses.case_of(house, merchant, f"c_{new}").arms == ()
    houses.live_until(house, merchant, datetime(2026, 3, 6, 9, tzinfo=UTC))
    back = run.moving(house, merchant, "friendly", "now")
    assert {c.key: c.becomes for c in back.texts} == {KEY: "Offen: {amount}", "button.pay_now": None}
    run.promote(house, merchant, "friendly", "now", actor="staff:anna", move_open_cases=False)
    assert texts_of(house, merchant) == {"de": {KEY: "Offen: {amount}"}}
    houses.live_until(house, merchant, datetime(2026, 3, 9, 18, tzinfo=UTC))
    assert subjects(house, new) == ["Offen: 49,00\u00a0€"]
    assert run.moving(house, merchant, "friendly", "now").texts == ()


def test_taken_back_an_open_case_of_the_arm_reads_as_everybody(house: House) -> None:
    merchant = houses.add_merchant(house, policy=POLICY)
    plan = begun(house, merchant)
    new = of_arm(plan, "new")
    failed(house, merchant, new)
    run.promote(house, merchant, "friendly", "now", actor="staff:anna", move_open_cases=False)
    houses.live_until(house, merchant, THURSDAY)
    assert subjects(house, new) == [OURS]


def test_what_was_changed_by_hand_since_stays(house: House) -> None:
    merchant = houses.add_merchant(house, policy=POLICY)
    begun(house, merchant)
    run.promote(house, merchant, "friendly", "new", actor="staff:anna", move_open_cases=False)
    wording.save(house, merchant, language="de", key=KEY, words="Von Hand: {amount}", by="staff:ben")
    back = run.moving(house, merchant, "friendly", "now")
    assert [c.key for c in back.texts] == ["button.pay_now"]
    assert [(c.key, c.was) for c in back.kept] == [(KEY, "Von Hand: {amount}")]
    run.promote(house, merchant, "friendly", "now", actor="staff:anna", move_open_cases=False)
    assert texts_of(house, merchant) == {"de": {KEY: "Von Hand: {amount}"}}


def test_a_third_arm_promoted_after_the_second_leaves_nothing_of_it(house: House) -> None:
    merchant = houses.add_merchant(house, policy=POLICY)
    arms = (
        Arm(name="now", share=0.4), Arm(name="new", share=0.3, texts=FRIENDLY),
        Arm(name="short", share=0.3, texts={"de": {KEY: "{amount}?"}}),
    )  # fmt: skip
    begun(house, merchant, arms=arms)
    for arm in ("new", "short"):
        run.promote(house, merchant, "friendly", arm, actor="staff:anna", move_open_cases=False)
    assert texts_of(house, merchant) == {"de": {KEY: "{amount}?"}}
    run.promote(house, merchant, "friendly", "now", actor="staff:anna", move_open_cases=False)
    assert texts_of(house, merchant) == {}


def test_a_preview_shows_what_is_read_on_that_side(house: House) -> None:
    merchant = houses.add_merchant(house, policy=POLICY)
    plan = begun(house, merchant)
    new = of_arm(plan, "new")
    failed(house, merchant, new)
    sample = wording.preview(house, merchant, "reminder", "de", arm="friendly:new")
    assert "Kurz gefragt" in sample.rendered.subject
    assert sample.arms == ("friendly:new",)
    assert {s.key: s.arm for s in sample.sentences}[KEY] == FRIENDLY["de"][KEY]
    assert "Kurz gefragt" not in wording.preview(house, merchant, "reminder", "de").rendered.subject
    own = wording.preview(house, merchant, "reminder", "de", case_id=f"c_{new}")
    assert (own.arms, "Kurz gefragt" in own.rendered.subject) == (("friendly:new",), True)
    assert wording.preview(house, merchant, "final_notice", "de", case_id=f"c_{new}").arms == ()
    assert wording.preview(house, merchant, "final_notice", "de", arm="friendly:new").arms == ()
    with pytest.raises(wording.NoSuchArm, match="shorter-reminder:friendly"):
        wording.preview(house, merchant, "reminder", "de", arm="friendly:nobody")


def test_every_sentence_is_found_in_some_message() -> None:
    assert [key for key in BOOK if key not in NOT_YOURS and not kinds_of(key)] == []
    assert kinds_of("final.subject") == {"final_notice"}
    assert kinds_of("reminder.subject") == {"reminder"}
    assert not any(
        words.testable(key) for key in BOOK if key.startswith(("final.", "pre_debit.", "sms.final"))
    )
    assert kinds_of("happened.limit") == {"soft_notice", "action_needed"}
