"""Decoding tokens as they come, one class per kind of :mod:`.token_table`.

Every stream takes the ids of visible tokens and returns text that will not change any more;
``flush`` returns the rest. The text does not depend on how the ids are cut into pushes, and the
state kept between pushes is bounded.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from typing import Protocol

from sglang.srt.tokenizer.token_table import DecodeKind, TokenTable

BROKEN = "\ufffd"
"""U+FFFD, what stands for bytes that are no UTF-8."""

MAX_HELD_BYTES = 64
"""Longest run of byte tokens that is waited for (SENTENCEPIECE)."""

MAX_HELD_TOKENS = 16
"""Most tokens that are waited for to complete a character (WINDOW)."""

CONTEXT_TOKENS = 6
"""Prompt tokens that may influence the first output tokens (WINDOW)."""


class TokenStream(Protocol):
    """Tokens in, text out."""

    def push(self, ids: Iterable[int]) -> str:
        """New final text."""

    def flush(self) -> str:
        """The text held back so far; the stream has ended."""


def make_stream(table: TokenTable, context: Sequence[int], spaces: bool) -> TokenStream:
    """A stream that goes on after ``context``, the visible tokens at the end of the prompt."""
    if table.kind is DecodeKind.BYTES:
        return ByteStream(table, context)
    if table.kind is DecodeKind.SENTENCEPIECE:
        return SentencePieceStream(table, context)
    if table.kind is DecodeKind.PIECES:
        return PieceStream(table, context)
    return WindowStream(table, context, spaces)


class ByteStream:
    """Concatenates bytes and decodes them as UTF-8; holds at most three of them back."""

    def __init__(self, table: TokenTable, context: Sequence[int]) -> None:
        self._bytes = table.token_bytes
        tail = b"".join([self._bytes[i] for i in context])[-3:]
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._decoder.decode(tail)
        # A character that begins in the prompt belongs to whoever completes it. If nobody
        # does, the prompt was broken and its U+FFFD is not part of the answer.
        self._owes_prompt = bool(self._decoder.getstate()[0])

    def push(self, ids: Iterable[int]) -> str:
        table = self._bytes
        text = self._decoder.decode(b"".join([table[i] for i in ids]))
        return self._without_prompt(text) if self._owes_prompt else text

    def flush(self) -> str:
        text = self._decoder.decode(b"", True)
        return self._without_prompt(text) if self._owes_prompt else text

    def _without_prompt(self, text: str) -> str:
        if text:
            self._owes_prompt = False
        return text.removeprefix(BROKEN)


class SentencePieceStream:
    """Concatenates texts and runs of byte tokens.

    A run that is valid UTF-8 gives its characters, any other run one U+FFFD a byte: the fate of
    its first byte is known only at its end. So a run is held back until it ends, turns out to be
    broken, or has grown to MAX_HELD_BYTES (then its complete characters go out).
    """

    def __init__(self, table: TokenTable, context: Sequence[int]) -> None:
        self._units = table.units
        self._strip_char, self._strip_left = table.strip_left
        if any(self._units[i] != "" for i in context):
            self._strip_left = 0
        self._start_run()
        self._run = self._unfinished_bytes(context)

    def push(self, ids: Iterable[int]) -> str:
        units = self._units
        parts: list[str] = []
        for token_id in ids:
            unit = units[token_id]
            if isinstance(unit, int):
                parts.append(self._push_byte(unit))
            else:
                if self._run or self._is_broken:
                    parts.append(self._end_run())
                parts.append(unit)
        text = "".join(parts)
        return self._stripped(text) if self._strip_left else text

    def flush(self) -> str:
        text = self._end_run()
        return self._stripped(text) if self._strip_left else text

    def _start_run(self) -> None:
        self._run = b""
        self._own_bytes = 0
        self._is_broken = False

    def _push_byte(self, byte: int) -> str:
        if self._is_broken:
            return BROKEN
        self._run += bytes([byte])
        self._own_bytes += 1
        complete, is_valid = _complete_prefix(self._run)
        if not is_valid:
            text = BROKEN * self._own_bytes
            self._start_run()
            self._is_broken = True
            return text
        if len(self._run) >= MAX_HELD_BYTES:
            text = self._run[:complete].decode()
            self._run = self._run[complete:]
            self._own_bytes = len(self._run)
            return text
        return ""

    def _end_run(self) -> str:
        complete, _ = _complete_prefix(self._run)
        is_whole = complete == len(self._run)
        text = self._run.decode() if is_whole else BROKEN * self._own_bytes
        self._start_run()
        return text

    def _unfinished_bytes(self, context: Sequence[int]) -> bytes:
        """The beginning of a character that the prompt's last tokens leave open."""
        tail: list[int] = []
        for token_id in reversed(context[-3:]):
            unit = self._units[token_id]
            if not isinstance(unit, int):
                break
            tail.insert(0, unit)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        decoder.decode(bytes(tail))
        return decoder.getstate()[0]

    def _stripped(self, text: str) -> str:
        while self._strip_left and text:
            if text[0] != self._strip_char:
                self._strip_left = 0
                break
            text = text[1:]
            self._strip_left -= 1
        return text


def _complete_prefix(data: bytes) -> tuple[int, bool]:
    """(length of the complete characters, whether all of it can be the start of UTF-8)."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        # "unexpected end of data" is the one error that more bytes can mend.
        return error.start, error.reason == "unexpected end of data"
    return len(data), True


class PieceStream:
    """Concatenates texts of which only the first of all is special."""

    def __init__(self, table: TokenTable, context: Sequence[int]) -> None:
        self._table = table
        self._is_first = not context

    def push(self, ids: Iterable[int]) -> str:
        ids = list(ids)
        if not ids:
            return ""
        pieces = self._table.pieces
        text = "".join([pieces[i] for i in ids[1:]])
        first = self._table.first_pieces[ids[0]] if self._is_first else pieces[ids[0]]
        self._is_first = False
        return first + text

    def flush(self) -> str:
        return ""


class WindowStream:
    """Re-decodes the last few tokens and takes what is new: right for any local decoder."""

    def __init__(self, table: TokenTable, context: Sequence[int], spaces: bool) -> None:
        self._table = table
        self._spaces = spaces
        self._window = list(context[-CONTEXT_TOKENS:])
        self._settled = len(self._window)
        self._settled_text = self._decode(self._window)

    def push(self, ids: Iterable[int]) -> str:
        return "".join([self._push_one(token_id) for token_id in ids])

    def flush(self) -> str:
        return self._settle(self._decode(self._window))

    def _push_one(self, token_id: int) -> str:
        self._window.append(token_id)
        text = self._decode(self._window)
        held = len(self._window) - self._settled
        is_open = text.endswith(BROKEN) or len(text) <= len(self._settled_text)
        return "" if is_open and held < MAX_HELD_TOKENS else self._settle(text)

    def _settle(self, text: str) -> str:
        new = text[len(self._settled_text) :]
        # The tokens just settled stay as the context of the next ones.
        self._window = self._window[self._settled :][-CONTEXT_TOKENS:]
        self._settled = len(self._window)
        self._settled_text = self._decode(self._window)
        return new

    def _decode(self, ids: list[int]) -> str:
        return self._table.decode_window(ids, self._spaces)
