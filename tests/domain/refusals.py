"""Small builders: a refusal with its codes, and the method it was given on."""

from datetime import UTC, datetime

from recoup.domain.view import Attempt, Method, Result, Trigger


def refused(
    psp: str | None = None, code: str | None = None, raw: str | None = None, advice: str | None = None
) -> Attempt:
    return Attempt(
        id="a_1",
        at=datetime(2026, 3, 1, tzinfo=UTC),
        trigger=Trigger.RENEWAL,
        amount_minor=4900,
        result=Result.DECLINED,
        psp=psp,
        code=code,
        network_code=raw,
        advice_code=advice,
    )


def card(network: str | None, country: str | None = "US") -> Method:
    return Method(id="pm_1", network=network, country=country)


def debit(kind: str, country: str | None = None) -> Method:
    return Method(id="pm_1", kind=kind, country=country)  # type: ignore[arg-type]
