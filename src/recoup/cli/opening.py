"""Opens the house for a command: settings, database at this version, logs on stderr so that stdout stays data."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from recoup.cli.faults import FOUND, Fault

if TYPE_CHECKING:
    from recoup.engine.house import House
    from recoup.store.merchants import Merchant


@contextmanager
def opened() -> Iterator["House"]:
    """The house that the settings describe, on a database that is at this version. Raises what `explained` knows."""
    from recoup import settings, wiring
    from recoup.cli.serve import logs
    from recoup.store import migrate

    own = settings.read()
    logs(own)
    house = wiring.assemble(own)
    try:
        if not migrate.is_current(house.db):
            raise Fault("the database is not at this version; nothing was done; run `recoup migrate`", FOUND)
        yield house
    finally:
        house.db.dispose()


def merchant_of(house: "House", id_or_name: str | None) -> "Merchant":
    """The merchant a command is about; without a name the only one there is. Raises `Fault`, `NoSuchMerchant`."""
    from recoup.store import merchants
    from recoup.store.engines import reading

    with reading(house.db) as tx:
        if id_or_name is not None:
            return merchants.get(tx, id_or_name)
        everyone = merchants.everyone(tx)
    if len(everyone) == 1:
        return everyone[0]
    if not everyone:
        raise Fault("there is no merchant yet; add one with `recoup merchant add NAME --psp generic ...`", 2)
    names = ", ".join(m.name for m in everyone)
    raise Fault(f"there are several merchants ({names}); say which one with --merchant", 2)
