"""The Jinja dialect of chat templates, sandboxed and bounded.

The dialect is the one Hugging Face transformers documents: ``trim_blocks`` and ``lstrip_blocks``,
loop controls, ``raise_exception``, ``strftime_now``, a ``tojson`` that does not escape HTML and
``{% generation %}`` blocks. The sandbox is Jinja's immutable one. On top of it

* loops, literals and ``~`` are rewritten in the syntax tree so that each costs something of the
  rendering's :class:`~sglang.srt.tokenizer.template_budget.Budget`;
* filters, calls, operators and output report to the same budget;
* templates cannot load others, and filters that no chat template needs are left out.

The budget travels in the context of the rendering under a name no template can spell, so one
compiled template serves any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace, pass_context
from jinja2.visitor import NodeTransformer

from sglang.srt.tokenizer.template_budget import (
    MAX_WIDTH,
    TemplateLimitError,
    TemplateLimits,
    budget_of,
    flatten_mapping,
)
from sglang.srt.tokenizer.template_filters import ADMIT, CONCAT, SPEND, make_filters

DENIED_STRING_METHODS = frozenset({"encode", "expandtabs", "format_map", "maketrans", "translate"})


class TemplateRefusalError(Exception):
    """The template itself rejected its input with ``raise_exception``."""


def compile_source(source: str, limits: TemplateLimits) -> tuple[jinja2.Template, nodes.Template]:
    """Compile a chat template; also returns its syntax tree as written.

    Raises jinja2.TemplateSyntaxError or TemplateLimitError.
    """
    if len(source) > limits.source_chars:
        raise TemplateLimitError(f"a template longer than {limits.source_chars} characters")
    environment = ChatEnvironment()
    tree = environment.parse(source)
    for node in tree.find_all((nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)):
        raise jinja2.TemplateSyntaxError("chat templates cannot load other templates", node.lineno)
    metered = _Metering().visit(environment.parse(source))
    code = environment.compile(metered)
    return jinja2.Template.from_code(environment, code, environment.globals), tree


class _Metering(NodeTransformer):
    """Makes loops, literals and concatenation report to the budget."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 (Jinja's dispatch)
        # Literal text of the body counts as well: buffered blocks repeat it for free otherwise.
        literal = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        self.generic_visit(node)
        cost = nodes.Const(1 + literal, lineno=node.lineno)
        node.body.insert(0, nodes.ExprStmt(_filter(cost, SPEND), lineno=node.lineno))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _filter(nodes.List(node.nodes, lineno=node.lineno), CONCAT)

    def _literal(self, node: Any) -> Any:
        is_constant = all(
            isinstance(child, (nodes.Const, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair))
            for child in node.find_all(nodes.Node)
        )
        self.generic_visit(node)
        is_target = getattr(node, "ctx", "load") != "load"
        return node if is_constant or is_target else _filter(node, ADMIT)

    visit_List = visit_Tuple = visit_Dict = _literal  # noqa: N815


def _filter(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class _Generation(Extension):
    """``{% generation %}``: marks what the model wrote, which matters for training only."""

    tags = {"generation"}  # noqa: RUF012 (Jinja's declaration)

    def parse(self, parser: Parser) -> nodes.Node:
        lineno = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=lineno)


class _Namespace(Namespace):
    """Jinja's namespace without private names, and without its contents in its repr."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, positional = args[0], args[1:]
        attributes = dict(*positional, **kwargs)
        for name in attributes:
            _check_public(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_public(name)
        Namespace.__setitem__(self, name, value)

    def __repr__(self) -> str:
        return "<Namespace>"


def _check_public(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace cannot hold the private name {name!r}")


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """Jinja as chat templates know it; see the module."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_Generation, loopcontrols],
            finalize=_output,
            cache_size=0,
        )
        self.globals.pop("lipsum")
        self.globals.update(
            raise_exception=_raise_exception,
            strftime_now=_strftime_now,
            namespace=_Namespace,
            dict=_make_dict,
        )
        self.filters = make_filters(self.filters)
        self.tests["divisibleby"] = _is_divisible_by

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr in DENIED_STRING_METHODS:
            return False
        if isinstance(obj, (int, float)) and attr in ("to_bytes", "from_bytes"):
            return False
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        template: str = value.__self__
        is_map = value.__name__ == "format_map"

        @pass_context
        def checked(context: Context, /, *args: Any, **kwargs: Any) -> str:
            if is_map:
                raise SecurityError("str.format_map is not available in chat templates")
            budget_of(context).check_format(template, flatten_mapping(kwargs, args))
            return wrapped(*args, **kwargs)

        return checked

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        budget = budget_of(context)
        if operator == "*":
            budget.check_multiply(left, right)
        elif operator == "**":
            budget.check_power(left, right)
        elif operator == "+":
            budget.check_add(left, right)
        elif operator == "%" and isinstance(left, str):
            budget.check_percent_format(left, right)
        return budget.admit(super().call_binop(context, operator, left, right))

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        budget = budget_of(context)
        budget.spend()
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str):
            args = budget.check_method(owner, getattr(obj, "__name__", ""), args)
        return budget.admit(super().call(context, obj, *args, **kwargs))


# -- output and globals -------------------------------------------------------------------


@pass_context
def _output(context: Context, value: Any) -> str:
    budget = budget_of(context)
    text = value if isinstance(value, str) else str(budget.admit(value))
    budget.spend(1 + len(text))
    return text


def _raise_exception(message: Any) -> None:
    raise TemplateRefusalError(str(message))


def _strftime_now(pattern: str) -> str:
    if len(pattern) > MAX_WIDTH:
        raise TemplateLimitError(f"a date format longer than {MAX_WIDTH} characters")
    return datetime.now().strftime(pattern)


def _make_dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    return dict(*args, **kwargs)


def _is_divisible_by(value: Any, divisor: Any) -> bool:
    if isinstance(value, str):
        raise TypeError("divisibleby needs a number")
    return bool(value % divisor == 0)
