"""Gives a merchant a model of its own to decide by, and takes it away again; one that cannot be read is never given."""

from hashlib import sha256

from recoup.decide.chart import Chart
from recoup.decide.model import Model, read_model, write_model
from recoup.engine.audit import note
from recoup.engine.house import House
from recoup.store import models
from recoup.store.engines import writing
from recoup.store.merchants import Merchant

OPERATOR = "staff:operator"


def activate(house: House, merchant: Merchant, data: bytes, *, actor: str = OPERATOR) -> Model:
    """Lets the model in the file's bytes speak in every learned decision of the merchant from the next one on.

    Raises `ValueError` saying what is wrong with it; then nothing has changed. Safe to repeat.
    """
    model = read_model(data)
    Chart(model)
    text = write_model(model)
    version, now = sha256(text).hexdigest()[:16], merchant.now(house.clock.now())
    with writing(house.db) as tx:
        models.keep(tx, merchant.id, version=version, name=model.name, body=text.decode(), now=now)
        models.choose(tx, merchant.id, version)
        note(
            tx, merchant.id, actor=actor, what="model.activated", subject=model.name, now=now, version=version
        )
    return model


def deactivate(house: House, merchant: Merchant, *, actor: str = OPERATOR) -> str | None:
    """Goes back to the shipped model; the name of the one that spoke until now, None where it was the shipped one."""
    if merchant.model is None:
        return None
    now = merchant.now(house.clock.now())
    with writing(house.db) as tx:
        name = models.name(tx, merchant.id, merchant.model) or merchant.model
        models.choose(tx, merchant.id, None)
        note(tx, merchant.id, actor=actor, what="model.deactivated", subject=name, now=now)
    return name
