"""``sglang serve``: an HTTP server for one model."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

from sglang.srt.server_args import ServerArgs

_RUNTIME_MODULES = ("fastapi", "uvicorn", "msgspec", "tokenizers", "torch")


def main(argv: Sequence[str], prog: str = "sglang serve") -> int:
    """Serve until interrupted; returns the exit status."""
    server_args = ServerArgs.from_cli(argv, prog)
    if missing := missing_runtime():
        print(
            f"{prog}: the runtime is not installed (no module {missing}); "
            "install it with: pip install 'sglang[srt]'",
            file=sys.stderr,
        )
        return 1
    if is_demo(server_args):
        print(
            "No model was named: starting the built-in demo model, a tiny one to try things out. "
            "Name another with --model.",
            file=sys.stderr,
            flush=True,
        )
    from sglang.srt.managers.engine_child import start_engine_child

    child = start_engine_child(server_args)
    try:
        from sglang.srt.entrypoints.http_server import launch_server

        launch_server(server_args, child)
    finally:
        child.close()
    return 0


def missing_runtime() -> str | None:
    """The first package of the ``srt`` extra that is not installed."""
    for name in _RUNTIME_MODULES:
        if importlib.util.find_spec(name) is None:
            return name
    return None


def is_demo(server_args: ServerArgs) -> bool:
    """Whether the model is the one inside the package."""
    from sglang.demo_model import demo_model_path

    return server_args.model_path == str(demo_model_path())
