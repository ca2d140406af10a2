"""Structural tags: free text in which certain beginnings start a constrained part.

``{"type": "structural_tag", "triggers": ["<function="], "structures": [{"begin":
"<function=add>", "schema": {...}, "end": "</function>"}]}``: as soon as a trigger is written, one
of the structures that begin with it must follow, up to its end. Two further fields, both false
where they are missing: ``at_least_one`` (the output begins with a structure) and
``stop_after_first`` (the output ends with the end of a structure).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sglang.srt.constrained.grammar import GrammarError
from sglang.srt.constrained.json_schema import read_schema

MAX_STRUCTURES = 1000
_FIELDS = {"type", "structures", "triggers", "at_least_one", "stop_after_first"}


@dataclass(frozen=True, slots=True)
class Structure:
    begin: str
    schema: dict[str, Any]
    end: str


@dataclass(frozen=True, slots=True)
class StructuralTag:
    structures: tuple[Structure, ...]
    triggers: tuple[str, ...]
    at_least_one: bool = False
    stop_after_first: bool = False

    def of_trigger(self, trigger: str) -> list[int]:
        """The structures that ``trigger`` can begin."""
        return [i for i, s in enumerate(self.structures) if s.begin.startswith(trigger)]


def parse_structural_tag(text: str) -> StructuralTag:
    """The structural tag in JSON ``text``.

    Raises:
        GrammarError: naming the field.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GrammarError(f"not JSON: {error}") from None
    if not isinstance(raw, dict) or raw.get("type") != "structural_tag":
        raise GrammarError('must be an object with "type": "structural_tag"')
    if unknown := raw.keys() - _FIELDS:
        raise GrammarError(f"unknown field {min(unknown)!r}")
    structures = _list(raw, "structures", Mapping)
    triggers = _list(raw, "triggers", str)
    tag = StructuralTag(
        tuple(_structure(i, part) for i, part in enumerate(structures)),
        tuple(dict.fromkeys(triggers)),
        *(_flag(raw, name) for name in ("at_least_one", "stop_after_first")),
    )
    for i, structure in enumerate(tag.structures):
        if not any(structure.begin.startswith(trigger) for trigger in tag.triggers):
            raise GrammarError(f"structures[{i}].begin begins with none of the triggers")
    for i, trigger in enumerate(tag.triggers):
        if not trigger or not tag.of_trigger(trigger):
            raise GrammarError(f"triggers[{i}]: no structure begins with {trigger[:60]!r}")
    return tag


def tags_to_lark(
    tag: StructuralTag,
    special_tokens: Mapping[str, int],
    json_options: Mapping[str, Any],
    eos_token_ids: Collection[int] = (),
) -> str:
    """A Lark grammar for llguidance.

    ``special_tokens``, text to id, are never spelled by other tokens in a row.
    ``json_options`` are llguidance's for JSON. Free text has no special tokens, unless a trigger
    only begins with one: then that one may also begin something else, and others but
    ``eos_token_ids`` may follow, as in Harmony's messages.
    """
    spell = _Speller(special_tokens)
    lines = [r"TEXT: /(.|\n)*/"]
    calls, firsts = [], []
    shared_heads: dict[str, list[str]] = {}
    """Special tokens that begin triggers, and what makes triggers of them."""
    for i, trigger in enumerate(tag.triggers):
        head, *rest = spell.pieces(trigger)
        if rest and not head.startswith('"'):
            shared_heads.setdefault(head, []).append(trigger.removeprefix(spell.text_of(head)))
        lazy = "[lazy]" if head.startswith('"') else ""
        lines.append(f"head{i}{lazy}: TEXT {head}")
        bodies = [
            _body(tag.structures[k], trigger, spell, json_options) for k in tag.of_trigger(trigger)
        ]
        lines.append(f"call{i}: " + " | ".join(bodies))
        calls.append(" ".join([f"head{i}", *rest, f"call{i}"]))
        firsts.append(" ".join([head, *rest, f"call{i}"]))
    one, first = " | ".join(calls), " | ".join(firsts)
    if sum(map(len, shared_heads.values())) == len(tag.triggers):
        other, rules = _other_specials(shared_heads, spell, eos_token_ids)
        start = _start_among_specials(tag, first, other)
        lines += rules
    elif tag.at_least_one:
        start = f"({first})" if tag.stop_after_first else f"({first}) ({one})* TEXT"
    else:
        start = f"TEXT | {one}" if tag.stop_after_first else f"({one})* TEXT"
    return "\n".join([f"start: {start}", *lines])


