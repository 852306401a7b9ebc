"""Resolves the official client's own annotations: which fields an object has and of what type."""

import ast
import importlib
import inspect
import sys
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any, get_type_hints

import stripe

_CLIENT_BASES = {
    "stripe._stripe_object",
    "stripe._api_resource",
    "stripe._createable_api_resource",
    "stripe._updateable_api_resource",
    "stripe._deletable_api_resource",
    "stripe._listable_api_resource",
    "stripe._searchable_api_resource",
    "stripe._singleton_api_resource",
    "stripe._nested_resource_class_methods",
}


class _Names(dict[str, Any]):
    """Names a module imports for type checking only, imported when an annotation asks for one."""

    def __init__(self, module: ModuleType, scope: dict[str, Any]) -> None:
        super().__init__(scope)
        self._module = module
        self._origins = _typing_imports(module.__name__)

    def __missing__(self, name: str) -> Any:
        if name not in self._origins:
            raise KeyError(name)
        origin, original = self._origins[name]
        self[name] = found = getattr(importlib.import_module(origin), original)
        return found


@cache
def _typing_imports(module_name: str) -> dict[str, tuple[str, str]]:
    """Name -> (module, name there), from the `if TYPE_CHECKING:` block of a module."""
    source = inspect.getsource(sys.modules[module_name])
    found: dict[str, tuple[str, str]] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                found[name.asname or name.name] = (node.module, name.name)
    return found


@cache
def fields_of(cls: type) -> dict[str, Any]:
    """Public field name -> resolved annotation of a response object or of a parameter dict.

    Both are written by the client's generator from the provider's specification; what the client's
    own base classes add (request options, bookkeeping) is left out.
    """
    # a TypedDict copies its base's annotations, so the request options are among its own
    left_out = set(stripe.RequestOptions.__annotations__) if issubclass(cls, dict) else {"OBJECT_NAME"}
    fields: dict[str, Any] = {}
    for base in reversed([cls] if issubclass(cls, dict) else cls.__mro__):
        if base.__module__ in _CLIENT_BASES or not base.__module__.startswith("stripe"):
            continue
        module = sys.modules[base.__module__]
        own = {
            name: hint
            for name, hint in vars(base).get("__annotations__", {}).items()
            if name not in left_out and not name.startswith("_")
        }
        names = _Names(module, dict(vars(base)))
        holder = SimpleNamespace(__annotations__=own)
        fields |= get_type_hints(holder, globalns=vars(module), localns=names, include_extras=True)
    return fields


def resolve(text: str, module: ModuleType) -> Any:
    """The type an annotation string of `module` names, such as `ListObject[Invoice]`."""
    return eval(text, vars(module), _Names(module, {}))
