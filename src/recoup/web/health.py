"""Says whether this process lives, whether it can work, and how much waits."""

import sqlalchemy as sa
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from recoup import __version__
from recoup.engine.house import House
from recoup.store import migrate
from recoup.web import measures
from recoup.web.measures import Measures
from recoup.web.problems import Problem

_FRESH = {"Cache-Control": "no-store"}


def routes(house: House, counted: Measures) -> list[HTTPRouteHandler]:
    """`/healthz`, `/readyz` and `/metrics`."""

    @get("/healthz", sync_to_thread=False, include_in_schema=False)
    def healthz() -> Response[dict[str, str]]:
        """The process answers."""
        return Response({"status": "ok", "version": __version__}, headers=_FRESH)

    @get("/readyz", sync_to_thread=True, include_in_schema=False)
    def readyz() -> Response[dict[str, str]]:
        """The database answers and stands where this version wants it."""
        try:
            current = migrate.is_current(house.db)
        except sa.exc.SQLAlchemyError as e:
            why = "the database cannot be reached; check RECOUP_DATABASE_URL and that it runs"
            raise Problem(503, why, headers={"Retry-After": "5"}) from e
        if not current:
            raise Problem(503, "the database is not at this version; run `recoup migrate`")
        return Response({"status": "ready", "version": __version__}, headers=_FRESH)

    @get("/metrics", sync_to_thread=True, include_in_schema=False)
    def metrics() -> Response[bytes]:
        """Counters and gauges in Prometheus' text format."""
        return Response(counted.text(), media_type=measures.MEDIA_TYPE, headers=_FRESH)

    return [healthz, readyz, metrics]
