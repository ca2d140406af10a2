"""When things happened to requests, and who is told of it: the metrics and the log."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Any

from sglang.srt.logs.request_id import REQUEST_ID, TRACEPARENT
from sglang.srt.managers.io_struct import GenerateReqInput
from sglang.srt.managers.request_state import RequestGroup, SequenceState, SequenceTimes
from sglang.srt.metrics.tracing import Phase

if TYPE_CHECKING:
    from sglang.srt.metrics.server_metrics import ServerMetrics
    from sglang.srt.metrics.tracing import RequestTracer
    from sglang.srt.server_args import ServerArgs

logger = logging.getLogger(__name__)

SHOWN = 2048
"""Characters of a prompt or an answer, or numbers of a list, that a log line shows."""


class RequestWatch:
    """Follows every sequence from its arrival to its end. Times are of the monotonic clock."""

    def __init__(
        self, args: ServerArgs, metrics: ServerMetrics | None, tracer: RequestTracer | None = None
    ) -> None:
        self._metrics = metrics
        self._tracer = tracer
        self._model_name = args.served_model_name
        self._logs_requests = args.log_requests
        self._logs_times = args.show_time_cost

    @property
    def is_needed(self) -> bool:
        """Whether anybody is told."""
        is_watched = self._metrics is not None or self._tracer is not None
        return is_watched or self._logs_requests or self._logs_times

    def close(self) -> None:
        """Tell what has not been told yet; this may take some seconds."""
        if self._tracer is not None:
            self._tracer.close()

    def sent(self, group: RequestGroup, obj: GenerateReqInput, created: float, now: float) -> None:
        """A request that came at ``created`` is on its way to the engine."""
        for state in group.states:
            state.times = SequenceTimes(
                created, now, REQUEST_ID.get(), obj.log_metrics, TRACEPARENT.get()
            )
        if self._metrics is not None and obj.log_metrics:
            self._metrics.function("tokenize", now - created)
        if self._logs_requests:
            rids = [state.rid for state in group.states]
            fields = {"rids": rids, "request_id": REQUEST_ID.get(), "request": _shown_fields(obj)}
            logger.info("Receive: %s", fields, extra={"fields": fields})

    def admitted(self, state: SequenceState, at: float) -> None:
        """The sequence left the queue for a step that began at ``at``."""
        times = state.times
        if times is None:
            return
        times.admitted = at
        if self._metrics is not None and times.measured:
            self._metrics.waited(max(at - times.sent, 0.0))

    def received(self, state: SequenceState, count: int, now: float) -> None:
        """``count`` new tokens have come for a sequence."""
        times = state.times
        if times is None or not count:
            return
        if self._metrics is not None and times.measured:
            self._metrics.generated(count)
            if times.first_token is not None:
                self._metrics.next_tokens(now - times.last_token, count)
            else:
                self._metrics.first_token(
                    now - times.created,
                    prompt_tokens=len(state.prompt_ids),
                    cached_tokens=state.cached_tokens,
                )
        if times.first_token is None:
            times.first_token = now
        times.last_token = now

    def ended(self, state: SequenceState, group: RequestGroup, now: float) -> None:
        """A sequence has ended, and with the last one the whole request."""
        times = state.times
        if times is None:
            return
        if self._metrics is not None and times.measured:
            reason = _reason(state)
            if state.embedding is not None:
                self._metrics.prompt(len(state.prompt_ids), state.cached_tokens)
            self._metrics.finished(now - times.created, reason, _seconds_a_token(state, times))
            if group.finished:
                self._metrics.function("generate_request", now - times.created)
        if self._logs_requests:
            fields = {
                "rid": state.rid,
                "request_id": times.request_id,
                "finish_reason": state.finish,
                "prompt_tokens": len(state.prompt_ids),
                "completion_tokens": len(state.token_ids),
                "output": _shown(state.text if state.detokenizer else state.token_ids),
            }
            logger.info("Finish: %s", fields, extra={"fields": fields})
        if self._logs_times:
            _log_times(state, times, now)
        if self._tracer is not None:
            self._trace(self._tracer, state, times, now)

    def _trace(
        self, tracer: RequestTracer, state: SequenceState, times: SequenceTimes, now: float
    ) -> None:
        attributes = {
            "gen_ai.operation.name": "embeddings" if state.message.is_embedding else "generate",
            "gen_ai.request.model": self._model_name,
            "gen_ai.request.max_tokens": state.message.sampling.max_new_tokens,
            "gen_ai.request.temperature": state.message.sampling.temperature,
            "gen_ai.request.top_p": state.message.sampling.top_p,
            "gen_ai.response.id": state.rid,
            "gen_ai.response.finish_reasons": [_reason(state)],
            "gen_ai.usage.input_tokens": len(state.prompt_ids),
            "gen_ai.usage.output_tokens": len(state.token_ids),
            "sglang.cached_tokens": state.cached_tokens,
            "sglang.request_id": times.request_id or None,
        }
        whole = Phase("request", times.created, now)
        error = None if state.failure is None else state.failure.message
        parts = _phases(times, now)
        tracer.request(whole, parts, attributes, traceparent=times.traceparent, error=error)


def _phases(times: SequenceTimes, end: float) -> list[Phase]:
    """What a sequence went through, as far as it came."""
    phases = [Phase("tokenize", times.created, times.sent)]
    # A step may take a sequence up while the others of its request are still being sent.
    admitted = None if times.admitted is None else max(times.admitted, times.sent)
    phases.append(Phase("queue", times.sent, end if admitted is None else admitted))
    if admitted is not None:
        first = times.first_token
        phases.append(Phase("prefill", admitted, end if first is None else first))
        if first is not None:
            phases.append(Phase("decode", first, times.last_token))
    return phases


def _reason(state: SequenceState) -> str:
    if state.failure is not None:
        return "timeout" if state.failure.code == "timeout" else "error"
    assert state.finish is not None
    reason: str = state.finish["type"]
    return reason


def _seconds_a_token(state: SequenceState, times: SequenceTimes) -> float | None:
    """Mean time between the tokens of a sequence; None with fewer than two."""
    if times.first_token is None or len(state.token_ids) < 2:
        return None
    return (times.last_token - times.first_token) / (len(state.token_ids) - 1)


def _log_times(state: SequenceState, times: SequenceTimes, now: float) -> None:
    """One line that says where the time of a sequence went; -1 for what it did not reach."""
    admitted = -1.0 if times.admitted is None else times.admitted
    first = -1.0 if times.first_token is None else times.first_token
    parts = {
        "tokenize": times.sent - times.created,
        "queue": admitted - times.sent if admitted >= 0 else -1e-3,
        "prefill": first - admitted if min(admitted, first) >= 0 else -1e-3,
        "decode": times.last_token - first if first >= 0 else -1e-3,
        "total": now - times.created,
    }
    text = ", ".join(f"{name}: {seconds * 1000:.1f} ms" for name, seconds in parts.items())
    fields: dict[str, Any] = {
        f"{name}_ms": round(seconds * 1000, 3) for name, seconds in parts.items()
    }
    fields |= {"rid": state.rid, "request_id": times.request_id}
    logger.info(
        "Time cost. %s, #token: %d, rid: %r",
        text,
        len(state.token_ids),
        state.rid,
        extra={"fields": fields},
    )


def _shown_fields(obj: GenerateReqInput) -> dict[str, Any]:
    """What the request asks for, without what it leaves as it is by default."""
    given = {
        field.name: _shown(getattr(obj, field.name))
        for field in dataclasses.fields(obj)
        if getattr(obj, field.name) != field.default
    }
    given.pop("rid", None)  # which the line has anyway
    return given


def _shown(value: Any) -> Any:
    """``value``, cut to a length that a log can bear."""
    if isinstance(value, str) and len(value) > SHOWN:
        return f"{value[:SHOWN]}... ({len(value)} characters)"
    if isinstance(value, (list, tuple)):
        shown = [_shown(item) for item in value[:SHOWN]]
        return shown if len(value) <= SHOWN else [*shown, f"... ({len(value)} items)"]
    return value
