"""Chat answers as OpenAI writes them: choices, whole or as deltas."""

from __future__ import annotations

from typing import Any

from sglang.srt.entrypoints.openai.answer_parts import PartsReader, message
from sglang.srt.entrypoints.openai.choices import finish_fields
from sglang.srt.entrypoints.openai.logprobs import chat_logprobs
from sglang.srt.entrypoints.openai.protocol import ChatRequest
from sglang.srt.managers.request_state import SequenceState
from sglang.srt.tokenizer.tokenizer import Tokenizer


class ChatFormatter:
    """Turns sequences into choices."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        chat: ChatRequest,
        readers: list[PartsReader],
        *,
        has_reasoning: bool = False,
    ) -> None:
        """``readers`` read the choices in their order; ``has_reasoning``: they take it out."""
        self._tokenizer = tokenizer
        self._chat = chat
        self._readers = readers
        self._has_reasoning = has_reasoning
        self._sent_tokens = [0] * len(readers)
        self._started = [False] * len(readers)

    def choice(self, state: SequenceState) -> dict[str, Any]:
        """The whole answer of one sequence."""
        choice: dict[str, Any] = {
            "index": state.index,
            "message": message(
                self._readers[state.index].advance(state), has_reasoning=self._has_reasoning
            ),
            "logprobs": self._logprobs(state, 0),
            **self._finish_fields(state),
        }
        if self._chat.return_token_ids:
            choice["token_ids"] = state.token_ids
        return choice

    def chunks(self, state: SequenceState) -> list[dict[str, Any]]:
        """The choices of the chunks that tell what is new of a sequence."""
        deltas: list[dict[str, Any]] = []
        if not self._started[state.index]:
            self._started[state.index] = True
            deltas.append({"role": "assistant", "content": ""})
        chunks = [_chunk(state, delta) for delta in deltas]
        chunks += self._pieces(state)
        if state.finish is not None:
            chunks.append(_chunk(state, {}, **self._finish_fields(state)))
        return chunks

    def _pieces(self, state: SequenceState) -> list[dict[str, Any]]:
        deltas = [
            delta for parts in self._readers[state.index].advance(state) for delta in parts.deltas()
        ]
        about_tokens = self._about_tokens(state)
        if about_tokens and not deltas:
            deltas.append({"content": ""})
        chunks = [_chunk(state, delta) for delta in deltas]
        if chunks:
            chunks[0].update(about_tokens)
        return chunks

    def _about_tokens(self, state: SequenceState) -> dict[str, Any]:
        """Fields about the tokens that have not been told of yet, if the request wants any."""
        first = self._sent_tokens[state.index]
        self._sent_tokens[state.index] = len(state.token_ids)
        fields: dict[str, Any] = {}
        if len(state.token_ids) > first:
            if self._chat.logprobs:
                fields["logprobs"] = self._logprobs(state, first)
            if self._chat.return_token_ids:
                fields["token_ids"] = state.token_ids[first:]
        return fields

    def _finish_fields(self, state: SequenceState) -> dict[str, Any]:
        fields = finish_fields(state)
        if fields["finish_reason"] == "stop" and self._readers[state.index].has_calls:
            fields["finish_reason"] = "tool_calls"
        return fields

    def _logprobs(self, state: SequenceState, start: int) -> dict[str, Any] | None:
        if not self._chat.logprobs:
            return None
        if state.output_logprobs is None:
            return {"content": [], "refusal": None}
        top = self._chat.top_logprobs or 0
        return chat_logprobs(self._tokenizer, state.output_logprobs, start, top)


def _chunk(state: SequenceState, delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "index": state.index,
        "delta": delta,
        "logprobs": None,
        "finish_reason": None,
        **more,
    }
