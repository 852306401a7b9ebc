"""What the merchant commands do: accounts checked and sealed, keys made and shown once, records kept."""

import base64
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa

from recoup.channels.chat import BadChatUrl
from recoup.channels.port import NotSent, Refused, Sent, Unclear
from recoup.channels.sms_settings import BadSmsUrl
from recoup.cli.faults import FOUND, UNREACHABLE, USAGE, Fault
from recoup.domain.case import OPEN
from recoup.domain.instants import text
from recoup.engine import doors, policies
from recoup.engine.house import House
from recoup.engine.ids import new_id, new_secret
from recoup.insight.experiments_run import switch_holdout
from recoup.psp.registry import KNOWN, open_gateway
from recoup.store import keys, merchants, models
from recoup.store.engines import reading, writing
from recoup.store.merchants import Brand, Merchant
from recoup.store.tables import cases

Given = Mapping[str, str | None]
Shown = dict[str, object]

NEEDED = {"generic": ("url", "token"), "stripe": ("key",), "sandbox": ()}
"""What cannot be done without, by provider."""
FIELDS = {
    "generic": ("url", "token", "hook_secret", "method_url"),
    "sandbox": ("path", "hook_secret"),
    "stripe": (
        "key",
        "hook_secret",
        "account_id",
        "api_base",
        "api_version",
        "downgrade_price",
        "pause_behavior",
    ),
}
"""Everything an account may say, by provider."""


def add(
    house: House,
    name: str,
    psp: str,
    given: Given,
    brand: Given,
    *,
    policy: str,
    test_clock: str | None,
    country: str | None = None,
) -> Shown:
    """Registers a merchant; what is shown once. Raises `Fault`, `NameTaken`, `PolicyRefused`, `NoSuchPolicy`."""
    merchant_id, now = new_id("m"), house.clock.now()
    account = _account(psp, given)
    if psp == "stripe":
        account["hook_url"] = _hook_url(house, psp, merchant_id)
    toml, source = policies.text_of(policy)
    parsed = policies.parse(toml, source=source)
    clock = None if test_clock is None else _instant(test_clock)
    with writing(house.db) as tx:
        merchants.add(
            tx, id=merchant_id, name=_name(name), psp=psp, account=house.vault.seal(account),
            brand=_brand(Brand(), brand), policy=f"{parsed.name}@1", now=now, clock=clock,
        )  # fmt: skip
        kept = policies.keep(tx, merchant_id, parsed, toml, now)
        merchants.change(tx, merchant_id, policy=kept, country=_country(country))
        _domain_is_free(tx, merchant_id)
        api_key = _new_key(tx, merchant_id, now)
        switch_holdout(tx, merchant_id, now=clock or now, on=True, actor="engine")
    return {
        "merchant": merchant_id,
        "name": name,
        "api_key": api_key,
        "hook_url": _hook_url(house, psp, merchant_id),
        "hook_secret": account.get("hook_secret"),
    }


def change(house: House, name: str, given: Given, brand: Given, *, country: str | None = None) -> Shown:
    """Changes the account, the brand or the country; a new hook secret goes before the old one, which stays valid."""
    with writing(house.db) as tx:
        merchant = merchants.get(tx, name, lock=True)
        account = house.vault.open(merchant.account)
        new = _known(merchant.psp, {k: v for k, v in given.items() if v is not None})
        if "hook_secret" in new and account.get("hook_secret"):
            new["hook_secret"] = f"{new['hook_secret']} {account['hook_secret'].split()[0]}"
        account = _checked(merchant.psp, {**account, **new})
        merchants.change(
            tx,
            merchant.id,
            account=house.vault.seal(account),
            brand=msgspec.json.encode(_brand(merchant.brand, brand)).decode(),
            country=merchant.country if country is None else _country(country),
        )
        _domain_is_free(tx, merchant.id)
    return shown(house, name)


def change_doors(house: House, name: str, *, sms_url: str | None, chat_url: str | None) -> None:
    """Sets how text messages leave and where the chat is; what is None stays. Raises `Fault`, `NoSuchMerchant`."""
    if sms_url is None and chat_url is None:
        return
    try:
        doors.change(house, name, by="staff:cli", sms_url=sms_url, chat_url=chat_url)
    except (BadSmsUrl, BadChatUrl) as e:
        raise Fault(f"nothing was changed; {e}", USAGE) from e


def chat_test(house: House, name: str) -> str:
    """Says something harmless in the chat; what became of it. Raises `Fault`."""
    with reading(house.db) as tx:
        merchant = merchants.get(tx, name)
    match doors.try_chat(house, merchant, "Somebody at the command line"):
        case None:
            raise Fault(
                f"{merchant.name} has no chat; set one with `recoup merchant change {merchant.name} --chat-url URL`",
                FOUND,
            )
        case Sent():
            return "taken by the chat"
        case Refused(text=why):
            raise Fault(f"the chat refused it: {why}; copy the webhook's address anew", FOUND)
        case NotSent(why=why) | Unclear(why=why):
            raise Fault(f"the chat could not be reached: {why}", UNREACHABLE)


