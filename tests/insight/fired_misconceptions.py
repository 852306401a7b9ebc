"""Books that fire each misconception check."""

from datetime import timedelta

import msgspec

from recoup.domain import facts as f
from recoup.domain.view import Message, Result, Trigger
from recoup.insight.company import Claim, Company
from recoup.store.tables import cases, customers
from tests.insight.crafted import NOW, Story, attempt, clean, story
from tests.insight.fired import TOLD, Books, arms, fires, month, webhook


@fires("M01")
def _(b: Books) -> None:
    b.keep(
        *(story(i, "R", by="elsewhere", retries=(), day=3) for i in range(20)),
        *(story(f"r{i}", "R") for i in range(20)),
    )


@fires("M02")
def _(b: Books) -> None:
    # Failures of July and September; most of July's are paid in August.
    b.keep(
        *(story(f"a{i}", "R", age=107, day=25) for i in range(60)),
        *month(80, 60, 30, "b"),
        *month(45, 40, 5, "c"),
    )


@fires("M03")
def _(b: Books) -> None:
    b.keep(
        *month(100, 60, 40, "o"),
        *(story(f"y{i}", "R", age=12, day=3) for i in range(10)),
        *(story(f"z{i}", "O", age=12) for i in range(30)),
    )


@fires("M04")
def _(b: Books) -> None:
    b.keep(
        *(story(f"y{i}", "R", age=20, day=3) for i in range(20)),
        *(story(f"z{i}", "O", age=20) for i in range(40)),
        *month(44, 10, 3, "l"),
    )


@fires("M05")
def _(b: Books) -> None:
    b.keep(*clean(60))
    b.company = msgspec.structs.replace(
        TOLD, claims=(Claim(source="the processor", value=0.3, denominator=180),)
    )


@fires("M06")
def _(b: Books) -> None:
    b.keep(
        *clean(40),
        story("one", "LI", age=60, day=28),
        story("two", "LI", age=50, debt__subscription_id="sub_one"),
    )


@fires("M07")
def _(b: Books) -> None:
    b.keep(*clean(40))
    b.company = msgspec.structs.replace(TOLD, tool_minor=50_000)


@fires("M08")
def _(b: Books) -> None:
    b.keep(*clean(40))
    b.company = Company()


@fires("M09")
def _(b: Books) -> None:
    gone = (f.Refunded(at=NOW - timedelta(days=10), actor="provider:generic", amount_minor=4900),)
    b.keep(*(story(i, "R", told=gone if i < 5 else ()) for i in range(40)))


@fires("M10")
def _(b: Books) -> None:
    b.keep(*clean(40))
    b.write(cases.delete().where(cases.c.id == "c_3"))


@fires("M11")
def _(b: Books) -> None:
    b.keep(
        *clean(40), story("old", "LI", age=90, customer="cus_x"), story("new", "R", age=40, customer="cus_x")
    )


@fires("M12", "Q21")
def _(b: Books) -> None:
    b.keep(*clean(40), story("v", "X", age=60, day=2, customer="cus_x", debt__subscription_id="sub_x"),
           story("w", "R", age=57, customer="cus_x", debt__subscription_id="sub_x"))  # fmt: skip


@fires("M13", "Q30")
def _(b: Books) -> None:
    b.keep(*clean(40), story("yen", "R", currency="JPY", amount=98_000, customer__mrr_minor=980))


@fires("M14")
def _(b: Books) -> None:
    b.keep(*month(60, 40, 40, "s", amount=1900), *month(60, 5, 0, "l", amount=90_000))


@fires("M15")
def _(b: Books) -> None:
    # Rates by reason stay; the mix turns from funds (9 in 10) to lost cards (1 in 10).
    b.keep(
        *month(95, 80, 72, "a"),
        *month(95, 20, 2, "b", reason="hard"),
        *month(65, 20, 18, "c"),
        *month(65, 80, 8, "d", reason="hard"),
    )


@fires("M16")
def _(b: Books) -> None:
    b.keep(*clean(60))
    b.company = msgspec.structs.replace(TOLD, claims=(Claim(source="a report", value=0.4, window_days=14),))


@fires("M17")
def _(b: Books) -> None:
    ages = (275, 245, 215, 185, 155, 125, 95, 65)
    backs = (24, 25, 24, 25, 24, 25, 10, 24)
    for k, (age, back) in enumerate(zip(ages, backs, strict=True)):
        b.keep(*month(age, 40, back, f"m{k}_", policy="default@2" if age == 65 else "default@1"))


@fires("M18")
def _(b: Books) -> None:
    b.keep(*clean(60))
    b.company = msgspec.structs.replace(
        TOLD,
        claims=(Claim(source="one", value=0.5, recovered=30), Claim(source="two", value=0.5, recovered=30)),
    )


