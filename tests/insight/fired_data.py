"""Books that fire each data check."""

from datetime import timedelta

import msgspec

from recoup.domain.view import Result, Trigger
from recoup.insight.fresh import frame
from recoup.store.tables import attempts, cases, mails
from tests.insight.crafted import NOW, Story, attempt, clean, story
from tests.insight.fired import Books, arms, fires, month, paid, webhook


@fires("Q01")
def _(b: Books) -> None:
    b.keep(story(1, "R"), story(2, "R"), story(3, "R", age=50))
    b.ledger = [
        paid(1),
        paid(3, age=50),
        paid("other", age=10, names=("zzz",)),
        paid("early", age=70, names=("yyy",)),
    ]


@fires("Q02")
def _(b: Books) -> None:
    short = story("s", "R")
    paid_less = tuple(
        msgspec.structs.replace(a, amount_minor=4890) if a.result is Result.PAID else a
        for a in short.case.attempts
    )
    b.keep(*clean(40), Story(case=msgspec.structs.replace(short.case, attempts=paid_less)))
    over = story("o", "R")
    paid_more = tuple(
        msgspec.structs.replace(a, amount_minor=5900) if a.result is Result.PAID else a
        for a in over.case.attempts
    )
    b.keep(Story(case=msgspec.structs.replace(over.case, attempts=paid_more)))


@fires("Q03")
def _(b: Books) -> None:
    b.keep(story(1, "R"))
    b.ledger = [
        paid(1, payout="po_1"),
        paid("po", kind="payout", amount_minor=-4700, net_minor=-4700, names=("po_1",)),
    ]


@fires("Q04")
def _(b: Books) -> None:
    b.keep(story(1, "O", age=20))
    b.ledger = [paid(1, age=10, day=0, names=("in_1",))]


@fires("Q06")
def _(b: Books) -> None:
    b.keep(*clean(40))
    frame(b.house, b.merchant, at_most=timedelta(0))
    b.write(
        attempts.update().where(attempts.c.result == "paid").values(amount_minor=attempts.c.amount_minor + 1)
    )


@fires("Q09")
def _(b: Books) -> None:
    b.keep(story(1, "R"))
    b.ledger = [paid(1, fee_minor=None)]


@fires("Q10")
def _(b: Books) -> None:
    b.keep(*clean(40))
    b.write(webhook("refused", NOW - timedelta(hours=3)))


@fires("Q11")
def _(b: Books) -> None:
    b.keep(*clean(20), *(story(f"u{i}", "LI", reason="ZZ-99-new") for i in range(10)))


@fires("Q12")
def _(b: Books) -> None:
    b.keep(*clean(20), *(story(f"u{i}", "LI", debt__interval=None) for i in range(10)))


@fires("Q13")
def _(b: Books) -> None:
    b.keep(*clean(20), story("n", "LI", closed_at=None))


@fires("Q14")
def _(b: Books) -> None:
    b.keep(*clean(20))
    stuck = story("n", "LI", messages=(1,) * 5)
    b.keep(
        Story(
            case=msgspec.structs.replace(
                stuck.case,
                messages=tuple(msgspec.structs.replace(m, status="sent") for m in stuck.case.messages),
            )
        )
    )


@fires("Q15")
def _(b: Books) -> None:
    b.keep(*clean(20), story("n", "O", age=40))


@fires("Q16")
def _(b: Books) -> None:
    b.keep(*clean(20))
    frame(b.house, b.merchant, at_most=timedelta(0))
    b.write(cases.delete().where(cases.c.id.in_(["c_1", "c_2"])))


@fires("Q17")
def _(b: Books) -> None:
    b.keep(*clean(20))
    for i in range(25):
        at = NOW - timedelta(hours=i)
        raw = msgspec.json.encode({"at": at - timedelta(minutes=40)})
        b.write(webhook("done", at, raw, f"evt_{i}"))


@fires("Q18")
def _(b: Books) -> None:
    one, two = story("p", "R"), story("q", "R")
    same = tuple(
        msgspec.structs.replace(a, ref="ch_1") if a.result is Result.PAID else a for a in two.case.attempts
    )
    first = tuple(
        msgspec.structs.replace(a, ref="ch_1") if a.result is Result.PAID else a for a in one.case.attempts
    )
    b.keep(
        *clean(20),
        Story(case=msgspec.structs.replace(one.case, attempts=first)),
        Story(case=msgspec.structs.replace(two.case, attempts=same)),
    )


@fires("Q19")
def _(b: Books) -> None:
    b.keep(*clean(20), story("p", "O", age=9), story("q", "O", age=8, debt__subscription_id="sub_p"))


@fires("Q22")
def _(b: Books) -> None:
    b.keep(
        *clean(20),
        story("p", "LI", method__fingerprint="f_same"),
        story("q", "LI", method__fingerprint="f_same"),
    )


@fires("Q23")
def _(b: Books) -> None:
    one, two = story("p", "LI"), story("q", "LI", amount=1900)
    same = (msgspec.structs.replace(two.case.attempts[1], id=one.case.attempts[1].id), *two.case.attempts[2:])
    b.keep(
        *clean(20), one, Story(case=msgspec.structs.replace(two.case, attempts=(two.case.attempts[0], *same)))
    )


@fires("Q24")
def _(b: Books) -> None:
    b.keep(*clean(20))
    ahead = story("p", "O", age=5)
    odd = attempt(
        "a_p_ahead", NOW + timedelta(hours=2), Trigger.NATIVE, Result.DECLINED, 4900, "51", method_id="pm_p"
    )
    b.keep(Story(case=msgspec.structs.replace(ahead.case, attempts=(*ahead.case.attempts, odd))))


@fires("Q25")
def _(b: Books) -> None:
    b.keep(*clean(20), story("p", "R", messages=(-2,)))


@fires("Q28")
def _(b: Books) -> None:
    b.keep(*(story(i, "LI", age=60, retries=(2.7, 4.7)) for i in range(30)))


@fires("Q33")
def _(b: Books) -> None:
    b.keep(story(1, "R"))
    b.ledger = [paid(1, currency="USD", amount_minor=5300)]


@fires("Q36")
def _(b: Books) -> None:
    b.keep(*clean(20), story("p", "LI", reason="hard", retries=(2, 3)))


@fires("Q37")
def _(b: Books) -> None:
    b.keep(*clean(20), story("p", "R", day=3, messages=(9,)))


@fires("Q39")
def _(b: Books) -> None:
    b.keep(*(story(i, "R", arms=arms("withhold" if i < 30 else None)) for i in range(150)))


@fires("Q40")
def _(b: Books) -> None:
    b.keep(*clean(20))
    b.write(
        mails.insert().values(
            merchant_id=b.merchant.id,
            once_key="k",
            at=NOW,
            recipient="a@b.example",
            subject="Hello {{ name }}",
            html="",
            text="",
        )
    )


@fires("Q41")
def _(b: Books) -> None:
    b.keep(
        *month(50, 60, 30, "a"), *(story(f"n{i}", "O", age=7, reason="hard", retries=()) for i in range(40))
    )


@fires("Q42")
def _(b: Books) -> None:
    b.keep(story(1, "R"))
    b.ledger = [paid(1), paid("re", kind="refund", amount_minor=-4900, names=("a_1_paid", "re_1"), age=50)]
