"""The provider's operations as the official client knows them: path, parameters, answer."""

import ast
import importlib
import inspect
import re
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from .hints import resolve

PLAYED = (
    "_account_service",
    "_balance_service",
    "_charge_service",
    "_customer_service",
    "_customer_payment_method_service",
    "_dispute_service",
    "_event_service",
    "_invoice_service",
    "_invoice_item_service",
    "_invoice_payment_service",
    "_invoice_line_item_service",
    "_payment_intent_service",
    "_payment_method_service",
    "_price_service",
    "_product_service",
    "_refund_service",
    "_setup_intent_service",
    "_subscription_service",
    "_subscription_item_service",
    "_webhook_endpoint_service",
    "checkout._session_service",
    "billing_portal._session_service",
)


@dataclass(frozen=True)
class Operation:
    """One call of the provider's API."""

    method: str  # upper case
    template: str  # "/v1/invoices/{invoice}/pay"
    params: Any  # a TypedDict class, or None where the call takes nothing
    answer: Any  # a StripeObject class or ListObject[...]

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.template))


@cache
def operations() -> tuple[Operation, ...]:
    """Every operation of the services in `PLAYED`, most literal paths first."""
    found = [
        operation for name in PLAYED for operation in _of_service(importlib.import_module(f"stripe.{name}"))
    ]
    return tuple(sorted(found, key=lambda operation: operation.template.count("{")))


@cache
def find(method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
    """The operation a request line means, with the ids in its path."""
    for operation in operations():
        if operation.method == method and (match := operation.pattern.fullmatch(path)):
            return operation, match.groupdict()
    return None


def _of_service(module: ModuleType) -> list[Operation]:
    found = []
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.FunctionDef) and (call := _request_call(node)) is not None:
            method, template = call
            found.append(Operation(method.upper(), template, _params(node, module), _answer(node, module)))
    return found


def _request_call(function: ast.FunctionDef) -> tuple[str, str] | None:
    for node in ast.walk(function):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "_request"
        ):
            verb, path = node.args[0], node.args[1]
            if isinstance(path, ast.Call) and isinstance(path.func, ast.Attribute):
                path = path.func.value  # "/v1/...".format(...)
            if isinstance(verb, ast.Constant) and isinstance(path, ast.Constant):
                return str(verb.value), str(path.value)
    return None


def _params(function: ast.FunctionDef, module: ModuleType) -> Any:
    for argument in function.args.args:
        if argument.arg == "params" and argument.annotation is not None:
            text = ast.unparse(argument.annotation)
            named = re.search(r"['\"](\w+)['\"]", text)
            return resolve(named[1], module) if named else None
    return None


def _answer(function: ast.FunctionDef, module: ModuleType) -> Any:
    returns = function.returns
    text = returns.value if isinstance(returns, ast.Constant) else ast.unparse(returns)  # type: ignore[arg-type]
    return resolve(str(text), module)
