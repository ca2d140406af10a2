"""What the routes of OpenAI's kind answer, as types. The tests hold the answers to them."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import NotRequired, TypedDict

from sglang.srt.batches.records import Status as BatchStatus


class CachedTokens(TypedDict):
    cached_tokens: int


class ReasoningTokens(TypedDict):
    reasoning_tokens: int


class Usage(TypedDict):
    """Tokens of a request. A prompt counts once, however many answers it has."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens | None
    """With --enable-cache-report."""
    completion_tokens_details: NotRequired[ReasoningTokens]
    """With --reasoning-parser."""


class CalledFunction(TypedDict):
    name: str
    arguments: str
    """JSON, as the model wrote it."""


class ToolCall(TypedDict):
    """A call that the model wants to be made."""

    id: str
    type: Literal["function"]
    index: NotRequired[int]
    function: CalledFunction


class AnswerMessage(TypedDict):
    """What the model says."""

    role: Literal["assistant"]
    content: str | None
    reasoning_content: NotRequired[str | None]
    """With --reasoning-parser."""
    tool_calls: NotRequired[list[ToolCall] | None]
    refusal: NotRequired[None]


class TopLogprob(TypedDict):
    token: str
    logprob: float | None
    bytes: list[int]


class TokenLogprob(TopLogprob):
    """A token of the answer, and the likeliest in its place."""

    top_logprobs: list[TopLogprob]


class ChatLogprobs(TypedDict):
    content: list[TokenLogprob]
    refusal: None


class _Choice(TypedDict):
    index: int
    finish_reason: str | None
    """stop, length, tool_calls or abort."""
    matched_stop: NotRequired[int | str | None]
    """The stop string, or the id of the token, that ended the answer."""
    token_ids: NotRequired[list[int]]
    """With return_token_ids."""


class ChatChoice(_Choice):
    message: AnswerMessage
    logprobs: ChatLogprobs | None


class _Answer(TypedDict):
    id: str
    created: int
    """Unix time."""
    model: str
    usage: Usage


class ChatCompletion(_Answer):
    """Answers to a conversation."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]


class CompletionLogprobs(TypedDict):
    text_offset: list[int]
    token_logprobs: list[float | None]
    tokens: list[str]
    top_logprobs: list[dict[str, float] | None]


class CompletionChoice(_Choice):
    text: str
    logprobs: CompletionLogprobs | None


class Completion(_Answer):
    """Continuations of prompts."""

    object: Literal["text_completion"]
    choices: list[CompletionChoice]


class PromptUsage(TypedDict):
    """Tokens of a request that generates nothing."""

    prompt_tokens: int
    total_tokens: int
    prompt_tokens_details: NotRequired[CachedTokens]


class Embedding(TypedDict):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str
    """A string with encoding_format base64: float32, little-endian."""


class EmbeddingList(TypedDict):
    """Embeddings in the order of the inputs."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: PromptUsage


class RankedText(TypedDict):
    text: str


class Ranked(TypedDict):
    index: int
    relevance_score: float
    document: NotRequired[RankedText]


class Ranking(TypedDict):
    """Documents, the best first."""

    id: str
    model: str
    results: list[Ranked]
    usage: PromptUsage


class Score(TypedDict):
    index: int
    object: Literal["score"]
    score: float


class ScoreList(TypedDict):
    """Scores in the order of the pairs."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[Score]
    usage: PromptUsage


class Model(TypedDict):
    """The model that is served."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    root: str
    max_model_len: int
    """Tokens of prompt and answer."""
    parent: NotRequired[str | None]


class ModelList(TypedDict):
    object: Literal["list"]
    data: list[Model]


class _Page(TypedDict):
    object: Literal["list"]
    first_id: str | None
    last_id: str | None
    has_more: bool


class File(TypedDict):
    """A file that the server keeps."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: str
    status_details: None


class FileList(_Page):
    data: list[File]


class Deleted(TypedDict):
    id: str
    object: str
    deleted: Literal[True]


class LineFault(TypedDict):
    code: str
    message: str
    param: str | None
    line: int | None


class LineFaults(TypedDict):
    object: Literal["list"]
    data: list[LineFault]


class RequestCounts(TypedDict):
    total: int
    completed: int
    failed: int


class ItemUsage(TypedDict):
    """Tokens, as the Responses API and batches count them."""

    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: ReasoningTokens
    total_tokens: int


class BatchObject(TypedDict):
    """A batch and how far it is. Times are Unix seconds."""

    id: str
    object: Literal["batch"]
    endpoint: str
    model: str
    errors: LineFaults | None
    input_file_id: str
    completion_window: str
    status: BatchStatus
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: ItemUsage
    metadata: dict[str, str] | None


class BatchList(_Page):
    data: list[BatchObject]


class ResponseObject(TypedDict):
    """A response of the Responses API."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
    background: bool
    error: dict[str, Any] | None
    incomplete_details: dict[str, str] | None
    instructions: str | None
    max_output_tokens: int | None
    model: str
    output: list[dict[str, Any]]
    """Items: messages, reasoning, function calls."""
    parallel_tool_calls: bool
    previous_response_id: str | None
    reasoning: dict[str, Any]
    store: bool
    temperature: float
    text: dict[str, Any]
    tool_choice: Any
    tools: list[Any]
    top_logprobs: int
    top_p: float
    truncation: Literal["disabled"]
    usage: ItemUsage | None
    metadata: dict[str, str]


class InputTokens(TypedDict):
    object: Literal["response.input_tokens"]
    input_tokens: int


class ItemList(_Page):
    data: list[dict[str, Any]]


class ErrorObject(TypedDict):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(TypedDict):
    """What went wrong, and which field is to blame."""

    error: ErrorObject
