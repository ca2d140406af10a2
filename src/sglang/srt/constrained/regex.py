"""Regular expressions as users write them, for engines that are not Python's.

What comes out of a constraint is checked with ``re.fullmatch`` by those who asked for it. The
engines know mostly the same syntax, with differences in what it means; what is made here of an
expression matches nothing that Python would not match.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sglang.srt.constrained.grammar import GrammarError, Unsupported

MAX_GROUP_DEPTH = 100
"""The engines recurse over groups, so deeper ones are refused before they see them."""

_QUANTIFIER = re.compile(r"\{(\d*)(,?)(\d*)\}")
_RUST_WORD = r"[\p{L}\p{N}_]&&\p{age:13.0}"
"""The letters and digits that Python 3.10 takes for word characters, too."""
_ASCII = {r"\w": "a-zA-Z0-9_", r"\s": r" \t\n\r\f\v"}
_STARTS, _ENDS = ("^", r"\A"), ("$", r"\Z", r"\z")
_PLAIN_ESCAPES = set("wdsnrtfvxu")


def for_rust(pattern: str) -> str:
    """``pattern`` for the engines of llguidance and outlines-core.

    Raises:
        GrammarError: groups are nested too deep, or a class is not closed.
    """
    parts = []
    for piece in _pieces(pattern):
        if piece == r"\w":
            piece = f"[{_RUST_WORD}]"
        elif piece == r"\d":
            piece = "[0-9]"
        elif piece in (r"\<", r"\>"):  # the borders of words, for Rust
            piece = piece[1]
        elif piece.startswith("[^"):
            piece = _replace(piece, r"\W", f"[^{_RUST_WORD}]")
        elif piece.startswith("["):
            piece = _replace(_replace(piece, r"\w", f"[{_RUST_WORD}]"), r"\d", "0-9")
        parts.append(piece)
    return "".join(parts)


def for_xgrammar(pattern: str) -> str:
    """``pattern`` for XGrammar, which knows ASCII classes only and ignores anchors.

    Raises:
        GrammarError: as :func:`for_rust`.
        Unsupported: XGrammar has no way to say it, or means something else by it.
    """
    parts = []
    for piece in _pieces(pattern):
        is_class = piece.startswith("[")
        letters = set(re.findall(r"\\([A-Za-z])", piece))
        if piece in ("^", "$") or not letters <= _PLAIN_ESCAPES:
            raise Unsupported(f"XGrammar does not know {piece}")
        if piece.startswith("[^") and letters & {"w", "d", "s"}:
            raise Unsupported(f"{piece} would allow characters outside of ASCII")
        if piece == ".":
            piece = r"[^\n]"
        elif piece in (r"\w", r"\s"):
            piece = f"[{_ASCII[piece]}]"
        elif is_class:
            for escape, members in _ASCII.items():
                piece = _replace(piece, escape, members)
        parts.append(piece)
    return "".join(parts)


def _pieces(pattern: str) -> Iterator[str]:
    """Escapes, classes, repetitions and single characters.

    Anchors at the ends of the whole, or of its alternatives, are left out: all has to match anyway.
    What only Python takes literally comes with a backslash.
    """
    depth = position = 0
    begins = True
    """Nothing of this alternative has been seen."""
    while position < len(pattern):
        start, char = position, pattern[position]
        if char == "\\":
            piece = _escape(pattern, position)
            position += len(piece)
        elif char == "[":
            piece, position = _char_class(pattern, position)
        elif char == "{":
            piece, position = _braces(pattern, position)
        else:
            piece = char
            position += 1
            depth += (char == "(") - (char == ")")
            if depth > MAX_GROUP_DEPTH:
                raise GrammarError(
                    f"groups are nested deeper than {MAX_GROUP_DEPTH} at character {start}"
                )
        ends = position >= len(pattern) or pattern[position] == "|"
        is_anchor = (begins and piece in _STARTS) or (ends and piece in _ENDS)
        if depth or not is_anchor:
            yield piece
            begins = piece == "|" and depth == 0


def _escape(pattern: str, start: int) -> str:
    """A backslash and what belongs to it, such as ``{...}`` behind ``\\p``."""
    found = re.compile(r"\\[pPxuU]\{[^}]*\}").match(pattern, start)
    return found[0] if found else pattern[start : start + 2]


def _char_class(pattern: str, start: int) -> tuple[str, int]:
    """The class that begins at ``start``, and the position behind it."""
    head = "[^" if pattern.startswith("[^", start) else "["
    parts = [head]
    position = start + len(head)
    while position < len(pattern):
        char = pattern[position]
        if char == "]" and len(parts) > 1:
            return "".join([*parts, "]"]), position + 1
        length = 2 if char == "\\" else 1
        # Rust knows sets inside of sets, and operations on them; Python does not.
        parts.append("\\" + char if char in "[]&~" else pattern[position : position + length])
        position += length
    raise GrammarError(f"the character class that begins at character {start} is not closed")


def _replace(char_class: str, escape: str, members: str) -> str:
    """``char_class`` with ``members`` in the place of an escape."""
    pairs = re.findall(r"\\.|[^\\]", char_class, re.DOTALL)
    return "".join(members if pair == escape else pair for pair in pairs)


def _braces(pattern: str, start: int) -> tuple[str, int]:
    """A repetition as it is, a lone brace as a character."""
    found = _QUANTIFIER.match(pattern, start)
    if found is None or not (found[1] or (found[2] and found[3])):
        return r"\{", start + 1
    low, comma, high = found.groups()
    return f"{{{low or 0}{comma}{high}}}", found.end()