def _start_among_specials(tag: StructuralTag, call: str, other: str) -> str:
    """Every special token begins a call or is an ``other``; text follows it."""
    if tag.at_least_one:
        return f"({call})" if tag.stop_after_first else f"({call}) TEXT (({call}) TEXT | {other})*"
    if tag.stop_after_first:
        return f"TEXT ({other})* ({call})?"
    return f"TEXT (({call}) TEXT | {other})*"


def _other_specials(
    shared_heads: Mapping[str, list[str]], spell: _Speller, eos_token_ids: Collection[int]
) -> tuple[str, list[str]]:
    """Special tokens that begin no trigger, each with the text behind it; and rules for them."""
    choices, rules = [], []
    for i, (head, rests) in enumerate(shared_heads.items()):
        triggers = "|".join(_lark_regex(rest) for rest in rests)
        rules.append(rf"OTHER{i}: /(.|\n)*/ & ~/({triggers})(.|\n)*/")
        choices.append(f"{head} OTHER{i}")
    plain = [i for i in spell.ids if f"<[{i}]>" not in shared_heads and i not in eos_token_ids]
    if plain:
        choices.append(f"<[{','.join(map(str, plain))}]> TEXT")
    return " | ".join(choices), rules


def _lark_regex(text: str) -> str:
    return re.escape(text).replace("/", r"\/")


def _body(
    structure: Structure, trigger: str, spell: _Speller, json_options: Mapping[str, Any]
) -> str:
    """What follows a trigger."""
    schema = json.dumps({**structure.schema, "x-guidance": json_options})
    begin = spell.pieces(structure.begin.removeprefix(trigger))
    return " ".join([*begin, f"%json {schema}", *spell.pieces(structure.end)])


class _Speller:
    """Writes texts as literals and special tokens."""

    def __init__(self, special_tokens: Mapping[str, int]) -> None:
        longest_first = sorted(special_tokens, key=len, reverse=True)
        self._special = special_tokens
        self.ids = sorted(special_tokens.values())
        self._split = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")

    def text_of(self, piece: str) -> str:
        """The special token that :meth:`pieces` wrote as ``piece``."""
        return next(text for text, i in self._special.items() if f"<[{i}]>" == piece)

    def pieces(self, text: str) -> list[str]:
        parts = self._split.split(text) if self._special else [text]
        return [self._piece(part) for part in parts if part]

    def _piece(self, part: str) -> str:
        if part in self._special:
            return f"<[{self._special[part]}]>"
        return json.dumps(part, ensure_ascii=False)


def _structure(index: int, raw: Mapping[str, Any]) -> Structure:
    where = f"structures[{index}]"
    if unknown := raw.keys() - {"begin", "schema", "end"}:
        raise GrammarError(f"{where}: unknown field {min(unknown)!r}")
    begin, end, schema = raw.get("begin"), raw.get("end", ""), raw.get("schema")
    if not isinstance(begin, str) or not begin or not isinstance(end, str):
        raise GrammarError(f"{where}: begin must be a text that is not empty, end a text")
    try:
        return Structure(begin, read_schema(json.dumps(schema)), end)
    except GrammarError as error:
        raise GrammarError(f"{where}.schema: {error}") from None


def _list(raw: Mapping[str, Any], name: str, kind: type) -> list[Any]:
    items = raw.get(name)
    if not isinstance(items, list) or not 0 < len(items) <= MAX_STRUCTURES:
        raise GrammarError(f"{name} must be a list of 1 to {MAX_STRUCTURES} items")
    if not all(isinstance(item, kind) for item in items):
        what = "texts" if kind is str else "objects"
        raise GrammarError(f"{name} must be a list of {what}")
    return items


def _flag(raw: Mapping[str, Any], name: str) -> bool:
    value = raw.get(name, False)
    if not isinstance(value, bool):
        raise GrammarError(f"{name} must be true or false")
    return value
