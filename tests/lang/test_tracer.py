"""What is known of a program before it runs."""

from __future__ import annotations

import os

import pytest

import sglang as sgl
from sglang.lang import ir
from sglang.lang.chat_template import PLAIN, template_named
from sglang.lang.tracer import Forked
from tests.lang.scripted import ScriptedBackend


def prefix(program, **known) -> str:
    return program.trace(**known).prefix(PLAIN).text


def test_the_prefix_ends_at_the_first_argument() -> None:
    @sgl.function
    def program(s, question):
        s += sgl.system("Be brief.")
        s += sgl.user("Question: " + question)

    assert prefix(program) == "SYSTEM: Be brief.\nUSER: Question: "
    assert prefix(program, question="Who?") == "SYSTEM: Be brief.\nUSER: Question: Who?\n"


def test_the_prefix_ends_at_the_first_generated_text() -> None:
    @sgl.function
    def program(s):
        s += "a" + sgl.gen("x") + "b"

    assert prefix(program) == "a"


def test_a_trace_goes_on_behind_generated_text() -> None:
    @sgl.function
    def program(s, question):
        s += "a" + question + sgl.gen("x")
        s += s["x"]
        forks = s.fork(2)
        forks += "b"
        s += "end"

    trace = program.trace()
    assert trace.complete
    kinds = [type(node).__name__ for node in trace.nodes]
    assert kinds == ["Text", "Placeholder", "Gen", "Placeholder", "Forked", "Text"]
    assert trace.nodes[4] == Forked(([ir.Text("b")], [ir.Text("b")]))


@pytest.mark.parametrize(
    "look",
    [
        lambda s, x: str(x),
        lambda s, x: f"{x}",
        lambda s, x: "%s" % x,  # noqa: UP031
        lambda s, x: x == "y",
        lambda s, x: len(x),
        lambda s, x: list(x),
        lambda s, x: x[0],
        lambda s, x: x.upper(),
        lambda s, x: "y" if x else "z",
        lambda s, x: {x: 1},
        lambda s, x: int(x),
        lambda s, x: os.fspath(x),
        lambda s, x: x(),
        lambda s, x: x * 2,
        lambda s, x: s.text(),
        lambda s, x: s.messages(),
        lambda s, x: s.get_meta_info("x"),
        lambda s, x: list(s.text_iter()),
    ],
)
def test_a_trace_ends_where_the_program_looks_into_something_unknown(look) -> None:
    @sgl.function
    def program(s, x):
        s += "known"
        try:
            look(s, x)
        except Exception as error:  # programs may catch what they like
            raise AssertionError("caught") from error
        s += "unknown"

    trace = program.trace()
    assert (trace.complete, trace.error, trace.nodes) == (False, None, [ir.Text("known")])


def test_an_error_ends_a_trace() -> None:
    @sgl.function
    def program(s):
        s += "known"
        raise LookupError("x")

    trace = program.trace()
    assert trace.nodes == [ir.Text("known")]
    assert isinstance(trace.error, LookupError)


def test_bound_arguments_are_known() -> None:
    @sgl.function
    def program(s, a, b):
        s += f"{a} "
        s += b

    assert prefix(program.bind(a="A")) == "A "


def test_nested_programs_are_traced_too() -> None:
    @sgl.function
    def inner(s, x):
        s += "inner " + x

    @sgl.function
    def outer(s, x):
        s += "outer "
        inner(s, x)

    assert prefix(outer) == "outer inner "


def test_caching_a_program_sends_its_prefix() -> None:
    @sgl.function
    def program(s, x):
        s += sgl.user("Tell me about " + x)

    backend = ScriptedBackend(template=template_named("chatml"))
    program.cache(backend)
    assert backend.cached == ["<|im_start|>user\nTell me about "]


def test_a_program_that_begins_with_an_argument_has_no_prefix() -> None:
    @sgl.function
    def program(s, x):
        s += x

    backend = ScriptedBackend()
    program.cache(backend)
    assert backend.cached == []
