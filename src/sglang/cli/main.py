"""The ``sglang`` command itself: finds the subcommand and hands the rest to it."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from sglang import __version__

_COMMANDS = {
    "serve": "serve a model over HTTP (the demo model unless one is named)",
    "chat": "chat in the terminal, with a running server or one of its own",
    "bench": "measure speed: of a server, an offline engine or a static batch",
    "models": "list what can be served, or say what would become of a checkpoint",
    "check-env": "show versions, processor, GPUs and compiler, for bug reports",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's); returns the exit status."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments and arguments[0] in _COMMANDS:
        name = arguments[0]
        module = importlib.import_module("sglang.cli." + name.replace("-", "_"))
        return int(module.main(arguments[1:], prog=f"sglang {name}"))
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.print_completion:
        from sglang.cli.completion import completion_script

        print(completion_script(given.print_completion, list(_COMMANDS)))
        return 0
    parser.print_help()
    return 0 if not arguments else 2


def _parser() -> argparse.ArgumentParser:
    commands = "\n".join(f"  {name:10} {text}" for name, text in _COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="sglang",
        description="A fast serving runtime for language models.",
        epilog=f"commands:\n{commands}\n\nsglang COMMAND --help says more about one of them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", choices=list(_COMMANDS), metavar="COMMAND")
    parser.add_argument("--version", action="version", version=f"sglang {__version__}")
    parser.add_argument(
        "--print-completion",
        choices=("bash", "zsh"),
        help='print a completion script: eval "$(sglang --print-completion bash)"',
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
