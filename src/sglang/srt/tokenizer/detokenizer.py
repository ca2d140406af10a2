"""Text of a sequence while it grows.

The text of an output is what decoding adds to the prompt: the text of prompt and output decoded
together, less that of the prompt. So a SentencePiece model's answer to "The capital of France is"
starts with " Paris", space included, and with an empty prompt it is plainly
``tokenizer.decode(output_ids)``. A character whose first bytes end the prompt counts as output.

In one case the text depends on a limit: byte tokens of a SentencePiece vocabulary form a run
that decoding takes as a whole, and more than 64 bytes of a run are not waited for (see
:class:`~sglang.srt.tokenizer.token_streams.SentencePieceStream`).
"""

from __future__ import annotations

from collections.abc import Sequence

from sglang.srt.tokenizer.stop_checker import StopChecker
from sglang.srt.tokenizer.token_streams import CONTEXT_TOKENS, make_stream
from sglang.srt.tokenizer.token_table import TokenTable
from sglang.srt.tokenizer.tokenizer import Tokenizer

__all__ = ["IncrementalDetokenizer", "StopChecker"]


class IncrementalDetokenizer:
    """Turns the output tokens of one sequence into text as they arrive.

    ``push`` returns text that is final and ``flush`` the rest; together they give the same text
    however the ids are cut into pushes. U+FFFD appears only for bytes that are no UTF-8. The cost
    of a token does not depend on how many came before, and what is held back is bounded.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompt_ids: Sequence[int],
        *,
        skip_special_tokens: bool = True,
        spaces_between_special_tokens: bool = True,
        visible_special_ids: frozenset[int] = frozenset(),
    ) -> None:
        """``visible_special_ids`` are not skipped in the output in any case."""
        table = tokenizer.token_table
        self._table = table
        skipped = table.special_ids if skip_special_tokens else frozenset()
        self._skipped = skipped - visible_special_ids
        context = _context(table, prompt_ids, skip_special_tokens)
        self._stream = make_stream(table, context, spaces_between_special_tokens)

    def push(self, ids: Sequence[int]) -> str:
        """Text that the next tokens make final; possibly empty."""
        table = self._table
        visible = [i for i in ids if i not in self._skipped and table.is_visible(i, False)]
        return self._stream.push(visible)

    def flush(self) -> str:
        """Text held back so far, at the end of the sequence."""
        return self._stream.flush()


def _context(table: TokenTable, prompt_ids: Sequence[int], skip_special_tokens: bool) -> list[int]:
    """The last visible tokens of the prompt."""
    context: list[int] = []
    for token_id in reversed(prompt_ids):
        if table.is_visible(int(token_id), skip_special_tokens):
            context.append(int(token_id))
            if len(context) == CONTEXT_TOKENS:
                break
    return context[::-1]
