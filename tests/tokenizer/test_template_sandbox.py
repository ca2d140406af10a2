"""Hostile templates: no way out of the sandbox, no way to hang or to fill the memory."""

from __future__ import annotations

import pytest

from sglang.srt.tokenizer.chat_template import ChatTemplate, ChatTemplateError
from sglang.srt.tokenizer.template_budget import TemplateLimits

USER = [{"role": "user", "content": "Hi"}]
SMALL = TemplateLimits(seconds=1.0, output_chars=100_000, value_size=100_000, work=3_000_000)


def render(source, limits=SMALL, **options):
    return ChatTemplate(source, limits).render(USER, **options)


@pytest.mark.parametrize(
    "expression",
    [
        "''.__class__.__mro__",
        "''['__class__']",
        "''|attr('__class__')",
        "messages.__class__.__base__.__subclasses__()",
        "raise_exception.__globals__['os']",
        "raise_exception.__code__.co_code",
        "strftime_now['__globals__']",
        "namespace.__init__.__globals__",
        "cycler.__init__.__globals__.os",
        "dict.__subclasses__()",
        "self.__class__",
        "self._TemplateReference__context['budget of this rendering']",
        "'{0.__class__}'.format('')",
        "'{0[__class__]}'.format('')",
        "'{x.__class__.__mro__}'.format(x=1)",
        "'%s'.format_map({})",
        "['{0.__class__}'|attr('format')][0](1)",
        "['{.__class__}']|map('format', 1)|list",
        "['a']|map(attribute='__class__')|list",
        "(messages|groupby('__class__'))[0]",
        "'x'.encode()",
        "(1).to_bytes(4, 'big')",
        "caller.__globals__",
        "loop.__class__",
        "(1, 2).__class__",
        "messages[0].content.__init__.__globals__",
        "''.join.__self__.__class__",
    ],
)
def test_nothing_leads_out(expression):
    source = "{% for x in [1] %}{{ " + expression + " }}{% endfor %}"
    try:
        text = render(source)
    except ChatTemplateError:
        return
    assert "class" not in text
    assert "module" not in text
    assert "0x" not in text


@pytest.mark.parametrize(
    "statement",
    [
        "messages.append(1)",
        "messages.clear()",
        "messages[0].update(role='x')",
        "messages[0].pop('role')",
        "messages|attr('append')(1)",
        "messages.sort()",
    ],
)
def test_nothing_is_changed(statement):
    with pytest.raises(ChatTemplateError):
        render("{{ " + statement + " }}")


def test_private_names_of_a_namespace_are_refused():
    with pytest.raises(ChatTemplateError, match="private name"):
        render("{% set ns = namespace() %}{% set ns.__class__ = 1 %}")


@pytest.mark.parametrize(
    "source",
    [
        "{% include 'x' %}",
        "{% extends 'x' %}",
        "{% import 'x' as x %}",
        "{% from 'x' import y %}",
    ],
)
def test_other_templates_cannot_be_loaded(source):
    with pytest.raises(ChatTemplateError, match="cannot load other templates"):
        ChatTemplate(source)


LOOP = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}"
END = "{% endfor %}{% endfor %}{% endfor %}"