@fires("M19")
def _(b: Books) -> None:
    stories = []
    for i in range(40):
        at = NOW - timedelta(days=50)
        quick = timedelta(seconds=1 if i < 20 else 900)
        told = (
            f.MessageMoved(at=at, actor="provider:mail", message_id=f"c_{i}:0", status="delivered"),
            f.MessageMoved(at=at + quick, actor="provider:mail", message_id=f"c_{i}:0", status="opened"),
        )
        sent = (Message(at=at, channel="email", step="notice", status="opened", id=f"c_{i}:0"),)
        one = story(i, "R", told=told)
        stories.append(msgspec.structs.replace(one, case=msgspec.structs.replace(one.case, messages=sent)))
    b.keep(*stories)


@fires("M20")
def _(b: Books) -> None:
    b.keep(*month(60, 40, 25, "m"), *(story(f"v{i}", "LV", day=6) for i in range(6)))


@fires("M21")
def _(b: Books) -> None:
    b.keep(
        *month(60, 60, 40, "m"),
        *month(60, 20, 4, "y", debt__interval="year", amount=49_000, customer__mrr_minor=4083),
    )


@fires("M22")
def _(b: Books) -> None:
    b.keep(*clean(40), story("trial", "LI", debt__kind="trial"))


@fires("M23")
def _(b: Books) -> None:
    b.keep(*month(60, 5, 3, "few"))


@fires("M25")
def _(b: Books) -> None:
    early = story("e", "LI", day=10)
    late = attempt(
        "a_e_late",
        early.case.opened_at + timedelta(days=20),
        Trigger.CUSTOMER,
        Result.PAID,
        4900,
        None,
        method_id="pm_e",
    )
    case = msgspec.structs.replace(early.case, attempts=(*early.case.attempts, late))
    b.keep(*month(60, 40, 5, "m"), Story(case=case))


@fires("M26")
def _(b: Books) -> None:
    credited = f.AmountChanged(at=NOW, actor="provider:generic", amount_minor=1000)
    b.keep(
        *clean(40), story("cr", "R", by="elsewhere", retries=(), told=(credited,), debt__amount_minor=1000)
    )


@fires("M27")
def _(b: Books) -> None:
    b.keep(*(story(i, "R", amount=5831, customer__mrr_minor=4900) for i in range(40)))


@fires("M28")
def _(b: Books) -> None:
    b.keep(*clean(40), story("own", "R", customer="cus_own"))
    b.write(customers.update().where(customers.c.id == "cus_own").values(email="somebody@acme.example"))


@fires("M29")
def _(b: Books) -> None:
    b.keep(*clean(40))
    b.company = msgspec.structs.replace(
        TOLD, claims=(Claim(source="a blog", value=0.127, benchmark="recovery_rate.attempted"),)
    )


@fires("M30", "Q20")
def _(b: Books) -> None:
    twice = story("t", "R")
    again = attempt(
        "a_t_again", NOW - timedelta(days=50), Trigger.STAFF, Result.PAID, 4900, None, method_id="pm_t"
    )
    b.keep(
        *clean(40), Story(case=msgspec.structs.replace(twice.case, attempts=(*twice.case.attempts, again)))
    )


@fires("M31")
def _(b: Books) -> None:
    b.keep(
        *month(78, 40, 30, "a", retries=()),
        *month(48, 40, 30, "b", retries=(0.5, 1, 1.5, 2, 2.5, 3)),
        *month(16, 40, 40, "c"),
    )


@fires("M32")
def _(b: Books) -> None:
    gone = f.Cancelled(at=NOW - timedelta(days=45), actor="provider:generic")
    b.keep(*(story(i, "R", told=(gone,) if i < 10 else ()) for i in range(60)))


@fires("M33")
def _(b: Books) -> None:
    b.keep(*(story(i, "R", arms=arms("withhold"), messages=(1,) if i < 5 else ()) for i in range(60)))


@fires("M34")
def _(b: Books) -> None:
    # Failures before payday (20th of the month on) do badly; the later month holds far more of them.
    def phase(prefix: str, good_age: float, bad_age: float, good: int, bad: int) -> list[Story]:
        return [
            *month(good_age, good, int(good * 0.9), f"{prefix}g"),
            *month(bad_age, bad, int(bad * 0.3), f"{prefix}b"),
        ]

    b.keep(*phase("a", 120, 101, 60, 20), *phase("b", 89, 70, 20, 60))


@fires("M35")
def _(b: Books) -> None:
    b.keep(*clean(40))
    b.write(webhook("new", NOW - timedelta(days=3)))
