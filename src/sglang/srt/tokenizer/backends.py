"""What turns text into ids and back: a tokenizer file read by ``tokenizers``, or transformers.

:class:`FastBackend` is the usual one and imports nothing heavy. :class:`TransformersBackend`
drives a Python tokenizer of transformers, for checkpoints that ship one of their own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

from tokenizers import Tokenizer as TokenizerCore


class Backend(Protocol):
    """The operations a :class:`~sglang.srt.tokenizer.tokenizer.Tokenizer` is built on."""

    is_fast: bool

    def encode_batch(self, texts: Sequence[str], add_special_tokens: bool) -> list[list[int]]:
        """Ids of each text; thread-safe, and does not hold the interpreter lock for long."""

    def encode_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[list[int]]:
        """Ids of each pair of texts, with the special tokens that belong around and between."""

    def decode(self, ids: Sequence[int], skip_special_tokens: bool, spaces: bool) -> str:
        """Text of ``ids`` decoded as a whole; ids outside the vocabulary are left out."""

    def id_to_token(self, token_id: int) -> str | None:
        """The vocabulary's spelling of a token, None outside the vocabulary."""

    def token_to_id(self, token: str) -> int | None:
        """The id of a vocabulary entry, None if there is none."""

    def get_vocab(self) -> dict[str, int]:
        """Every entry with its id, added tokens included."""

    def vocab_size(self, with_added_tokens: bool) -> int:
        """Number of entries."""

    def added_tokens(self) -> dict[int, str]:
        """Tokens that are matched in the text before the model sees it."""

    def special_ids(self) -> frozenset[int]:
        """Added tokens that ``skip_special_tokens`` leaves out."""

    def decoder_spec(self) -> dict[str, Any] | None:
        """The decoder as ``tokenizer.json`` describes it.

        None if there is none; ``{"type": "Opaque"}`` if the rule is code rather than data.
        """

    def to_json(self) -> str | None:
        """The whole tokenizer as ``tokenizer.json`` describes it, None if it is code."""


class FastBackend:
    """A ``tokenizers.Tokenizer``."""

    is_fast = True

    def __init__(self, core: TokenizerCore) -> None:
        # A file may carry the lengths of its training run; serving never cuts or pads.
        core.no_truncation()
        core.no_padding()
        self._core = core

    def encode_batch(self, texts: Sequence[str], add_special_tokens: bool) -> list[list[int]]:
        # The batch call releases the interpreter lock and skips offsets, also for one text.
        encodings = self._core.encode_batch_fast(list(texts), add_special_tokens=add_special_tokens)
        return [encoding.ids for encoding in encodings]

    def encode_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[list[int]]:
        return [encoding.ids for encoding in self._core.encode_batch_fast(list(pairs))]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool, spaces: bool) -> str:
        # Fast tokenizers put no spaces of their own around special tokens, whatever is asked.
        return str(self._core.decode(ids, skip_special_tokens=skip_special_tokens))

    def id_to_token(self, token_id: int) -> str | None:
        token: str | None = self._core.id_to_token(token_id)
        return token

    def token_to_id(self, token: str) -> int | None:
        token_id: int | None = self._core.token_to_id(token)
        return token_id

    def get_vocab(self) -> dict[str, int]:
        return dict(self._core.get_vocab(with_added_tokens=True))

    def vocab_size(self, with_added_tokens: bool) -> int:
        return int(self._core.get_vocab_size(with_added_tokens=with_added_tokens))

    def added_tokens(self) -> dict[int, str]:
        decoder = self._core.get_added_tokens_decoder()
        return {token_id: decoder[token_id].content for token_id in sorted(decoder)}

    def special_ids(self) -> frozenset[int]:
        decoder = self._core.get_added_tokens_decoder()
        return frozenset(token_id for token_id, token in decoder.items() if token.special)

    def decoder_spec(self) -> dict[str, Any] | None:
        decoder = self._core.decoder
        if decoder is None:
            return None
        try:
            spec = json.loads(decoder.__getstate__())
        except Exception:  # a decoder written in Python has no description
            return {"type": "Opaque"}
        return spec if isinstance(spec, dict) else {"type": "Opaque"}

    def to_json(self) -> str | None:
        return str(self._core.to_str())


class TransformersBackend:
    """A Python tokenizer of transformers (no ``tokenizers`` core inside)."""

    is_fast = False

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def encode_batch(self, texts: Sequence[str], add_special_tokens: bool) -> list[list[int]]:
        return [
            list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens))
            for text in texts
        ]

    def encode_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[list[int]]:
        return [list(self._tokenizer.encode(first, second)) for first, second in pairs]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool, spaces: bool) -> str:
        text = self._tokenizer.decode(
            list(ids),
            skip_special_tokens=skip_special_tokens,
            spaces_between_special_tokens=spaces,
            clean_up_tokenization_spaces=False,
        )
        return str(text)

    def id_to_token(self, token_id: int) -> str | None:
        if not 0 <= token_id < len(self._tokenizer):
            return None
        token = self._tokenizer.convert_ids_to_tokens(token_id)
        return None if token is None else str(token)

    def token_to_id(self, token: str) -> int | None:
        return self.get_vocab().get(token)

    def get_vocab(self) -> dict[str, int]:
        return dict(self._tokenizer.get_vocab())

    def vocab_size(self, with_added_tokens: bool) -> int:
        return len(self._tokenizer) if with_added_tokens else int(self._tokenizer.vocab_size)

    def added_tokens(self) -> dict[int, str]:
        return {token_id: token for token, token_id in self._tokenizer.get_added_vocab().items()}

    def special_ids(self) -> frozenset[int]:
        return frozenset(self._tokenizer.all_special_ids)

    def decoder_spec(self) -> dict[str, Any] | None:
        return {"type": "Opaque"}

    def to_json(self) -> str | None:
        return None
