"""The child process that an engine runs in, before it is told what to run.

Importing torch takes the child a second or two, which the parent can spend on imports of its own: a
server starts the child first of all. Nothing heavy is imported here.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sglang.srt.managers.wire import make_pair
from sglang.srt.server_args import ServerArgs

ENGINE_COMMAND = (sys.executable, "-m", "sglang.srt.managers.engine_main")


@dataclass(frozen=True)
class EngineChild:
    """A child that waits for its configuration: one line on its standard input."""

    process: subprocess.Popen[bytes]
    wire: socket.socket
    """This end of the pair of sockets for messages."""
    descriptor: int
    """The number of the child's end, in the child."""

    def close(self) -> None:
        """Stop the child if it still runs. May be called again."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.wire.close()


def start_engine_child(args: ServerArgs, command: Sequence[str] = ENGINE_COMMAND) -> EngineChild:
    """Start a child that will run what ``args`` say.

    ``command`` starts a program that speaks as ``managers/engine_process.py`` does; it gets one
    argument, for how many bytes of weights it may prepare.
    """
    mine, theirs = make_pair()
    with theirs:
        # Configuration goes through a pipe, so that no key shows in the list of processes.
        # The pipe stays open: its end tells the child that this process is gone.
        process = subprocess.Popen(
            [*command, str(weight_bytes(args))],
            stdin=subprocess.PIPE,
            env=_child_environment(),
            pass_fds=(theirs.fileno(),),
            start_new_session=True,  # Ctrl-C is for this process to handle
        )
        return EngineChild(process, mine, theirs.fileno())


def weight_bytes(args: ServerArgs) -> int:
    """What the weights will surely take of this machine's memory, as far as that is known now."""
    if args.device not in ("auto", "cpu") or (
        args.device == "auto" and Path("/dev/nvidiactl").exists()
    ):
        return 0
    if args.quantization or args.torchao_config or args.load_format == "dummy":
        return 0
    return sum(file.stat().st_size for file in Path(args.model_path).glob("model*.safetensors"))


def _child_environment() -> dict[str, str]:
    """The environment of the engine: this one, with the package importable."""
    source = str(Path(__file__).resolve().parents[3])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    # torch's threads are rarely needed; between whiles they must not spin on a core that others
    # could use.
    waiting = os.environ.get("OMP_WAIT_POLICY", "passive")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_WAIT_POLICY": waiting}
