"""Traces of what torch does, for Perfetto or chrome://tracing."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from sglang.srt.managers.io_struct import ControlReply, StartProfile, StopProfile

if TYPE_CHECKING:
    from torch.profiler import profile

logger = logging.getLogger(__name__)


class Trace:
    """A recording of this process that is running; written to ``path`` at its end."""

    def __init__(self, folder: Path, name: str, activities: Sequence[str] = ()) -> None:
        """``activities`` are of CPU and GPU; none: whatever there is.

        Raises ValueError if there is no GPU, OSError if there can be no folder.
        """
        import torch
        from torch.profiler import ProfilerActivity, profile

        has_gpu = torch.cuda.is_available()
        if "GPU" in activities and not has_gpu:
            raise ValueError("activities has GPU, and there is none")
        kinds = {"CPU": ProfilerActivity.CPU, "GPU": ProfilerActivity.CUDA}
        wanted = activities or (["CPU", "GPU"] if has_gpu else ["CPU"])
        folder.mkdir(parents=True, exist_ok=True)
        # Two traces may begin within a second, and two processes may write to one folder.
        stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 10**9:09}"
        self.path = folder / f"{name}-{stamp}-{os.getpid()}.trace.json.gz"
        self._profile: profile = profile(
            activities=[kinds[kind] for kind in wanted], with_stack=True
        )
        self._profile.start()

    def stop(self) -> Path:
        """End the recording and write it; which takes a while."""
        self._profile.stop()
        self._profile.export_chrome_trace(str(self.path))
        return self.path


class StepProfiler:
    """Records the steps of an engine when it is asked to."""

    def __init__(self) -> None:
        self._trace: Trace | None = None
        self._steps_left: int | None = None

    def receive(self, message: StartProfile | StopProfile) -> ControlReply:
        """Start or stop; the answer says what is wrong where that cannot be."""
        try:
            if isinstance(message, StartProfile):
                return ControlReply(message.id, True, payload={"path": str(self._start(message))})
            return ControlReply(message.id, True, payload={"path": str(self._stop())})
        except (ValueError, OSError, RuntimeError) as error:
            return ControlReply(message.id, False, str(error))

    def step(self) -> AbstractContextManager[object]:
        """Around a step: its place in the trace."""
        if self._trace is None:
            return nullcontext()
        from torch.profiler import record_function

        return record_function("step")

    def after_step(self) -> None:
        """Stop when the number of steps is reached that was asked for."""
        if self._steps_left is None:
            return
        self._steps_left -= 1
        if self._steps_left == 0:
            try:
                self._stop()
            except (OSError, RuntimeError):
                logger.exception("the trace could not be written")

    def _start(self, message: StartProfile) -> Path:
        if self._trace is not None:
            raise ValueError("a profile is being recorded already; stop it first")
        self._trace = Trace(Path(message.folder), "engine", message.activities)
        self._steps_left = message.num_steps
        logger.info("Recording a profile")
        return self._trace.path

    def _stop(self) -> Path:
        trace = self._trace
        if trace is None:
            raise ValueError("no profile is being recorded")
        self._trace = self._steps_left = None
        path = trace.stop()
        logger.info("The profile is in %s", path)
        return path
