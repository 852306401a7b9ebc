"""Which mail providers there are, by the name their URL begins with."""

from recoup.channels.esp.mailgun import Mailgun
from recoup.channels.esp.port import Provider
from recoup.channels.esp.postmark import Postmark
from recoup.channels.esp.resend import Resend
from recoup.channels.esp.sendgrid import SendGrid
from recoup.channels.esp.ses import Ses


def provider_of(name: str) -> Provider:
    """The provider of that name; a new value, which keeps what it learns (certificates). Raises `KeyError`."""
    made: dict[str, type[Provider]] = {
        "postmark": Postmark, "sendgrid": SendGrid, "mailgun": Mailgun, "ses": Ses, "resend": Resend,
    }  # fmt: skip
    return made[name]()
