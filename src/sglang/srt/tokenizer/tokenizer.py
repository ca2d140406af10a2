"""The tokenizer users and the server see: text to ids and back, special tokens, chat templates.

It answers as a fast tokenizer of Hugging Face transformers does where the two overlap, without
importing transformers (and torch with it). :func:`load_tokenizer` makes one from a directory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sglang.srt.tokenizer.backends import Backend
from sglang.srt.tokenizer.chat_template import compile_template
from sglang.srt.tokenizer.token_table import TokenTable

NAMED_SPECIAL_TOKENS = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)

NO_TEMPLATE = (
    "this model has no chat template; start the server with --chat-template (a built-in name "
    "or a .jinja or .json file), or use the completions API"
)

_SURROGATE = "text contains an unpaired surrogate (U+D800-U+DFFF)"


class Encoding(dict[str, Any]):
    """``input_ids`` and ``attention_mask`` of one text or of a list; also read as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass(frozen=True)
class SpecialTokens:
    """The roles a checkpoint gives to tokens."""

    named: Mapping[str, str] = field(default_factory=dict)
    """``eos_token`` and the like -> token, without those the checkpoint leaves out."""
    extra: tuple[str, ...] = ()
    """Further special tokens that have no role by name."""


class Tokenizer:
    """Text to ids and back, for one checkpoint. Immutable and safe to share between threads."""

    def __init__(
        self,
        backend: Backend,
        special_tokens: SpecialTokens | None = None,
        *,
        chat_template: str | dict[str, str] | None = None,
        name_or_path: str = "",
        model_max_length: int | None = None,
    ) -> None:
        self.backend = backend
        self.chat_template = chat_template
        self.name_or_path = name_or_path
        self.model_max_length = model_max_length if model_max_length is not None else int(1e30)
        self._special = special_tokens or SpecialTokens()

    # -- text to ids -------------------------------------------------------------------

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Ids of ``text``. Special tokens written in the text become their ids.

        ``add_special_tokens`` adds what the checkpoint puts around a text, such as a BOS.
        Raises ValueError if ``text`` is not a string of Unicode characters.
        """
        return self.encode_batch([text], add_special_tokens)[0]

    def encode_batch(
        self, texts: Sequence[str], add_special_tokens: bool = True
    ) -> list[list[int]]:
        """:meth:`encode` of several texts at once."""
        for text in texts:
            if not isinstance(text, str):
                raise ValueError(f"text must be a string, not {type(text).__name__}")
        try:
            return self.backend.encode_batch(texts, add_special_tokens)
        except (UnicodeEncodeError, TypeError) as error:
            # A lone half of a surrogate pair is a Python string but no text.
            if any(_has_surrogate(text) for text in texts):
                raise ValueError(_SURROGATE) from error
            raise

    def encode_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[list[int]]:
        """Ids of pairs of texts, joined as the checkpoint says, as for a cross-encoder."""
        try:
            return self.backend.encode_pairs(pairs)
        except (UnicodeEncodeError, TypeError) as error:
            if any(_has_surrogate(text) for pair in pairs for text in pair):
                raise ValueError(_SURROGATE) from error
            raise

    def __call__(self, text: str | Sequence[str], add_special_tokens: bool = True) -> Encoding:
        """``input_ids`` and ``attention_mask`` (all ones: nothing is padded), as lists."""
        if isinstance(text, str):
            ids = self.encode(text, add_special_tokens)
            return Encoding(input_ids=ids, attention_mask=[1] * len(ids))
        batch = self.encode_batch(text, add_special_tokens)
        return Encoding(input_ids=batch, attention_mask=[[1] * len(ids) for ids in batch])

    def tokenize(self, text: str, add_special_tokens: bool = False) -> list[str | None]:
        """The vocabulary's spelling of each token of ``text``."""
        return [self.backend.id_to_token(i) for i in self.encode(text, add_special_tokens)]

    # -- ids to text -------------------------------------------------------------------

    def decode(
        self,
        token_ids: int | Iterable[int],
        skip_special_tokens: bool = False,
        *,
        spaces_between_special_tokens: bool = True,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str:
        """Text of ``token_ids``; ids outside the vocabulary are left out.

        ``spaces_between_special_tokens`` has an effect with slow tokenizers only, as in
        transformers. ``clean_up_tokenization_spaces`` is accepted for its callers' sake and
        must not be true: generated text is never edited.
        """
        if clean_up_tokenization_spaces:
            raise ValueError("clean_up_tokenization_spaces=True is not implemented")
        return self.backend.decode(
            _id_list(token_ids), skip_special_tokens, spaces_between_special_tokens
        )

    def batch_decode(
        self,
        sequences: Iterable[Iterable[int]],
        skip_special_tokens: bool = False,
        *,
        spaces_between_special_tokens: bool = True,
    ) -> list[str]:
        """:meth:`decode` of each sequence."""
        return [
            self.decode(
                ids,
                skip_special_tokens,
                spaces_between_special_tokens=spaces_between_special_tokens,
            )
            for ids in sequences
        ]

    @cached_property
    def token_table(self) -> TokenTable:
        """Texts of single tokens, for incremental detokenization."""
        return TokenTable(self.backend)

    # -- vocabulary --------------------------------------------------------------------

    def convert_ids_to_tokens(
        self, ids: int | Iterable[int], skip_special_tokens: bool = False
    ) -> Any:
        """The vocabulary's spelling: a string (or None) for an int, else a list."""
        if isinstance(ids, int):
            return self.backend.id_to_token(ids)
        skipped = set(self.all_special_ids) if skip_special_tokens else set()
        return [self.backend.id_to_token(i) for i in _id_list(ids) if i not in skipped]

    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> Any:
        """Ids of vocabulary entries; what is not one gives the unknown token's id (or None)."""
        if isinstance(tokens, str):
            token_id = self.backend.token_to_id(tokens)
            return self.unk_token_id if token_id is None else token_id
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def get_vocab(self) -> dict[str, int]:
        """Every entry with its id, added tokens included."""
        return self.backend.get_vocab()

    @property
    def vocab(self) -> dict[str, int]:
        """The same as :meth:`get_vocab`."""
        return self.get_vocab()

    @property
    def vocab_size(self) -> int:
        """Entries without the added tokens; ``len(tokenizer)`` counts them as well."""
        return self.backend.vocab_size(with_added_tokens=False)

    def __len__(self) -> int:
        return self.backend.vocab_size(with_added_tokens=True)

    def __bool__(self) -> bool:
        return True

    @property
    def added_tokens(self) -> dict[str, int]:
        """Tokens recognised in the text before all others, with their ids, by id."""
        return {token: token_id for token_id, token in self.backend.added_tokens().items()}

    def get_added_vocab(self) -> dict[str, int]:
        """The same as :attr:`added_tokens`."""
        return self.added_tokens

    @property
    def is_fast(self) -> bool:
        """Whether the tokenizer is data rather than Python code."""
        return self.backend.is_fast

    # -- special tokens ----------------------------------------------------------------

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """Role -> token, for the roles this checkpoint fills."""
        return dict(self._special.named)

    @property
    def all_special_tokens(self) -> list[str]:
        """The named and the further special tokens, each once."""
        return list(dict.fromkeys([*self._special.named.values(), *self._special.extra]))

    @property
    def all_special_ids(self) -> list[int]:
        """Ids of :attr:`all_special_tokens`."""
        return list(self.convert_tokens_to_ids(self.all_special_tokens))

    def _named_id(self, role: str) -> int | None:
        token = self._special.named.get(role)
        return None if token is None else self.backend.token_to_id(token)

    @property
    def bos_token(self) -> str | None:
        """The token that begins a sequence."""
        return self._special.named.get("bos_token")

    @property
    def bos_token_id(self) -> int | None:
        """Id of :attr:`bos_token`."""
        return self._named_id("bos_token")

    @property
    def eos_token(self) -> str | None:
        """The token that ends a sequence."""
        return self._special.named.get("eos_token")

    @property
    def eos_token_id(self) -> int | None:
        """Id of :attr:`eos_token`."""
        return self._named_id("eos_token")

    @property
    def pad_token(self) -> str | None:
        """The token that fills up a batch."""
        return self._special.named.get("pad_token")

    @property
    def pad_token_id(self) -> int | None:
        """Id of :attr:`pad_token`."""
        return self._named_id("pad_token")

    @property
    def unk_token(self) -> str | None:
        """The token for what the vocabulary cannot spell."""
        return self._special.named.get("unk_token")

    @property
    def unk_token_id(self) -> int | None:
        """Id of :attr:`unk_token`."""
        return self._named_id("unk_token")

    # -- chat --------------------------------------------------------------------------

    def get_chat_template(
        self, chat_template: str | None = None, tools: Sequence[Any] | None = None
    ) -> str:
        """The Jinja source to use: an argument (name or source), else the checkpoint's.

        Of several named ones, ``tool_use`` serves requests with tools and ``default`` the rest.
        Raises ValueError if there is none.
        """
        own = self.chat_template
        if isinstance(own, dict):
            if chat_template is not None:
                return own.get(chat_template, chat_template)
            for name in ("tool_use", "default") if tools is not None else ("default",):
                if name in own:
                    return own[name]
            raise ValueError(f"name one of this model's chat templates: {', '.join(sorted(own))}")
        template = chat_template if chat_template is not None else own
        if template is None:
            raise ValueError(NO_TEMPLATE)
        return template

    def apply_chat_template(
        self,
        conversation: Sequence[Any],
        *,
        tools: Sequence[Any] | None = None,
        documents: Sequence[Any] | None = None,
        tokenize: bool = True,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        chat_template: str | None = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Render a conversation, or a list of them, with the model's chat template.

        Returns ids (``list[int]``), with ``tokenize=False`` the text, with ``return_dict=True``
        ``input_ids`` and ``attention_mask``; for a list of conversations a list of each.
        Further keyword arguments are variables of the template.

        Raises ValueError with the template's own words if it refuses the conversation.
        """
        template = compile_template(self.get_chat_template(chat_template, tools))
        batched = bool(conversation) and isinstance(conversation[0], (list, tuple))
        texts = [
            template.render(
                [_without_nulls(message) for message in one],
                tools=tools,
                documents=documents,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=continue_final_message,
                special_tokens=self._special.named,
                variables=kwargs,
            )
            for one in (conversation if batched else [conversation])
        ]
        if not tokenize:
            return texts if batched else texts[0]
        encoding = self(texts if batched else texts[0], add_special_tokens=False)
        return encoding if return_dict else encoding["input_ids"]


def _without_nulls(message: Any) -> Any:
    """The message without keys that hold None, which templates handle worse than missing ones."""
    if not isinstance(message, Mapping):
        return message
    return {key: value for key, value in message.items() if value is not None}


def _id_list(ids: Any) -> list[int]:
    if isinstance(ids, int):
        return [ids]
    return ids if type(ids) is list else [int(i) for i in ids]


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)
