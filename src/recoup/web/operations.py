"""Every operation of the JSON API, in the order of the documentation."""

from recoup.web.api import (
    access,
    actions,
    audit,
    banner,
    cases,
    clock,
    coming,
    contacts,
    endings,
    endpoints,
    experiments,
    ingest,
    insight,
    policies,
    rules,
    usage,
)  # fmt: skip
from recoup.web.endpoint import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (
    *ingest.endpoints,
    *usage.endpoints,
    *cases.endpoints,
    *actions.endpoints,
    *access.endpoints,
    *banner.endpoints,
    *contacts.endpoints,
    *endings.endpoints,
    *policies.endpoints,
    *experiments.endpoints,
    *insight.endpoints,
    *rules.endpoints,
    *coming.endpoints,
    *audit.endpoints,
    *endpoints.endpoints,
    *clock.endpoints,
)
