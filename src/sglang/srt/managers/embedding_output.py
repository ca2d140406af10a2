"""Requests that are answered with an embedding or with scores: what they ask for, what they get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.io_struct import EmbeddingReqInput, GenerateReqInput
from sglang.srt.managers.request_batch import as_int
from sglang.srt.managers.request_state import RequestGroup, SequenceState

if TYPE_CHECKING:
    from sglang.srt.configs.model_config import ModelConfig
    from sglang.srt.configs.pooling_config import PoolingConfig


def checked_pooling(config: ModelConfig) -> PoolingConfig:
    """How the model's answers are made.

    Raises:
        RequestError: it generates text instead.
    """
    if config.pooling is None:
        raise RequestError(
            "this server's model generates; start one with --is-embedding for embeddings, or with "
            "a reward model for scores",
            code="not_an_embedding_model",
        )
    return config.pooling


def embedding_prompts(obj: EmbeddingReqInput, config: ModelConfig) -> GenerateReqInput:
    """The prompts of ``obj``, as a request of which nothing is generated.

    Raises:
        RequestError: the model generates text, or cannot give so many dimensions.
    """
    pooling = checked_pooling(config)
    if obj.dimensions is not None:
        if pooling.gives_scores:
            raise RequestError(
                "the model gives scores, which have no dimensions", param="dimensions"
            )
        as_int(obj.dimensions, "dimensions", 1, config.hidden_size)
    return GenerateReqInput(
        text=obj.text,
        input_ids=obj.input_ids,
        sampling_params={"max_new_tokens": 0},
        rid=obj.rid,
        log_metrics=obj.log_metrics,
        priority=obj.priority,
        cache_salt=obj.cache_salt,
        timeout=obj.timeout,
    )


def vector_of(state: SequenceState, dimensions: int | None = None) -> NDArray[np.float32]:
    """The embedding or the scores of a finished sequence, [E].

    ``dimensions`` keeps the leading numbers of an embedding and brings them to length one, for
    models that were trained to bear that (Matryoshka representation learning, arXiv:2205.13147).
    """
    assert state.embedding is not None
    if dimensions is None or dimensions == len(state.embedding):
        return state.embedding
    kept = state.embedding[:dimensions].astype(np.float64)
    length = max(float(np.linalg.norm(kept)), 1e-12)
    return (kept / length).astype(np.float32)


def native_embeddings(group: RequestGroup, dimensions: int | None = None) -> list[dict[str, Any]]:
    """The answers of ``/encode`` and ``/classify`` to each prompt; arrays are numpy's."""
    return [
        {
            "embedding": vector_of(state, dimensions),
            "meta_info": {
                "id": state.rid,
                "finish_reason": state.finish,
                "prompt_tokens": len(state.prompt_ids),
                "cached_tokens": state.cached_tokens,
            },
        }
        for state in group.states
    ]
