"""Bringing a model up: engine process, configuration and tokenizer, for server and library."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sglang.srt.configs.model_config import ModelConfig, load_model_config
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.engine_child import EngineChild
from sglang.srt.managers.engine_client import EngineProcess
from sglang.srt.managers.tokenizer_manager import TokenizerManager
from sglang.srt.metrics.tracing import make_tracer
from sglang.srt.model_loader.hub import resolve_model_path
from sglang.srt.server_args import ServerArgs
from sglang.srt.tokenizer.chat_template import ChatTemplate, resolve_chat_template
from sglang.srt.tokenizer.loading import load_tokenizer
from sglang.srt.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:
    from sglang.srt.metrics.server_metrics import ServerMetrics


@dataclass(frozen=True)
class _Description:
    """What the API side reads of a checkpoint itself."""

    config: ModelConfig
    tokenizer: Tokenizer | None = None
    chat_template: ChatTemplate | None = None
    chat_stops: list[str] = field(default_factory=list)


async def start_runtime(
    args: ServerArgs,
    on_engine_death: Callable[[str], None] | None = None,
    metrics: ServerMetrics | None = None,
    child: EngineChild | None = None,
) -> ServerState:
    """Start an engine for ``args``, in ``child`` if there is one, and wait until it serves.

    Raises:
        ValueError: the checkpoint or the arguments are wrong (ModelLoadError among them).
        EngineDead: the engine could not start; the message says why.
    """
    tracer = make_tracer(args.otlp_traces_endpoint)
    model_path = await asyncio.to_thread(
        resolve_model_path,
        args.model_path,
        revision=args.revision,
        download_dir=args.download_dir,
        load_format=args.load_format,
    )
    engine = EngineProcess(args, model_path, child)
    try:
        described = await asyncio.to_thread(_describe, args, model_path)
        ready = await engine.wait_ready()
    except BaseException:
        with contextlib.suppress(Exception):
            engine.close()
        raise
    manager = TokenizerManager(
        args,
        described.config,
        described.tokenizer,
        engine,
        max_sequence_tokens=ready.info.get("max_total_num_tokens"),
        on_engine_death=on_engine_death,
        metrics=metrics,
        tracer=tracer,
    )
    return ServerState(
        server_args=args,
        model_config=described.config,
        tokenizer=described.tokenizer,
        chat_template=described.chat_template,
        chat_stops=described.chat_stops,
        manager=manager,
        engine_info=ready.info,
    )


def make_metrics(args: ServerArgs) -> ServerMetrics | None:
    """What counts the requests of a server, if anybody wants to know."""
    if not args.enable_metrics:
        return None
    from sglang.srt.metrics.server_metrics import ServerMetrics

    return ServerMetrics(args.served_model_name)


def _describe(args: ServerArgs, model_path: str) -> _Description:
    config = load_model_config(
        model_path,
        dtype=args.dtype,
        context_length=args.context_length,
        json_model_override_args=args.json_model_override_args,
        is_embedding=args.is_embedding,
    )
    if args.skip_tokenizer_init:
        return _Description(config)
    path = model_path
    if args.tokenizer_path != args.model_path:
        path = resolve_model_path(
            args.tokenizer_path, download_dir=args.download_dir, load_format="dummy"
        )
    tokenizer = load_tokenizer(
        path,
        mode=args.tokenizer_mode,
        revision=args.revision,
        trust_remote_code=args.trust_remote_code,
    )
    template, stops = resolve_chat_template(args.chat_template, tokenizer)
    return _Description(config, tokenizer, template, stops)