def shown(house: House, name: str) -> Shown:
    """All there is to know about a merchant but its secrets."""
    with reading(house.db) as tx:
        merchant = merchants.get(tx, name)
        made = keys.listed(tx, merchant.id)
        model = models.name(tx, merchant.id, merchant.model) if merchant.model else None
        predicts = models.name(tx, merchant.id, merchant.renewal_model) if merchant.renewal_model else None
    row = _row(merchant, _open_cases(house).get(merchant.id, 0))
    account = house.vault.open(merchant.account)
    return {
        **row,
        "hook_url": _hook_url(house, merchant.psp, merchant.id),
        "account": {k: "set" if k in ("token", "key", "hook_secret") else v for k, v in account.items()},
        "country": merchant.country,
        "model": model or "shipped",
        "renewal_model": predicts or "shipped",
        "brand": msgspec.to_builtins(merchant.brand),
        "doors": doors.shown(house, merchant),
        "api_keys": [
            {"id": k.id, "scopes": list(k.scopes), "created_at": text(k.created_at)}
            for k in made
            if k.revoked_at is None
        ],
    }


def listed(house: House) -> list[Shown]:
    """Every merchant with its number of open cases."""
    with reading(house.db) as tx:
        everyone = merchants.everyone(tx)
    counts = _open_cases(house)
    return [_row(m, counts.get(m.id, 0)) for m in everyone]


def rotate_key(
    house: House, name: str, *, keep_old: bool, scopes: Sequence[keys.Scope] = keys.SCOPES
) -> Shown:
    """A new key with these scopes, shown once; the older ones end unless they are kept."""
    now = house.clock.now()
    with writing(house.db) as tx:
        merchant = merchants.get(tx, name, lock=True)
        ended = 0 if keep_old else keys.revoke(tx, merchant.id, now)
        api_key = _new_key(tx, merchant.id, now, scopes)
    return {
        "merchant": merchant.id,
        "name": merchant.name,
        "api_key": api_key,
        "scopes": list(scopes),
        "ended": ended,
    }


def remove(house: House, name: str) -> Shown:
    """Takes a merchant out of service for good: nothing is charged or sent any more, its name is free again."""
    now = house.clock.now()
    with writing(house.db) as tx:
        merchant = merchants.get(tx, name, lock=True)
        keys.revoke(tx, merchant.id, now)
        merchants.change(
            tx,
            merchant.id,
            removed_at=now,
            name=f"{merchant.name} (removed, {merchant.id})",
            account=house.vault.seal({}),
        )
    return {"merchant": merchant.id, "name": merchant.name, "removed_at": text(now)}


def fields(more: Iterable[str]) -> dict[str, str]:
    """`FIELD=VALUE` as a dict. Raises `Fault`."""
    pairs = [each.partition("=") for each in more]
    wrong = next((name for name, equals, value in pairs if not (name and equals and value)), None)
    if wrong is not None:
        raise Fault(f"--set {wrong!r} cannot be read; it has no value; write FIELD=VALUE", USAGE)
    return {name: value for name, _, value in pairs}


def show(what: Shown) -> None:
    """Prints one JSON object."""
    print(msgspec.json.format(msgspec.json.encode(what), indent=2).decode())


def table(rows: Iterable[Shown], as_json: bool) -> None:
    """Prints merchants for people, or as JSON lines for programs."""
    if as_json:
        for row in rows:
            print(msgspec.json.encode(row).decode())
        return
    from rich.console import Console
    from rich.table import Table

    out = Table(box=None, pad_edge=False)
    for column in ("name", "psp", "policy", "open cases", "trouble", "clock", "merchant"):
        out.add_column(column, justify="right" if column == "open cases" else "left", overflow="fold")
    for row in rows:
        clock = row.get("test_clock")
        out.add_row(
            *(str(row[k]) for k in ("name", "psp", "policy", "open_cases")),
            str(row.get("trouble") or ""),
            str(clock or "real time"),
            str(row["merchant"]),
        )
    if not out.row_count:
        print("no merchant yet; add one with `recoup merchant add NAME --psp generic ...`")
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)  # a file has no edge
    console.print(out)


def _row(merchant: Merchant, open_cases: int) -> Shown:
    return {
        "merchant": merchant.id,
        "name": merchant.name,
        "psp": merchant.psp,
        "policy": merchant.policy,
        "policy_rules": [f"{r.policy}: {r}" for r in merchant.policy_rules],
        "open_cases": open_cases,
        "created_at": text(merchant.created_at),
        "test_clock": None if merchant.clock_now is None else text(merchant.clock_now),
        "trouble": merchant.trouble_says,
    }


def _open_cases(house: House) -> dict[str, int]:
    query = (
        sa.select(cases.c.merchant_id, sa.func.count())
        .where(cases.c.state.in_([s.value for s in OPEN]))
        .group_by(cases.c.merchant_id)
    )
    with reading(house.db) as tx:
        return {row[0]: int(row[1]) for row in tx.execute(query)}


