"""Reads the provider's form encoding (`items[0][price]=p`) into nested dicts of strings."""

from typing import Any
from urllib.parse import parse_qsl


def read_form(text: str) -> dict[str, Any]:
    """Nested dicts; list indexes stay as the keys `0`, `1`, ... and `a[]` gets the next free index."""
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        head, *rest = name.replace("]", "").split("[")
        _plant(tree, [head, *rest], value)
    return tree


def _plant(tree: dict[str, Any], path: list[str], value: str) -> None:
    for step in path[:-1]:
        tree = tree.setdefault(step or str(len(tree)), {})
    tree[path[-1] or str(len(tree))] = value
