"""What chat and text completions share: finish reasons, usage, ids, and the way to an answer."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from sglang.srt.entrypoints.errors import renamed
from sglang.srt.entrypoints.openai.protocol import CommonRequest
from sglang.srt.entrypoints.sse import event
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.request_state import RequestGroup, SequenceState
from sglang.srt.sampling.sampling_params import GRAMMAR_KINDS


class Answer:
    """Header fields and bookkeeping of one answer, streamed or not."""

    def __init__(
        self,
        state: ServerState,
        request: CommonRequest,
        group: RequestGroup,
        id: str,
        kind: str,
        names: Mapping[str, str],
    ) -> None:
        """``names``: our names of parameters -> those that the client used, for errors."""
        self.request = request
        self.group = group
        self._names = names
        self.cache_report = state.server_args.enable_cache_report
        self._header = {
            "id": id,
            "object": kind,
            "created": int(time.time()),
            "model": state.model_name,
        }
        self._manager = state.manager
        self._streams_usage = request.stream and request.include_usage
        self.count_reasoning_tokens: Callable[[SequenceState], int] | None = None
        """Set where reasoning is told from the rest."""

    def body(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """A whole answer, or one chunk of a stream."""
        body: dict[str, Any] = {**self._header, "choices": choices}
        if self._streams_usage:
            body["usage"] = None
        return body

    def usage(self) -> dict[str, Any]:
        """Token counts; a prompt counts once, however many answers it has."""
        n = self.request.n or 1
        first_of_prompt = self.group.states[::n]
        prompt = sum(len(s.prompt_ids) for s in first_of_prompt)
        completion = sum(len(s.token_ids) for s in self.group.states)
        usage: dict[str, Any] = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": None,
        }
        if self.cache_report:
            cached = sum(s.cached_tokens for s in first_of_prompt)
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
        if self.count_reasoning_tokens is not None:
            reasoning = sum(self.count_reasoning_tokens(s) for s in self.group.states)
            usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
        return usage

    def _raise_failure(self, state: SequenceState) -> None:
        """What the engine says about a grammar is about the field that asked for it."""
        if state.failure is None:
            return
        error = renamed(state.failure, self._names)
        field = error.message.partition(":")[0]
        if error.status == 400 and field in (*GRAMMAR_KINDS, *self._names.values()):
            error.param = field
        raise error

    async def whole(self, choice: Callable[[SequenceState], dict[str, Any]]) -> dict[str, Any]:
        """Wait for all sequences and build the answer."""
        try:
            await self.group.wait()
            for state in self.group.states:
                self._raise_failure(state)
            body = self.body([choice(state) for state in self.group.states])
            body["usage"] = self.usage()
            return body
        finally:
            self._manager.drop(self.group)

    async def events(
        self, chunks: Callable[[SequenceState], list[dict[str, Any]]]
    ) -> AsyncIterator[bytes]:
        """The stream: what ``chunks`` makes of each change, as choices, and the usage at last."""
        try:
            while (state := await self.group.next_change()) is not None:
                self._raise_failure(state)
                # All of a change at once: the state may be another one after the next await.
                data = b"".join([event(self.body([choice])) for choice in chunks(state)])
                if data:
                    yield data
            if self._streams_usage:
                yield event({**self.body([]), "usage": self.usage()})
        finally:
            self._manager.drop(self.group)


def check_model(state: ServerState, request: CommonRequest) -> None:
    """With --strict-model-name, only the served name will do."""
    if not state.server_args.strict_model_name or request.model in (None, state.model_name):
        return
    raise RequestError(
        f"the model {request.model!r} does not exist; this server has {state.model_name!r}",
        status=404,
        param="model",
        code="model_not_found",
    )


def finish_fields(state: SequenceState) -> dict[str, Any]:
    """``finish_reason`` and what it matched."""
    finish = state.finish
    if finish is None:
        return {"finish_reason": None}
    return {"finish_reason": finish["type"], "matched_stop": finish.get("matched")}
