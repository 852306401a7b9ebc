"""`recoup merchant`: registers billing accounts, shows them, changes their keys, removes them."""

from enum import StrEnum
from typing import Annotated

import typer

app = typer.Typer(
    help="Registers billing accounts: add, list, show, change, rotate-key, remove.", no_args_is_help=True
)


class Scope(StrEnum):
    """What a key may do."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


Psp = Annotated[str, typer.Option(help="The provider: generic (your own billing), stripe or sandbox.")]
Name = Annotated[str, typer.Argument(help="The merchant's name or id.")]
Url = Annotated[
    str | None, typer.Option(help="generic: the address of your billing, see the gateway's page.")
]
Token = Annotated[str | None, typer.Option(help="generic: the bearer token Recoup calls your billing with.")]
KeyOption = Annotated[str | None, typer.Option(help="stripe: the secret or restricted API key.")]
HookSecret = Annotated[
    str | None, typer.Option(help="The secret webhooks are signed with; made for you except for stripe.")
]
MethodUrl = Annotated[
    str | None, typer.Option(help="generic: your page where a subscriber gives a new method.")
]
BankFile = Annotated[str | None, typer.Option(help="sandbox: the file its bank keeps its books in.")]
More = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="FIELD=VALUE", help="Any other field of the provider's account; repeatable."
    ),
]
Support = Annotated[str | None, typer.Option(help="Where subscribers can ask: an e-mail address or a page.")]
BrandName = Annotated[str | None, typer.Option(help="The name subscribers know you by.")]
PayDomain = Annotated[
    str | None,
    typer.Option(
        help="A host name of your own for the hosted pages, such as pay.acme.example; 'none' to give it up."
    ),
]
AppOrigins = Annotated[
    list[str] | None,
    typer.Option(
        "--app-origin",
        metavar="ORIGIN",
        help="Where your own product runs, such as https://app.acme.example, for the banner; repeatable; all at once; 'none' for none.",
    ),
]
Country = Annotated[
    str | None,
    typer.Option(
        help="Where the merchant sits, two letters such as DE: what card networks' fees are priced by; 'none' where nobody knows.",
    ),
]
HomeUrl = Annotated[str | None, typer.Option(help="Your own site.")]
SmsUrl = Annotated[
    str | None,
    typer.Option(
        help="How its text messages leave: twilio://SID:TOKEN@api.twilio.com?from=..., generic+https://..., or 'none'."
    ),
]
ChatUrl = Annotated[
    str | None,
    typer.Option(help="The incoming webhook of its people's chat (Slack's form), or 'none'."),
]
Policy = Annotated[
    str, typer.Option(help="A shipped policy by name, or a policy file.", metavar="NAME_OR_FILE")
]


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="A name of your choice, one per billing account.")],
    psp: Psp,
    url: Url = None,
    token: Token = None,
    key: KeyOption = None,
    hook_secret: HookSecret = None,
    method_url: MethodUrl = None,
    bank_file: BankFile = None,
    more: More = None,
    policy: Policy = "default",
    support: Support = None,
    brand_name: BrandName = None,
    home_url: HomeUrl = None,
    pay_domain: PayDomain = None,
    app_origin: AppOrigins = None,
    country: Country = None,
    test_clock: Annotated[
        str | None, typer.Option(help="Live on a clock of its own that begins here.", metavar="INSTANT")
    ] = None,
) -> None:
    """Registers one billing account; prints its keys as JSON, shown this once."""
    from recoup.cli import accounts
    from recoup.cli.opening import opened

    given = {
        "url": url, "token": token, "key": key, "hook_secret": hook_secret, "method_url": method_url, "path": bank_file,
        **accounts.fields(more or ()),
    }  # fmt: skip
    brand = {"name": brand_name or name, "support": support, "home_url": home_url, "pay_domain": pay_domain,
             "origins": None if app_origin is None else " ".join(app_origin)}  # fmt: skip
    with opened() as house:
        accounts.show(
            accounts.add(
                house, name, psp, given, brand, policy=policy, test_clock=test_clock, country=country
            )
        )


@app.command("list")
def listed(
    json: Annotated[bool, typer.Option("--json", help="As JSON lines.")] = False,
) -> None:
    """Shows every merchant: provider, policy, open cases."""
    from recoup.cli import accounts
    from recoup.cli.opening import opened

    with opened() as house:
        accounts.table(accounts.listed(house), json)


@app.command("show")
def show(name: Name) -> None:
    """Shows one merchant as JSON: address of its webhooks, policy, keys; secrets never."""
    from recoup.cli import accounts
    from recoup.cli.opening import opened

    with opened() as house:
        accounts.show(accounts.shown(house, name))


@app.command("change")
def change(
    name: Name,
    url: Url = None,
    token: Token = None,
    key: KeyOption = None,
    hook_secret: Annotated[
        str | None, typer.Option(help="The new webhook secret; the old one stays valid beside it.")
    ] = None,
    method_url: MethodUrl = None,
    bank_file: BankFile = None,
    more: More = None,
    support: Support = None,
    brand_name: BrandName = None,
    home_url: HomeUrl = None,
    pay_domain: PayDomain = None,
    app_origin: AppOrigins = None,
    country: Country = None,
    sms_url: SmsUrl = None,
    chat_url: ChatUrl = None,
) -> None:
    """Changes the provider account, how the merchant shows itself, and its doors; what is not given stays."""
    from recoup.cli import accounts
    from recoup.cli.opening import opened

    given = {
        "url": url, "token": token, "key": key, "hook_secret": hook_secret, "method_url": method_url, "path": bank_file,
        **accounts.fields(more or ()),
    }  # fmt: skip
    brand = {"name": brand_name, "support": support, "home_url": home_url, "pay_domain": pay_domain,
             "origins": None if app_origin is None else " ".join(app_origin)}  # fmt: skip
    with opened() as house:
        accounts.change_doors(house, name, sms_url=sms_url, chat_url=chat_url)
        accounts.show(accounts.change(house, name, given, brand, country=country))


@app.command("chat-test")
def chat_test(name: Name) -> None:
    """Sends a test message to the chat of the merchant's people."""
    from recoup.cli import accounts
    from recoup.cli.opening import opened

    with opened() as house:
        print(accounts.chat_test(house, name))


@app.command("rotate-key")
def rotate_key(
    name: Name,
    keep_old: Annotated[bool, typer.Option("--keep-old", help="Leave the older keys valid for now.")] = False,
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What the new key may do; repeatable. Without: everything."),
    ] = None,
) -> None:
    """Makes a new API key and ends the older ones; prints it as JSON, shown this once."""
    from recoup.cli import accounts
    from recoup.cli.opening import opened

    with opened() as house:
        accounts.show(
            accounts.rotate_key(
                house, name, keep_old=keep_old, scopes=[s.value for s in dict.fromkeys(scope or Scope)]
            )
        )


@app.command("remove")
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Stops everything for a merchant and destroys its keys and credentials; its cases stay for the record."""
    from recoup.cli import accounts
    from recoup.cli.opening import opened

    with opened() as house:
        found = accounts.shown(house, name)
        if not yes:
            typer.confirm(
                f"Stop {found['open_cases']} open cases of {found['name']} and destroy its keys?",
                abort=True,
                err=True,
            )
        accounts.show(accounts.remove(house, name))
