"""Every option of the server once: declaration, checks, command line, documentation."""

from __future__ import annotations

from sglang.srt.server_args.args import DEMO_MODEL_NAME, OPTIONS, ServerArgs
from sglang.srt.server_args.option import Option, ServerArgsError

__all__ = ["DEMO_MODEL_NAME", "OPTIONS", "Option", "ServerArgs", "ServerArgsError"]
