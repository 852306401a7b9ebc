"""Settings -> the assembled house; plain calls, no container."""

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from recoup.channels.captured import CAPTURED_SENDER, CapturedDoor
from recoup.channels.dns.senders import sending_of
from recoup.channels.esp.back import ReportDoor
from recoup.channels.esp.registry import provider_of
from recoup.channels.esp.settings import ApiSettings
from recoup.channels.mail_url import open_door, parse_mail_url
from recoup.channels.port import Mail, MailDoor, SmsDoor
from recoup.channels.sms import open_sms_door
from recoup.channels.sms_settings import parse_sms_url
from recoup.engine.clock import Clock, SystemClock
from recoup.engine.garbage import collect_seldom
from recoup.engine.house import House
from recoup.engine.ids import new_id
from recoup.engine.links import Links
from recoup.psp.port import Gateway
from recoup.psp.registry import open_gateway
from recoup.settings import BadSetting, Settings
from recoup.store import boxes
from recoup.store.engines import database_url, open_engine, writing
from recoup.store.heartbeat import DOORS, WORKER
from recoup.store.merchants import Merchant
from recoup.store.vault import MIN_SECRET, Vault
from recoup.wire.public_address import public_address
from recoup.wire.transport import Transport


def assemble(settings: Settings, *, clock: Clock | None = None, doors_only: bool = False) -> House:
    """The house that these settings describe; `doors_only` for a process that runs no worker. Raises `BadSetting` for a missing or weak secret key."""
    secret = settings.secret_key or _own_secret(settings)
    if len(secret) < MIN_SECRET:
        raise BadSetting(
            f"RECOUP_SECRET_KEY has {len(secret)} characters; it seals credentials and signs links, so set at least "
            f"{MIN_SECRET} random ones"
        )
    mail = parse_mail_url(settings.mail_url, settings.smtp_url)
    clock = clock or SystemClock()
    door = open_door(mail, clock.now) if mail is not None else None
    collect_seldom()

    def mail_door(house: House, merchant: Merchant) -> MailDoor:
        return door or CapturedDoor(_capture(house, merchant))

    return House(
        db=open_engine(settings.database_url),
        clock=clock,
        vault=Vault(secret, tuple(settings.old_secret_keys.split())),
        links=Links(settings.base_url, secret),
        open_gateway=_gateway,
        mail_door=mail_door,
        sms_door=_sms_doors(settings),
        mail_back=ReportDoor(mail, provider_of(mail.provider)) if isinstance(mail, ApiSettings) else None,
        worker_id=new_id(DOORS if doors_only else WORKER),
        private_endpoints=settings.allow_private_endpoints,
        sending=sending_of(mail, tuple(settings.dkim_selector.split())) if mail is not None else None,
        dns_server=settings.dns,
        support=(mail.reply_to or mail.sender) if mail is not None else CAPTURED_SENDER,
    )


def _sms_doors(settings: Settings) -> Callable[[House, Merchant], SmsDoor | None]:
    """Each merchant's own door for text messages, else the house's; each is opened once. What a merchant names is called
    only where the public internet is. Raises `BadSmsUrl` for the house's own."""
    if settings.sms_url:
        parse_sms_url(settings.sms_url)
    opened: dict[tuple[str, bool], SmsDoor] = {}

    def sms_door(house: House, merchant: Merchant) -> SmsDoor | None:
        own = house.doors(merchant).get("sms_url")
        url = own or settings.sms_url
        if not url:
            return None
        key = url, own is not None and not house.private_endpoints
        if key not in opened:
            parsed = parse_sms_url(url)
            http = Transport(parsed.origin, most_connections=4, address_of=public_address if key[1] else None)
            opened[key] = open_sms_door(parsed, http, house.clock.now)
        return opened[key]

    return sms_door


def _gateway(merchant: Merchant, account: dict[str, str]) -> Gateway:
    return open_gateway(merchant.psp, account)


def _capture(house: House, merchant: Merchant) -> Callable[[Mail], None]:
    def keep(mail: Mail) -> None:
        now = merchant.now(house.clock.now())
        with writing(house.db) as tx:
            once = mail.once_key.split("/", 1)[1]
            boxes.capture(
                tx, merchant_id=merchant.id, once_key=once, case_id=_case_of(once), at=now, recipient=mail.to,
                subject=mail.subject, html=mail.html, text=mail.text, headers=json.dumps(mail.headers),
            )  # fmt: skip

    return keep


def _case_of(once: str) -> str | None:
    """The case a letter's key names: `{case}:{step}`, `{case}:{step}:{contact}` of a copy, `test:...` of none."""
    if once.startswith("test:"):
        return None
    case_and_step, _, last = once.rpartition(":")
    return case_and_step.rpartition(":")[0] if last.startswith("ct_") else case_and_step


def _own_secret(settings: Settings) -> str:
    """On SQLite alone, a secret of its own is kept beside the database, so that a first try needs no settings."""
    url = database_url(settings.database_url)
    if not url.drivername.startswith("sqlite") or not url.database or url.database == ":memory:":
        raise BadSetting(
            "RECOUP_SECRET_KEY is not set; it seals stored credentials and signs links. "
            "Set it to 48 random characters, e.g. from `openssl rand -base64 36`"
        )
    path = Path(url.database + ".secret")
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
            f.write(secrets.token_urlsafe(48))
    except FileExistsError:
        pass
    return path.read_text().strip()
