"""What the routes share: one value, made at start-up and passed around."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sglang.srt.batches.service import BatchService
from sglang.srt.entrypoints.openai.responses_background import BackgroundResponses
from sglang.srt.entrypoints.openai.responses_store import ResponseStore
from sglang.srt.managers.tokenizer_manager import TokenizerManager

if TYPE_CHECKING:
    from sglang.srt.configs.model_config import ModelConfig
    from sglang.srt.server_args import ServerArgs
    from sglang.srt.tokenizer.chat_template import ChatTemplate
    from sglang.srt.tokenizer.tokenizer import Tokenizer


@dataclass
class ServerState:
    """A running model and how to reach it."""

    server_args: ServerArgs
    model_config: ModelConfig
    tokenizer: Tokenizer | None
    """None with --skip-tokenizer-init."""
    chat_template: ChatTemplate | None
    """None if neither --chat-template nor the checkpoint brings one."""
    chat_stops: list[str]
    """Stop strings that belong to the template."""
    manager: TokenizerManager
    engine_info: dict[str, Any]
    created: int = field(default_factory=lambda: int(time.time()))
    """Unix time of the start."""
    model_path: str = field(init=False)
    """Whose weights are served: the option's, until others are loaded."""
    responses: ResponseStore = field(default_factory=ResponseStore)
    """What clients of the Responses API may ask for again."""
    background: BackgroundResponses = field(init=False)
    """What of it is still in the making."""
    batches: BatchService = field(init=False)
    """Files and batches; at rest until it is started."""

    def __post_init__(self) -> None:
        self.model_path = self.server_args.model_path
        self.background = BackgroundResponses(self.responses)
        args = self.server_args
        self.batches = BatchService(Path(args.file_storage_pth), args.file_storage_quota)

    @property
    def openai_defaults(self) -> dict[str, Any]:
        """Sampling defaults of the OpenAI routes: those the checkpoint comes with."""
        return self.model_config.generation_defaults

    @property
    def model_name(self) -> str:
        return self.server_args.served_model_name
