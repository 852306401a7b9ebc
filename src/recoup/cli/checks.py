"""The checks of `recoup doctor`, one after the other; each says what it looked at, and how to mend it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Literal
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from recoup.channels.esp.settings import BadMailUrl
from recoup.channels.mail_url import open_door, parse_mail_url
from recoup.channels.sms_settings import BadSmsUrl
from recoup.channels.smtp_settings import BadSmtpUrl
from recoup.cli import mail_checks
from recoup.cli.channel_checks import channels
from recoup.cli.check import Check
from recoup.cli.mail_doctor import mail_lines
from recoup.engine.house import House
from recoup.engine.mail_checkup import LOCAL
from recoup.settings import BadSetting, Settings
from recoup.store import heartbeat, merchants, migrate, models
from recoup.store.engines import BadDatabaseUrl, database_url, open_engine, reading
from recoup.store.merchants import Merchant
from recoup.store.vault import Sealed, WeakSecret
from recoup.wiring import assemble

SKEW = timedelta(seconds=2)
"""How far our clock may be from the database's before timeouts and leases begin to lie."""


def examine(settings: Settings) -> Iterator[Check]:
    """Every check that can be made; what hangs on a failed one is left out."""
    yield _base_url(settings)
    yield _mail(settings)
    try:
        database_url(settings.database_url)
        house = assemble(settings)
    except BadDatabaseUrl as e:
        yield Check(state="fault", what="the database's address can be read", fix=str(e))
        return
    except BadSmsUrl as e:
        yield Check(state="fault", what="RECOUP_SMS_URL can be read", fix=str(e))
        return
    except (BadSetting, WeakSecret, BadSmtpUrl, BadMailUrl) as e:
        if not isinstance(e, BadSmtpUrl | BadMailUrl):  # told above already
            yield Check(state="fault", what="the secret key is strong", fix=str(e))
        with _engine(settings) as engine:
            yield from _database(engine)
        return
    yield _secret(settings)
    with _engine(settings) as engine:
        checks = list(_database(engine))
    yield from checks
    try:
        if all(c.state == "ok" for c in checks if c.what.startswith("the database")):
            yield from _people(house)
            yield from mail_lines(house)
    finally:
        house.db.dispose()


@contextmanager
def _engine(settings: Settings) -> Iterator[Engine]:
    engine = open_engine(settings.database_url, pool_size=1)
    try:
        yield engine
    finally:
        engine.dispose()


def _secret(settings: Settings) -> Check:
    what = "the secret key is strong"
    if not settings.secret_key:
        fix = (
            "a key of its own lies beside the SQLite file; set RECOUP_SECRET_KEY before you move to a server"
        )
        return Check(state="remark", what=what, fix=fix)
    if len(set(settings.secret_key)) < 10:
        fix = "RECOUP_SECRET_KEY repeats few characters and could be guessed; make one with `openssl rand -base64 36`"
        return Check(state="fault", what=what, fix=fix)
    return Check(state="ok", what=what)


def _base_url(settings: Settings) -> Check:
    what = f"subscribers can reach {settings.base_url}"
    parts = urlsplit(settings.base_url)
    if parts.hostname in LOCAL:
        fix = "it is this machine's own address; set RECOUP_BASE_URL to the public https:// address before real mail goes out"
        return Check(state="remark", what=what, fix=fix)
    if parts.scheme != "https":
        fix = "it is not encrypted, and payment links pass there; put TLS before it and set RECOUP_BASE_URL to https://"
        return Check(state="fault", what=what, fix=fix)
    return Check(state="ok", what=f"RECOUP_BASE_URL is a public https address ({settings.base_url})")


def _mail(settings: Settings) -> Check:
    from recoup.engine.clock import SystemClock

    name = "RECOUP_MAIL_URL" if settings.mail_url else "RECOUP_SMTP_URL"
    try:
        mail = parse_mail_url(settings.mail_url, settings.smtp_url)
    except (BadMailUrl, BadSmtpUrl) as e:
        return Check(state="fault", what=f"{name} can be read", fix=str(e))
    if mail is None:
        fix = "messages are captured and shown in the dashboard only; set RECOUP_MAIL_URL to send them"
        return Check(state="remark", what="a mail server is set", fix=fix)
    wrong = open_door(mail, SystemClock().now).check()
    what = "the mail server lets us in" if name == "RECOUP_SMTP_URL" else "the mail provider lets us in"
    if wrong is None:
        return Check(state="ok", what=what)
    return Check(state="unreachable", what=what, fix=f"{wrong}; check {name} and the server")


