"""Settings from the environment or `recoup.toml`, checked once; secrets never show in `repr`."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

PREFIX = "RECOUP_"
DEFAULT_DATABASE = "sqlite:///recoup.db"


class BadSetting(ValueError):
    """A setting that cannot be used: which, why, and what would do."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set from outside. In the environment each has the prefix `RECOUP_`."""

    database_url: str = DEFAULT_DATABASE
    base_url: str = "http://127.0.0.1:8080"
    secret_key: str = ""
    old_secret_keys: str = ""
    """Earlier secret keys, separated by blanks, that still open what they sealed."""
    smtp_url: str = ""
    """`smtp://user:pass@host:587?from=billing@example.com`; empty: messages are captured and shown in the dashboard."""
    mail_url: str = ""
    """The same for a provider's HTTP interface (`postmark://TOKEN@?from=billing@example.com`, `sendgrid://`,
    `mailgun://`, `ses://`, `resend://`), or `smtp://`; instead of `smtp_url`."""
    sms_url: str = ""
    """`twilio://SID:TOKEN@api.twilio.com?from=+4915112345678`; empty: no text messages, unless a merchant has set its own."""
    dkim_selector: str = ""
    """The selectors that our mail is signed with, separated by blanks; empty: the doctor looks under common ones."""
    dns: str = ""
    """The name server that the mail doctor asks (`1.1.1.1`, `127.0.0.1:5353`); empty: the system's."""
    log: str = "text"
    allow_private_endpoints: bool = False
    """Whether webhooks out may go to private addresses; otherwise only the public internet is called."""
    concurrency: int = 64
    """How many calls one worker has under way at once at one provider account."""

    def __post_init__(self) -> None:
        if self.log not in ("text", "json"):
            raise BadSetting(f"RECOUP_LOG is {self.log!r}; write text or json")
        if not self.base_url.startswith(("http://", "https://")):
            raise BadSetting(
                f"RECOUP_BASE_URL is {self.base_url!r}; write the address subscribers reach, https://…"
            )
        if self.mail_url and self.smtp_url:
            raise BadSetting(
                "RECOUP_MAIL_URL and RECOUP_SMTP_URL are both set; mail leaves one way, so unset one"
            )
        if not 1 <= self.concurrency <= 1000:
            raise BadSetting("RECOUP_CONCURRENCY must be between 1 and 1000")

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{k}={v}' for k, v in self.shown().items())})"

    def shown(self) -> dict[str, str]:
        """The effective values, secrets masked."""
        return {name: _masked(name, str(getattr(self, name))) for name in self.__struct_fields__}


def _masked(name: str, value: str) -> str:
    if name in ("secret_key", "old_secret_keys"):
        return "set" if value else "not set"
    value = re.sub(r"([?&]hook=)[^&#]*", r"\1…", value)  # some are passwords; none has to be read here
    scheme, colon, rest = value.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]  # an @ further on is no end of a password
    if colon and "@" in authority:
        who = authority.rpartition("@")[0]
        return f"{scheme}://…{rest[len(who) :]}"
    return value


def read(environ: Mapping[str, str] | None = None, file: Path | None = None) -> Settings:
    """The settings: `recoup.toml` in the working directory (or `file`), overridden by the environment.

    Raises `BadSetting` naming the setting.
    """
    environ = os.environ if environ is None else environ
    path = file or Path("recoup.toml")
    values: dict[str, object] = {}
    if path.exists():
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as e:
            raise BadSetting(f"{path.name} is not valid TOML: {e}") from e
    for name in Settings.__struct_fields__:
        if PREFIX + name.upper() in environ:
            values[name] = environ[PREFIX + name.upper()]
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as e:
        where = f"{path.name} or the environment" if path.exists() else "the environment"
        raise BadSetting(f"settings cannot be read from {where}: {e}; docs/running.md names them") from e