def _account(psp: str, given: Given) -> dict[str, str]:
    """The provider account as it will be sealed. Raises `Fault` for what is missing or does not belong."""
    if psp not in KNOWN:
        raise Fault(f"there is no provider {psp!r}; it cannot be charged; choose {', '.join(KNOWN)}", USAGE)
    account = _known(psp, {k: v for k, v in given.items() if v is not None})
    missing = [f"--{k.replace('_', '-')}" for k in NEEDED[psp] if k not in account]
    if missing:
        raise Fault(
            f"{' and '.join(missing)} missing; a {psp} account cannot be used without; give it and run again",
            USAGE,
        )
    if psp != "stripe":
        account.setdefault("hook_secret", _new_hook_secret())
    return _checked(psp, account)


def _known(psp: str, account: dict[str, str]) -> dict[str, str]:
    """The account's fields as its provider calls them. Raises `Fault` for one it has no use for."""
    if psp == "stripe" and "url" in account:
        account["api_base"] = account.pop("url")
    strange = [k for k in account if k not in (*FIELDS[psp], "hook_url")]
    if strange:
        has = ", ".join(FIELDS[psp])
        raise Fault(f"a {psp} account has no {strange[0]!r}; nothing was stored; it has {has}", USAGE)
    return account


def _checked(psp: str, account: dict[str, str]) -> dict[str, str]:
    """The account if a gateway can be made of it. Nothing is called."""
    try:
        open_gateway(psp, account)
    except (ValueError, KeyError) as e:
        raise Fault(f"the {psp} account cannot be used; {e}; correct it and run again", USAGE) from e
    return account


def _new_hook_secret() -> str:
    """A secret in the form of Standard Webhooks."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def _new_key(
    tx: sa.Connection, merchant_id: str, now: datetime, scopes: Sequence[keys.Scope] = keys.SCOPES
) -> str:
    key_id, secret = new_id("k").partition("_")[2], new_secret("s").partition("_")[2]
    return keys.make(tx, merchant_id, id=key_id, secret=secret, scopes=scopes, now=now)


def _domain_is_free(tx: sa.Connection, merchant_id: str) -> None:
    everyone = merchants.everyone(tx)
    mine = next(m.brand.pay_domain for m in everyone if m.id == merchant_id)
    taken = next((m for m in everyone if mine and m.id != merchant_id and m.brand.pay_domain == mine), None)
    if taken is not None:
        why = f"{mine} cannot be used; the merchant {taken.name} has it; choose another host name"
        raise Fault(why, USAGE)


_ORIGIN = re.compile(r"https://[a-z0-9.-]+(:\d{1,5})?|http://(localhost|127\.0\.0\.1)(:\d{1,5})?")
_HOST = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")


def _brand(brand: Brand, given: Given) -> Brand:
    domain = given.get("pay_domain")
    if domain == "none":
        brand = msgspec.structs.replace(brand, pay_domain=None)
        given = {**given, "pay_domain": None}
    elif domain is not None and not _HOST.fullmatch(domain):
        raise Fault(
            f"{domain!r} is no host name; the hosted pages are reached at it; write only the name, such as "
            "pay.acme.example, in small letters, without https:// and without a path",
            USAGE,
        )
    origins = given.get("origins")
    if origins is not None:
        brand = msgspec.structs.replace(brand, origins=_origins(origins))
    rest = {k: v for k, v in given.items() if v is not None and k != "origins"}
    return msgspec.structs.replace(brand, **rest)


def _origins(written: str) -> tuple[str, ...]:
    """The origins that were named, each once. Raises `Fault`."""
    named = tuple(dict.fromkeys(each for each in written.split() if each != "none"))
    wrong = next((each for each in named if not _ORIGIN.fullmatch(each)), None)
    if wrong is not None:
        raise Fault(
            f"--app-origin {wrong!r} is no origin; a browser names the page's scheme and host, and both must be the same; "
            "write it such as https://app.acme.example, without a path (http only for localhost)",
            USAGE,
        )
    return named


def _country(written: str | None) -> str | None:
    """Two capital letters; None where nobody has told. Raises `Fault`."""
    if written is None or written == "none":
        return None
    if not re.fullmatch(r"[A-Za-z]{2}", written):
        raise Fault(
            f"--country {written!r} is no country; fees are priced by it; write its two letters (ISO 3166), such as DE",
            USAGE,
        )
    return written.upper()


def _name(name: str) -> str:
    if not name.strip() or len(name) > 80 or any(ord(c) < 32 for c in name):
        raise Fault(
            "the name cannot be used; it is empty, too long or has control characters; choose another", USAGE
        )
    return name


def _instant(written: str) -> datetime:
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise Fault(
            f"--test-clock {written!r} is not an instant; write one such as 2026-03-02T09:00:00Z", USAGE
        )
    return at.astimezone(UTC)


def _hook_url(house: House, psp: str, merchant_id: str) -> str:
    return f"{house.links.base_url}/hooks/{psp}/{merchant_id}"
