"""Messages between the API process and the engine process, and the native request type.

Two vocabularies live here, because the documentation imports both from this module:

* what a user sends: :class:`GenerateReqInput`, :class:`Tool`, :class:`Function`;
* what crosses the wall between the processes: msgspec structs, encoded with msgpack over a
  unix socket. Nothing is ever pickled; token ids travel as little-endian int32 bytes.

A request is one :class:`TokenizedRequest` down; its answer is a series of
:class:`RequestOutput` up, batched into ONE :class:`StepOutput` a scheduler step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np

from sglang.srt.sampling.reasoning_span import ReasoningSpan
from sglang.srt.sampling.sampling_params import SamplingParams
from sglang.srt.sampling.token_logprobs import TokenLogprobs as TokenLogprobs

# --------------------------------------------------------------------------------------
# What users send
# --------------------------------------------------------------------------------------


@dataclass
class GenerateReqInput:
    """The body of ``/generate`` and the arguments of ``Engine.generate``.

    Every field may be given for one prompt or, as a list, for a batch of prompts.
    """

    text: list[str] | str | None = None
    input_ids: list[list[int]] | list[int] | None = None
    input_embeds: list[list[list[float]]] | list[list[float]] | None = None
    image_data: list[str] | str | None = None
    sampling_params: list[dict[str, Any]] | dict[str, Any] | None = None
    rid: list[str] | str | None = None
    return_logprob: list[bool] | bool | None = None
    logprob_start_len: list[int] | int | None = None
    top_logprobs_num: list[int] | int | None = None
    return_text_in_logprobs: bool = False
    stream: bool = False
    log_metrics: bool = True
    modalities: list[str] | None = None
    lora_path: list[str | None] | str | None = None
    session_params: list[dict[str, Any]] | dict[str, Any] | None = None
    custom_logit_processor: list[str | None] | str | None = None
    """What ``CustomLogitProcessor.to_str`` returns."""
    return_hidden_states: list[bool] | bool | None = None
    """None: as the option of that name says."""
    priority: int = 0
    cache_salt: str | None = None
    timeout: float | None = None
    """Seconds after which the request is given up; the server may allow less."""


@dataclass
class EmbeddingReqInput:
    """The body of ``/encode`` and ``/classify``, and the arguments of ``Engine.encode``."""

    text: list[str] | str | None = None
    input_ids: list[list[int]] | list[int] | None = None
    dimensions: int | None = None
    """Keep so many leading numbers of an embedding, brought to length one again."""
    rid: list[str] | str | None = None
    log_metrics: bool = True
    priority: int = 0
    cache_salt: str | None = None
    timeout: float | None = None


@dataclass
class Function:
    """A function that a model may call."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool = False
    """Arguments have to be as ``parameters`` say, and are made so."""


@dataclass
class Tool:
    """A tool offered to a model; ``type`` is always ``function``."""

    function: Function
    type: str = "function"


# --------------------------------------------------------------------------------------
# API process -> engine process
# --------------------------------------------------------------------------------------


class TokenizedRequest(msgspec.Struct, tag="generate", array_like=True):
    """One sequence to generate or to embed (``n > 1`` is expanded before it gets here)."""

    rid: str
    input_ids: bytes
    """Prompt token ids, int32 little-endian."""
    sampling: SamplingParams
    """Normalised: ``max_new_tokens`` and ``seed`` are set, ``stop`` is not looked at here."""
    return_logprob: bool = False
    logprob_start_len: int = -1
    """First prompt position whose logprob is returned; -1: output tokens only."""
    top_logprobs_num: int = 0
    priority: int = 0
    cache_namespace: str = ""
    """Whatever changes the KV besides the tokens; requests share prefixes only within one."""
    reasoning: ReasoningSpan | None = None
    """If given, the grammar is for what follows the reasoning, which may have a budget."""
    custom_logit_processor: str | None = None
    """Unpickled by the engine if it has been told to; see ``custom_logit_processor``."""
    return_hidden_states: bool = False
    is_embedding: bool = False
    """Nothing is generated: the answer is what the model makes of the whole prompt."""
    input_embeds: bytes | None = None
    """[n, H] float32 little-endian: what the model reads in the place of ``input_ids``."""

    def prompt(self) -> np.ndarray:
        """The prompt as an int32 array of shape [n] (a read-only view)."""
        return np.frombuffer(self.input_ids, dtype="<i4")


