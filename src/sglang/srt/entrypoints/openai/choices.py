"""What chat and text completions share: finish reasons, usage, ids, and chunks."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from sglang.srt.entrypoints.openai.answer_run import AnswerRun
from sglang.srt.entrypoints.openai.protocol import CommonRequest
from sglang.srt.entrypoints.sse import event
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.request_state import SequenceState


class Answer:
    """Header fields and usage of one answer, streamed or not."""

    def __init__(
        self, state: ServerState, request: CommonRequest, run: AnswerRun, id: str, kind: str
    ) -> None:
        self._run = run
        self._cache_report = state.server_args.enable_cache_report
        self._header = {
            "id": id,
            "object": kind,
            "created": int(time.time()),
            "model": state.model_name,
        }
        options = request.stream_options if request.stream else None
        self._streams_usage = options is not None and options.include_usage
        self._counts_on = options is not None and options.continuous_usage_stats

    async def whole(
        self,
        choice: Callable[[SequenceState], dict[str, Any]],
        best: Callable[[list[SequenceState]], list[SequenceState]] | None = None,
    ) -> dict[str, Any]:
        """Wait for all sequences and build the answer, of all of them or of the best."""
        states = await self._run.finished()
        choices = [choice(state) for state in (states if best is None else best(states))]
        body = self._body([{**each, "index": i} for i, each in enumerate(choices)])
        body["usage"] = self._usage()
        return body

    async def events(
        self, chunks: Callable[[SequenceState], list[dict[str, Any]]]
    ) -> AsyncIterator[bytes]:
        """The stream: what ``chunks`` makes of each change, as choices, and the usage at last."""
        async with aclosing(self._run.changes()) as changes:
            async for state in changes:
                data = b"".join([event(self._body([choice])) for choice in chunks(state)])
                if data:
                    yield data
        if self._streams_usage:
            yield event({**self._body([]), "usage": self._usage()})

    def _body(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """A whole answer, or one chunk of a stream."""
        body: dict[str, Any] = {**self._header, "choices": choices}
        if self._streams_usage:
            body["usage"] = self._usage() if self._counts_on else None
        return body

    def _usage(self) -> dict[str, Any]:
        counts = self._run.counts()
        usage: dict[str, Any] = {
            "prompt_tokens": counts.prompt,
            "completion_tokens": counts.completion,
            "total_tokens": counts.prompt + counts.completion,
            "prompt_tokens_details": None,
        }
        if self._cache_report:
            usage["prompt_tokens_details"] = {"cached_tokens": counts.cached}
        if counts.reasoning is not None:
            usage["completion_tokens_details"] = {"reasoning_tokens": counts.reasoning}
        return usage


def check_model(state: ServerState, model: str | None) -> None:
    """With --strict-model-name, only the served name will do."""
    if not state.server_args.strict_model_name or model in (None, state.model_name):
        return
    raise RequestError(
        f"the model {model!r} does not exist; this server has {state.model_name!r}",
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
