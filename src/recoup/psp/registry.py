"""Which providers there are, and how an account of each is opened."""

from recoup.psp.port import Gateway

KNOWN = ("generic", "sandbox", "stripe")


class UnknownProvider(ValueError):
    """There is no provider of that name."""


def open_gateway(psp: str, account: dict[str, str]) -> Gateway:
    """The gateway to one account. Providers are imported when first used, so that nobody pays for the others.

    `account` holds what `recoup merchant add` sealed. Raises `UnknownProvider`, or `ValueError` for missing fields.
    """
    match psp:
        case "generic":
            from recoup.psp.generic import Generic

            return Generic(
                account["url"],
                account["token"],
                account["hook_secret"].split(),
                method_url=account.get("method_url"),
            )
        case "sandbox":
            from recoup.psp.sandbox import Sandbox

            return Sandbox.from_account(account)
        case "stripe":
            from recoup.psp.stripe import Stripe

            return Stripe.from_account(account)
        case _:
            raise UnknownProvider(f"no provider {psp!r}; one of {', '.join(KNOWN)}")
