"""What a chat template expects of its messages, read from its syntax tree.

Templates differ in ways that no field declares: some want ``content`` as a string, some as a list
of parts, some both; some print a tool call's ``arguments`` as text, some as JSON. These are
properties of the source, so they are looked up there once, when the template is compiled.
"""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import nodes


@dataclass(frozen=True)
class TemplateTraits:
    """Facts about a template that decide how messages are prepared for it."""

    takes_parts: bool = False
    """It goes through ``content`` as a list of parts."""
    takes_strings: bool = True
    """It can handle ``content`` that is a string."""
    knows_developer: bool = False
    """It has words for the role ``developer``."""
    tests_none: bool = False
    """It asks whether ``content`` is none."""
    tests_defined: bool = False
    """It asks whether ``content`` is there at all."""
    arguments_as_text: bool = False
    """It puts a tool call's arguments into the prompt as the string they came as."""
    uses_tools: bool = False
    """It mentions ``tools``."""


def read_traits(tree: nodes.Template) -> TemplateTraits:
    """Look up the traits of a parsed template."""
    parents = {id(child): node for node in _walk(tree) for child in node.iter_child_nodes()}
    content = _uses(tree, "content")
    arguments = _uses(tree, "arguments")
    tests = {_test_on(node, parents) for node in content}
    strings = {node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)}
    takes_parts = any(_is_taken_apart(node, parents) for node in content)
    return TemplateTraits(
        takes_parts=takes_parts,
        takes_strings=not takes_parts or bool(tests & {"string", "mapping", "iterable"}),
        knows_developer="developer" in strings,
        tests_none="none" in tests,
        tests_defined=bool(tests & {"defined", "undefined"}) or _asks_for_key(tree, "content"),
        arguments_as_text=_is_printed(arguments, parents),
        uses_tools=any(name.name == "tools" for name in tree.find_all(nodes.Name)),
    )


def _walk(tree: nodes.Node) -> list[nodes.Node]:
    return [tree, *tree.find_all(nodes.Node)]


def _uses(tree: nodes.Template, key: str) -> list[nodes.Node]:
    """Expressions that read a message's ``key``, directly or by way of a variable."""
    aliases: set[str] = set()
    macros = {macro.name: macro for macro in tree.find_all(nodes.Macro)}

    def is_use(node: nodes.Node | None) -> bool:
        if isinstance(node, nodes.Getattr):
            return node.attr == key
        if isinstance(node, nodes.Getitem):
            return isinstance(node.arg, nodes.Const) and node.arg.value == key
        return isinstance(node, nodes.Name) and node.name in aliases and node.ctx == "load"

    while True:
        known = len(aliases)
        for assign in tree.find_all(nodes.Assign):
            if isinstance(assign.target, nodes.Name) and is_use(_unfiltered(assign.node)):
                aliases.add(assign.target.name)
        for call in tree.find_all(nodes.Call):
            macro = macros.get(call.node.name) if isinstance(call.node, nodes.Name) else None
            for parameter, argument in zip(macro.args if macro else [], call.args, strict=False):
                if is_use(argument):
                    aliases.add(parameter.name)
        if len(aliases) == known:
            return [node for node in _walk(tree) if is_use(node)]


def _unfiltered(node: nodes.Node | None) -> nodes.Node | None:
    while isinstance(node, nodes.Filter):
        node = node.node
    return node


def _test_on(node: nodes.Node, parents: dict[int, nodes.Node]) -> str | None:
    parent = parents.get(id(node))
    return parent.name if isinstance(parent, nodes.Test) and parent.node is node else None


def _is_taken_apart(node: nodes.Node, parents: dict[int, nodes.Node]) -> bool:
    """Whether this use of the content treats it as a list of parts."""
    parent = parents.get(id(node))
    while isinstance(parent, nodes.Filter) and parent.node is node:
        if parent.name in ("selectattr", "rejectattr", "map"):
            return True
        node, parent = parent, parents.get(id(parent))
    if isinstance(parent, nodes.For):
        return parent.iter is node
    if isinstance(parent, nodes.Getitem) and isinstance(parent.arg, nodes.Const):
        above = parents.get(id(parent))
        if isinstance(parent.arg.value, int):
            return isinstance(above, nodes.Getattr) or (
                isinstance(above, nodes.Getitem) and above.node is parent
            )
    return False


def _asks_for_key(tree: nodes.Template, key: str) -> bool:
    """``'key' in message``"""
    return any(
        isinstance(compare.expr, nodes.Const)
        and compare.expr.value == key
        and any(operand.op in ("in", "notin") for operand in compare.ops)
        for compare in tree.find_all(nodes.Compare)
    )


def _is_printed(uses: list[nodes.Node], parents: dict[int, nodes.Node]) -> bool:
    """Whether a value is only ever printed or concatenated as it is."""
    printed = False
    for node in uses:
        parent = parents.get(id(node))
        if isinstance(parent, (nodes.Filter, nodes.Test, nodes.For, nodes.Call, nodes.Getattr)):
            if getattr(parent, "name", "") in ("string", "trim", "safe", "defined"):
                continue
            return False
        if isinstance(parent, (nodes.Add, nodes.Concat, nodes.Output)):
            printed = True
    return printed