class AbortRequest(msgspec.Struct, tag="abort", array_like=True):
    """Stop a request wherever it is. Unknown ids are ignored: it may just have finished."""

    rid: str


class ControlRequest(msgspec.Struct, tag="control", array_like=True):
    """An operation on the engine as a whole, answered by one :class:`ControlReply`."""

    id: int
    op: Literal["flush_cache", "get_state", "ping"]


class ForgetPrefix(msgspec.Struct, tag="forget", array_like=True):
    """Free the cached KV of a sequence that nobody will go on with; never answered."""

    token_ids: bytes
    """int32 little-endian."""
    cache_namespace: str
    keep: int = 0
    """Leading tokens that are still of use."""


class UpdateWeights(msgspec.Struct, tag="update_weights", array_like=True):
    """Serve the weights of another checkpoint, once what has begun is done."""

    id: int
    model_path: str
    """A local folder."""
    load_format: str


class StartProfile(msgspec.Struct, tag="start_profile", array_like=True):
    """Record the steps from now on."""

    id: int
    folder: str
    """Where the trace goes, an absolute path."""
    activities: list[str]
    """Of ``CPU`` and ``GPU``; none: whatever there is."""
    num_steps: int | None = None
    """Stop after so many steps; None: when told to."""


class StopProfile(msgspec.Struct, tag="stop_profile", array_like=True):
    """End the recording and write it; ``payload["path"]`` of the answer says where."""

    id: int


SchedulerRequest = TokenizedRequest | AbortRequest | ForgetPrefix | ControlRequest
EngineRequest = SchedulerRequest | UpdateWeights | StartProfile | StopProfile

# --------------------------------------------------------------------------------------
# Engine process -> API process
# --------------------------------------------------------------------------------------


class FinishReason(msgspec.Struct, array_like=True):
    """Why a sequence ended."""

    type: Literal["stop", "length", "abort"]
    matched: int | None = None
    """The stop token for ``stop``."""
    message: str = ""
    """For ``abort``: what went wrong, fit for the user's eyes; empty if the client asked."""
    status: int = 200
    """For ``abort``: the HTTP status it corresponds to."""


class RequestOutput(msgspec.Struct, array_like=True):
    """What one step produced for one request."""

    rid: str
    token_ids: list[int]
    """New tokens of this step, the stop token included."""
    finish: FinishReason | None = None
    cached_tokens: int = 0
    """Prompt tokens found in the prefix cache when the request was first admitted."""
    output_logprobs: TokenLogprobs | None = None
    """Of exactly ``token_ids``."""
    input_logprobs: TokenLogprobs | None = None
    """Of the prompt from logprob_start_len on; sent once, with the first output."""
    embedding: bytes | None = None
    """The embedding or the scores, float32 little-endian; it ends the request."""


class HiddenStates(msgspec.Struct, array_like=True):
    """Final hidden states of the next tokens of a sequence."""

    count: int
    values: bytes
    """[count, H] float32, little-endian."""


class StepOutput(msgspec.Struct, tag="step", array_like=True):
    """Everything a scheduler step has to say."""

    outputs: list[RequestOutput]
    admitted: list[str] = []
    """Requests that left the queue for the first time."""
    started: float = 0.0
    """When the step began, by the machine's monotonic clock, which all processes share."""
    hidden_states: dict[str, HiddenStates] = {}
    """Of the tokens that the step computed, for the requests that want them."""


class ControlReply(msgspec.Struct, tag="control", array_like=True):
    """Answer to the :class:`ControlRequest` with the same id."""

    id: int
    ok: bool
    message: str = ""
    payload: dict[str, Any] = {}


class EngineReady(msgspec.Struct, tag="ready", array_like=True):
    """The engine has loaded its model and serves; ``info`` goes into /get_server_info."""

    info: dict[str, Any]


class EngineFailed(msgspec.Struct, tag="failed", array_like=True):
    """The engine cannot start or go on; it exits after sending this."""

    message: str


EngineReply = StepOutput | ControlReply | EngineReady | EngineFailed

encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(EngineRequest).decode
decode_reply = msgspec.msgpack.Decoder(EngineReply).decode
