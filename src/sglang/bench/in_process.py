"""An engine in this process, stepped by hand: no server and no second process beside it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sglang.srt.managers.engine_setup import build_engine
from sglang.srt.managers.io_struct import RequestOutput, TokenizedRequest
from sglang.srt.model_executor.model_runner import ModelRunner
from sglang.srt.model_loader.hub import resolve_model_path
from sglang.srt.sampling.sampling_params import SamplingParams
from sglang.srt.server_args import ServerArgs

Ids = Sequence[int]


@dataclass(frozen=True)
class Step:
    """One step of the scheduler."""

    seconds: float
    outputs: list[RequestOutput]


class InProcessEngine:
    """The engine that ``args`` describe, its model loaded.

    Raises:
        ValueError: the arguments, the checkpoint or the memory do not allow it.
    """

    def __init__(self, args: ServerArgs) -> None:
        logging.basicConfig(level=args.log_level.upper(), format="%(message)s")
        path = resolve_model_path(
            args.model_path,
            revision=args.revision,
            download_dir=args.download_dir,
            load_format=args.load_format,
        )
        engine = build_engine(args, path)
        if not isinstance(engine.runner, ModelRunner):
            raise ValueError(f"{args.model_path} is a model that generates no text")
        self.model_path = path
        self.info = engine.info
        self.runner = engine.runner
        self._scheduler = engine.scheduler

    def run(self, prompts: Sequence[Ids], output_lens: Sequence[int]) -> list[Step]:
        """Generate greedily, past any end token, until all is done; every step that it took.

        The ``rid`` of a request is the number of its prompt.

        Raises:
            ValueError: a request was refused.
        """
        for number, (prompt, length) in enumerate(zip(prompts, output_lens, strict=True)):
            params = SamplingParams(max_new_tokens=length, temperature=0.0, ignore_eos=True)
            ids = np.asarray(prompt, dtype="<i4").tobytes()
            self._scheduler.receive(TokenizedRequest(str(number), ids, params))
        steps = []
        while not self._scheduler.is_idle:
            start = time.perf_counter()
            outputs = self._scheduler.step()
            steps.append(Step(time.perf_counter() - start, outputs))
            for output in outputs:
                if output.finish is not None and output.finish.type == "abort":
                    raise ValueError(f"request {output.rid}: {output.finish.message}")
        self._scheduler.on_idle()
        return steps