def _database(engine: Engine) -> Iterator[Check]:
    what = f"the database answers ({engine.url.render_as_string(hide_password=True)})"
    try:
        with reading(engine) as tx:
            tx.execute(sa.text("SELECT 1"))
            theirs = _their_clock(tx)
    except sa.exc.DBAPIError as e:
        why = " ".join(str(e.orig).split())
        yield Check(state="unreachable", what=what, fix=f"{why}; start it, or correct RECOUP_DATABASE_URL")
        return
    yield Check(state="ok", what=what)
    if migrate.is_current(engine):
        yield Check(state="ok", what="the database is at this version")
    else:
        yield Check(state="fault", what="the database is at this version", fix="run `recoup migrate`")
    if theirs is not None:
        mine, real = theirs
        apart = abs(mine - real)
        fix = f"they are {apart.total_seconds():.0f} s apart; set both by NTP" if apart > SKEW else ""
        yield Check(state="fault" if fix else "ok", what="our clock agrees with the database's", fix=fix)


def _their_clock(tx: sa.Connection) -> tuple[datetime, datetime] | None:
    """(ours, theirs) at the same moment; None where both are the same clock."""
    if tx.dialect.name != "postgresql":
        return None
    from recoup.engine.clock import SystemClock

    theirs = tx.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    return SystemClock().now(), theirs.astimezone(UTC)


def _people(house: House) -> Iterator[Check]:
    """Workers and merchants, once the database can be read."""
    now = house.clock.now()
    with reading(house.db) as tx:
        alive = heartbeat.at_work(tx, now)
        everyone = merchants.everyone(tx)
        waiting = merchants.due(tx, now - timedelta(minutes=10))
    if alive:
        yield Check(
            state="ok", what=f"{len(alive)} workers are at work" if len(alive) > 1 else "a worker is at work"
        )
    else:
        names = ", ".join(d.merchant.name for d in waiting)
        fix = f"work of {names} has been waiting for more than 10 minutes; " if waiting else ""
        fix += "start `recoup worker` or `recoup serve`"
        yield Check(state="fault" if waiting else "remark", what="a worker is at work", fix=fix)
    if not everyone:
        fix = "add one with `recoup merchant add NAME --psp generic ...`"
        yield Check(state="remark", what="there is a merchant", fix=fix)
    for merchant in everyone:
        yield from _account(house, merchant)
        yield from (Check(state=s, what=what, fix=fix) for s, what, fix in channels(house, merchant))
        yield from _model(house, merchant)
        for state, what, fix in mail_checks.heard(house, merchant):
            yield msgspec.convert({"state": state, "what": what, "fix": fix}, Check)


def _model(house: House, merchant: Merchant) -> Iterator[Check]:
    """Whether the merchant's own models can speak, where it has any."""
    asked: tuple[tuple[str | None, Callable[[Connection, Merchant], object], str, str], ...] = (
        (merchant.model, house.chart, "learned decisions go by its own model",
         "the shipped model decides instead; learn anew with `recoup learn --activate`"),
        (merchant.renewal_model, house.renewal_model, "coming renewals are predicted by its own model",
         "the shipped model predicts instead; learn anew with `recoup predict --learn`"),
    )  # fmt: skip
    for version, read, does, instead in asked:
        if version is None:
            continue
        with reading(house.db) as tx:
            own = read(tx, merchant)
            name = models.name(tx, merchant.id, version) or version
        what = f"merchant {merchant.name}: {does} {name}"
        yield Check(state="ok" if own else "fault", what=what, fix="" if own else instead)


def _account(house: House, merchant: Merchant) -> Iterator[Check]:
    name = f"merchant {merchant.name}"
    try:
        checks = house.gateway(merchant).doctor()
    except (Sealed, ValueError, KeyError) as e:
        yield Check(state="fault", what=f"{name}: its account can be opened", fix=str(e))
        return
    for nth, (what, right, fix) in enumerate(checks):
        # The first check of every provider is whether it can be reached at all.
        state: Literal["ok", "fault", "unreachable"] = (
            "ok" if right else "unreachable" if nth == 0 else "fault"
        )
        if merchant.psp == "stripe" and not right:
            state = "fault"
        yield Check(state=state, what=f"{name}: {what}", fix="" if right else fix)
    if merchant.trouble_says is not None:
        yield Check(
            state="remark",
            what=f"{name}: its provider account is out of trouble",
            fix=f"{merchant.trouble_says} ({merchant.trouble} times in a row); it is tried again by itself",
        )