BOMBS = {
    "loops": LOOP + END,
    "loops that print": LOOP + "x" + END,
    "loops in a macro": "{% macro m() %}" + LOOP + "xxxx" + END + "{% endmacro %}{{ m() }}",
    "loops in a block set": "{% set x %}" + LOOP + "xxxx" + END + "{% endset %}",
    "long text in a loop": "{% set x %}{% for a in range(9999) %}"
    + "y" * 9999
    + "{% endfor %}{% endset %}",
    "recursive macro": "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}"
    "{{ m(60) }}",
    "endless macro": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "recursive loop": "{% for x in [1] recursive %}{{ loop([1]) }}{{ loop([1]) }}{% endfor %}",
    "call block": "{% macro m(n) %}{{ caller() }}{{ caller() }}{% endmacro %}"
    + "{% call m(1) %}" * 19
    + "x" * 99
    + "{% endcall %}" * 19,
    "big range": "{{ range(10**9)|list }}",
    "string times number": "{{ 'x' * 10**9 }}",
    "number times string": "{{ 10**9 * 'x' }}",
    "list times number": "{{ [1] * 10**9 }}",
    "power": "{{ 10 ** (10 ** 10) }}",
    "powers": "{% set ns = namespace(x=7) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}"
    "{% endfor %}",
    "doubling by plus": "{% set ns = namespace(x='x') %}{% for i in range(99) %}"
    "{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "doubling by tilde": "{% set ns = namespace(x='x') %}{% for i in range(99) %}"
    "{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "doubling by set block": "{% set ns = namespace(x='x') %}{% for i in range(99) %}"
    "{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}{% endfor %}",
    "doubling by join": "{% set ns = namespace(x='x') %}{% for i in range(99) %}"
    "{% set ns.x = [ns.x, ns.x]|join %}{% endfor %}",
    "doubling by format": "{% set ns = namespace(x='x') %}{% for i in range(99) %}"
    "{% set ns.x = '{0}{0}'.format(ns.x) %}{% endfor %}",
    "doubling by percent": "{% set ns = namespace(x='x') %}{% for i in range(99) %}"
    "{% set ns.x = '%s%s' % (ns.x, ns.x) %}{% endfor %}",
    "doubling by replace": "{% set ns = namespace(x='x') %}{% for i in range(99) %}"
    "{% set ns.x = ns.x.replace('x', 'xx') %}{% endfor %}",
    "nested lists": "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}"
    "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "nested lists to JSON": "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}"
    "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson }}",
    "nested dicts": "{% set ns = namespace(x={}) %}{% for i in range(99) %}"
    "{% set ns.x = dict(a=ns.x, b=ns.x) %}{% endfor %}{{ ns.x == ns.x }}",
    "nested views": "{% set ns = namespace(x={}) %}{% for i in range(99) %}"
    "{% set ns.x = {'a': ns.x.items(), 'b': ns.x.items()} %}{% endfor %}{{ ns.x }}",
    "nested varargs": "{% macro m(n) %}{% if n %}{{ m(n - 1, varargs, varargs) }}{% else %}"
    "{{ varargs }}{% endif %}{% endmacro %}{{ m(60, 1) }}",
    "method join": "{{ ('x' * 9999).join(range(9999)|map('string')|list) }}",
    "filter join": "{{ (['x' * 9999] * 9)|join('y' * 99999) }}",
    "center": "{{ 'x'|center(10**9) }}",
    "method center": "{{ 'x'.center(10**9) }}",
    "method zfill": "{{ 'x'.zfill(10**9) }}",
    "method ljust": "{{ 'x'.ljust(10**9) }}",
    "expandtabs": "{{ '\t'.expandtabs(10**9) }}",
    "format width": "{{ '%999999999d' % 1 }}",
    "format star": "{{ '%*d' % (10**9, 1) }}",
    "format filter": "{{ '%999999999d'|format(1) }}",
    "str.format width": "{{ '{:999999999}'.format(1) }}",
    "str.format nested": "{{ '{:{}}'.format(1, 10**9) }}",
    "format by test": "{{ '%999999999d' is divisibleby(1) }}",
    "indent": "{{ 'x\nx'|indent(10**9) }}",
    "indent text": "{{ ('\n' * 99999)|indent('x' * 999) }}",
    "tojson indent": "{{ [[[[1]]]]|tojson(indent=10**9) }}",
    "batch": "{{ [1]|batch(10**9, 'x')|list }}",
    "slice": "{{ [1]|slice(10**9)|list }}",
    "round": "{{ 1|round(10**9, 'floor') }}",
    "replace": "{{ ('x' * 9999)|replace('x', 'y' * 9999) }}",
    "wordwrap": "{{ ('x ' * 9999)|wordwrap(1, true, 'y' * 9999) }}",
    "sum of lists": "{{ [[1]]|sum(start=[]) }}",
    "strftime": "{{ strftime_now('%c' * 9999) }}",
    "lipsum": "{{ lipsum(n=10**6) }}",
    "deep nesting": "{{ " + "[" * 3000 + "]" * 3000 + " }}",
    "long source": "x" * 2_000_000,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_end_with_an_error(bomb):
    with pytest.raises(ChatTemplateError):
        render(BOMBS[bomb])


def test_a_time_limit_names_itself():
    limits = TemplateLimits(seconds=0.05)
    with pytest.raises(ChatTemplateError, match=r"more than 0\.05 s"):
        render(LOOP + END, limits)


def test_an_output_limit_names_itself():
    with pytest.raises(ChatTemplateError, match="a prompt of more than 100000"):
        render("{% for i in range(3000) %}" + "x" * 50 + "{% endfor %}")


def test_a_long_conversation_is_no_bomb():
    template = ChatTemplate(
        "{% for m in messages %}<{{ m.role }}>{{ m.content | trim ~ '\n' }}{% endfor %}"
    )
    chat = [{"role": "user", "content": "word " * 200} for _ in range(1000)]
    assert len(template.render(chat)) > 900_000
