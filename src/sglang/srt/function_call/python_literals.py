"""Python's literals as JSON. Nothing is evaluated: only the syntax tree is looked at."""

from __future__ import annotations

import ast
import json
import warnings
from typing import Any

MAX_CHARS = 1 << 16
"""Longer texts are not looked at."""


class _NoLiteralError(ValueError):
    pass


def json_of_literal(text: str) -> str | None:
    """JSON text of a Python literal (numbers, strings, lists, dicts ...); None if it is none."""
    if len(text) > MAX_CHARS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes that a model invented
            tree = ast.parse(text.strip(), mode="eval")
        literal = json.dumps(_plain(tree.body), ensure_ascii=False, allow_nan=False)
        literal.encode()
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return literal


def _plain(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        if node.value is None or isinstance(node.value, (str, int, float)):
            return node.value
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = _plain(node.operand)
        if type(number) in (int, float):
            return -number
    elif isinstance(node, (ast.List, ast.Tuple)):
        return [_plain(item) for item in node.elts]
    elif isinstance(node, ast.Dict):
        return {_key(k): _plain(v) for k, v in zip(node.keys, node.values, strict=True)}
    raise _NoLiteralError


def _key(node: ast.expr | None) -> str:
    key = None if node is None else _plain(node)
    if not isinstance(key, str):
        raise _NoLiteralError
    return key
