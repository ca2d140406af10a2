"""Starts the engine's process: memory for the weights is committed while torch is imported."""

from __future__ import annotations

import sys

from sglang.srt.kernels.cpu.commit import commit_beside


def main() -> int:
    """Entry point of the child process; its argument is how many bytes the weights may take."""
    size = int(sys.argv[1])
    memory = commit_beside(size) if size else None

    from sglang.srt.managers.engine_process import run

    return run(memory)


if __name__ == "__main__":
    sys.exit(main())
