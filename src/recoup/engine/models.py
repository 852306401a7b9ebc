"""Gives a merchant models of its own, one to decide by and one that predicts renewals, and takes them away again.

One that cannot be read is never given.
"""

from collections.abc import Callable
from hashlib import sha256

from sqlalchemy.engine import Connection

from recoup.decide.chart import Chart
from recoup.decide.model import Model, read_model, write_model
from recoup.decide.renewal import RenewalModel, read_renewal_model, write_renewal_model
from recoup.engine.audit import note
from recoup.engine.house import House
from recoup.store import models
from recoup.store.engines import writing
from recoup.store.merchants import Merchant

OPERATOR = "staff:operator"
_Choose = Callable[[Connection, str, str | None], None]


def activate(house: House, merchant: Merchant, data: bytes, *, actor: str = OPERATOR) -> Model:
    """Lets the model in the file's bytes speak in every learned decision of the merchant from the next one on.

    Raises `ValueError` saying what is wrong with it; then nothing has changed. Safe to repeat.
    """
    model = read_model(data)
    Chart(model)
    _give(house, merchant, model.name, write_model(model), models.choose, actor, "model.activated")
    return model


def activate_renewals(
    house: House, merchant: Merchant, data: bytes, *, actor: str = OPERATOR
) -> RenewalModel:
    """Lets the model in the file's bytes predict the merchant's coming renewals from now on.

    Raises `ValueError` saying what is wrong with it; then nothing has changed. Safe to repeat.
    """
    model = read_renewal_model(data)
    text = write_renewal_model(model)
    _give(house, merchant, model.name, text, models.choose_for_renewals, actor, "renewal_model.activated")
    return model


def deactivate(house: House, merchant: Merchant, *, actor: str = OPERATOR) -> str | None:
    """Goes back to the shipped model; the name of the one that spoke until now, None where it was the shipped one."""
    return _take(house, merchant, merchant.model, models.choose, actor, "model.deactivated")


def deactivate_renewals(house: House, merchant: Merchant, *, actor: str = OPERATOR) -> str | None:
    """The same for the model of coming renewals."""
    chosen = models.choose_for_renewals
    return _take(house, merchant, merchant.renewal_model, chosen, actor, "renewal_model.deactivated")


def _give(
    house: House, merchant: Merchant, name: str, text: bytes, choose: _Choose, actor: str, what: str
) -> None:
    version, now = sha256(text).hexdigest()[:16], merchant.now(house.clock.now())
    with writing(house.db) as tx:
        models.keep(tx, merchant.id, version=version, name=name, body=text.decode(), now=now)
        choose(tx, merchant.id, version)
        note(tx, merchant.id, actor=actor, what=what, subject=name, now=now, version=version)


def _take(
    house: House, merchant: Merchant, version: str | None, choose: _Choose, actor: str, what: str
) -> str | None:
    if version is None:
        return None
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        name = models.name(tx, merchant.id, version) or version
        choose(tx, merchant.id, None)
        note(tx, merchant.id, actor=actor, what=what, subject=name, now=now)
    return name
