"""Text and token ids that mean nothing but have a given length."""

from __future__ import annotations

import random
import re
import string
from functools import cached_property
from itertools import chain

from sglang.srt.tokenizer.tokenizer import Tokenizer

_WORD = re.compile(r"[a-z]{2,12}")
_REPAIRS = 8


class RandomText:
    """Draws from one vocabulary with one random generator."""

    def __init__(self, tokenizer: Tokenizer, rng: random.Random) -> None:
        self._tokenizer = tokenizer
        self._rng = rng

    def ids(self, length: int) -> list[int]:
        """``length`` token ids, none of them special or added."""
        return self._rng.choices(self._plain_ids, k=length)

    def text(self, length: int) -> str:
        """A text of ``length`` tokens, or as near as the tokenizer allows.

        What the tokenizer puts around a text counts as well.
        """
        words, separator = self._words
        pieces = self._rng.choices(words, k=length)
        for _ in range(_REPAIRS):
            surplus = len(self._tokenizer.encode(separator.join(pieces))) - length
            if surplus == 0:
                break
            if surplus < 0:
                pieces += self._rng.choices(words, k=-surplus)
            else:
                del pieces[max(1, len(pieces) - surplus) :]
        return separator.join(pieces)

    @cached_property
    def _plain_ids(self) -> list[int]:
        tokenizer = self._tokenizer
        others = {*tokenizer.added_tokens.values(), *tokenizer.all_special_ids}
        return [i for i in range(len(tokenizer)) if i not in others]

    @cached_property
    def _words(self) -> tuple[list[str], str]:
        """Pieces of one token each, and what to put between them."""
        texts = {self._tokenizer.decode([i]).strip() for i in self._plain_ids}
        words = sorted(text for text in texts if _WORD.fullmatch(text))
        for pieces, separator in ((words, " "), (list(string.ascii_lowercase), "")):
            if single := self._of_one_token(pieces, separator):
                return single, separator
        raise ValueError("the vocabulary has no plain word or letter to make random text of")

    def _of_one_token(self, pieces: list[str], separator: str) -> list[str]:
        """The pieces that add exactly one token to a text."""
        pairs = ((separator.join([p] * 2), separator.join([p] * 3)) for p in pieces)
        lengths = [len(ids) for ids in self._tokenizer.encode_batch(list(chain(*pairs)))]
        doubles, triples = lengths[::2], lengths[1::2]
        return [p for p, n, m in zip(pieces, doubles, triples, strict=True) if m - n == 1]
