"""The filters of chat templates, reporting to the budget of the rendering.

Jinja's built-in ones are wrapped: what could grow its input is priced before it runs, and every
result is weighed. ``tojson`` and ``join`` are our own. The names that begin with ``*`` are called
by the rewritten syntax tree only; no template can spell them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from jinja2.filters import make_attrgetter
from jinja2.runtime import Context
from jinja2.utils import pass_context

from sglang.srt.tokenizer.template_budget import Budget, budget_of, flatten_mapping

CONCAT, ADMIT, SPEND = "*concat", "*admit", "*spend"

DROPPED_FILTERS = ("pprint", "random", "striptags", "urlize", "xmlattr")
"""Filters for web pages or debugging, which no chat template needs."""

Filter = Callable[..., Any]
Arguments = tuple[Any, ...]
Keywords = Mapping[str, Any]


def make_filters(builtin: Mapping[str, Filter]) -> dict[str, Filter]:
    """The filters of an environment, from Jinja's own."""
    filters = {name: _metered(name, function) for name, function in builtin.items()}
    for name in DROPPED_FILTERS:
        filters.pop(name, None)
    own: dict[str, Filter] = {
        "tojson": _tojson,
        "join": _join,
        CONCAT: _concat,
        ADMIT: _admit,
        SPEND: _spend,
    }
    return {**filters, **own}


@pass_context
def _concat(context: Context, items: list[Any]) -> str:
    budget = budget_of(context)
    text: str = budget.admit(budget.join("", items))
    return text


@pass_context
def _admit(context: Context, value: Any) -> Any:
    return budget_of(context).admit(value)


@pass_context
def _spend(context: Context, amount: int) -> None:
    budget_of(context).spend(amount)


@pass_context
def _join(context: Context, value: Any, d: Any = "", attribute: Any = None) -> str:
    budget = budget_of(context)
    if attribute is not None:
        value = map(make_attrgetter(context.environment, attribute), value)
    text: str = budget.admit(budget.join(str(budget.admit(d)), value))
    return text


@pass_context
def _tojson(
    context: Context,
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    budget = budget_of(context)
    budget.admit(value)
    for part in (indent, *(separators or ())):
        budget.check_width(len(part) if isinstance(part, str) else part)
    encoder = json.JSONEncoder(
        ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
    if indent is None:  # the size is then within a small factor of the value's
        text: str = budget.admit(encoder.encode(value))
        return text
    return budget.join("", encoder.iterencode(value))


def _metered(name: str, function: Filter) -> Filter:
    """A built-in filter that prices its arguments and reports its result."""
    pass_arg = getattr(function, "jinja_pass_arg", None)
    check = _CHECKS.get(name)

    @pass_context
    def metered(context: Context, /, *args: Any, **kwargs: Any) -> Any:
        budget = budget_of(context)
        budget.spend()
        if check is not None:
            check(budget, args, kwargs)
        if pass_arg is not None:
            first = {
                "context": context,
                "eval_context": context.eval_ctx,
                "environment": context.environment,
            }[pass_arg.name]
            args = (first, *args)
        return budget.admit(function(*args, **kwargs))

    return metered


def _argument(args: Arguments, kwargs: Keywords, index: int, name: str, default: Any) -> Any:
    return args[index] if len(args) > index else kwargs.get(name, default)


def _check_center(budget: Budget, args: Arguments, kwargs: Keywords) -> None:
    budget.check_width(_argument(args, kwargs, 1, "width", 80))


def _check_round(budget: Budget, args: Arguments, kwargs: Keywords) -> None:
    budget.check_width(_argument(args, kwargs, 1, "precision", 0))


def _check_indent(budget: Budget, args: Arguments, kwargs: Keywords) -> None:
    width = _argument(args, kwargs, 1, "width", 4)
    size = len(width) if isinstance(width, str) else width
    budget.check_width(size)
    text = str(args[0])
    if isinstance(size, int):
        budget.check_size(len(text) + (len(text.splitlines()) + 1) * size)


def _check_wordwrap(budget: Budget, args: Arguments, kwargs: Keywords) -> None:
    separator = _argument(args, kwargs, 3, "wrapstring", None) or "\n"
    budget.check_size(len(str(args[0])) * (1 + len(str(separator))))


def _check_replace(budget: Budget, args: Arguments, kwargs: Keywords) -> None:
    old, new = (_argument(args, kwargs, i, n, "") for i, n in ((1, "old"), (2, "new")))
    count = _argument(args, kwargs, 3, "count", None)
    budget.check_replace(str(args[0]), str(old), str(new), count if isinstance(count, int) else -1)


def _check_format(budget: Budget, args: Arguments, kwargs: Keywords) -> None:
    values = flatten_mapping(kwargs, args[1:])
    budget.check_percent_format(str(args[0]), tuple(values))


def _check_batch(budget: Budget, args: Arguments, kwargs: Keywords) -> None:
    for index, name in ((1, "linecount"), (1, "slices")):
        budget.check_count(_argument(args, kwargs, index, name, 1))


def _check_sum(budget: Budget, args: Arguments, kwargs: Keywords) -> None:
    if not isinstance(_argument(args, kwargs, 2, "start", 0), (int, float)):
        raise TypeError("sum adds numbers only")


_CHECKS: dict[str, Callable[[Budget, Arguments, Keywords], None]] = {
    "center": _check_center,
    "round": _check_round,
    "indent": _check_indent,
    "wordwrap": _check_wordwrap,
    "replace": _check_replace,
    "format": _check_format,
    "batch": _check_batch,
    "slice": _check_batch,
    "sum": _check_sum,
}
