"""The documented contract against the living app: whatever is sent, the answer is one that the document announces."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from recoup.web import openapi
from recoup.web.operations import ENDPOINTS
from tests.support import house as houses
from tests.web.api import make_key, served

SCHEMA = schemathesis.openapi.from_dict(msgspec.json.decode(openapi.document(ENDPOINTS, "http://127.0.0.1")))
OPERATIONS = {
    op.definition.raw["operationId"]: op
    for op in (each.ok() for each in SCHEMA.get_all_operations() if isinstance(each, Ok))
}
HELD = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
EXAMPLES = 40


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(address, key) of one house; what is sent may change it, so no example may count on another."""
    path = tmp_path_factory.mktemp("contract") / "recoup.db"
    with houses.standing(f"sqlite:///{path}") as house:
        merchant = houses.add_merchant(house)
        houses.fail(house, merchant, *(houses.view(n) for n in range(3)))
        with served(house) as port:
            yield f"http://127.0.0.1:{port}", make_key(house, merchant)


def test_shapes_have_names_of_their_own() -> None:
    """Not those of our files, which clients would be made of; and every name that is referred to is there."""
    names = set(SCHEMA.raw_schema["components"]["schemas"])
    assert {name for name in names if not name.isidentifier()} == set()
    told = msgspec.json.encode(SCHEMA.raw_schema).decode()
    assert set(re.findall(r'#/components/schemas/([^"]+)"', told)) == names


def test_no_operation_is_left_out() -> None:
    assert set(OPERATIONS) == {each.name for each in ENDPOINTS}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda m: m.value)
def test_every_answer_is_one_the_document_announces(
    door: tuple[str, str], name: str, mode: GenerationMode
) -> None:
    address, key = door
    operation = OPERATIONS[name]
    held = [*HELD, checks.negative_data_rejection] if mode is GenerationMode.NEGATIVE else HELD

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None,
        phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip
    def holds(case: Any) -> None:
        if mode is GenerationMode.POSITIVE:
            _ids_that_exist(case)
        answer = case.call(base_url=address, headers={"Authorization": f"Bearer {key}"})
        case.validate_response(answer, checks=held)

    holds()


def _ids_that_exist(case: Any) -> None:
    """Half of the time the address names something that is there, so that more than 404 is met."""
    known = {
        "case_id": "c_1",
        "customer_id": "cus_1",
        "name": "default",
        "endpoint_id": "we_1",
        "delivery_id": "ev_1",
    }
    for name in case.path_parameters or {}:
        if len(str(case.path_parameters[name])) % 2:
            case.path_parameters[name] = known[name]
