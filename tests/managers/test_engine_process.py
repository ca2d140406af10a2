"""The engine process and its client: start, failure to start, watchdog."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sglang.srt.managers.engine_client import EngineDead, EngineProcess
from sglang.srt.managers.io_struct import StepOutput, TokenizedRequest
from sglang.srt.sampling.sampling_params import SamplingParams
from sglang.srt.server_args import ServerArgs
from tests.models.model_helpers import make_tiny_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("model"))


async def generate(engine: EngineProcess, count: int) -> list[int]:
    ids = np.arange(3, 13, dtype="<i4").tobytes()
    params = SamplingParams(max_new_tokens=count, temperature=0.0, ignore_eos=True)
    engine.send(TokenizedRequest("a", ids, params))
    tokens: list[int] = []
    while len(tokens) < count:
        reply = await engine.receive()
        assert isinstance(reply, StepOutput)
        tokens.extend(t for output in reply.outputs for t in output.token_ids)
    return tokens


async def test_an_engine_starts_answers_and_stops(checkpoint: Path) -> None:
    engine = EngineProcess(ServerArgs(model_path=str(checkpoint)), str(checkpoint))
    try:
        ready = await engine.wait_ready()
        assert ready.info["max_total_num_tokens"] > 0
        assert len(await generate(engine, 5)) == 5
    finally:
        engine.close()
    assert engine.process.poll() is not None


async def test_an_engine_that_cannot_start_says_why(tmp_path: Path) -> None:
    config = {"architectures": ["NoSuchModel"], "vocab_size": 9, "max_position_embeddings": 9}
    (tmp_path / "config.json").write_text(json.dumps(config))
    engine = EngineProcess(ServerArgs(model_path=str(tmp_path)), str(tmp_path))
    try:
        with pytest.raises(EngineDead, match="NoSuchModel"):
            await engine.wait_ready()
    finally:
        engine.close()


async def test_a_killed_engine_is_noticed_while_one_waits_for_it(checkpoint: Path) -> None:
    engine = EngineProcess(ServerArgs(model_path=str(checkpoint)), str(checkpoint))
    try:
        await engine.wait_ready()
        waiting = asyncio.ensure_future(engine.receive())
        await asyncio.sleep(0.05)
        engine.process.kill()
        with pytest.raises(EngineDead, match="signal 9"):
            await asyncio.wait_for(waiting, 5)
        with pytest.raises(EngineDead, match="signal 9"):
            await engine.receive()
    finally:
        engine.close()


def test_the_command_line_of_the_engine_shows_no_configuration(checkpoint: Path) -> None:
    async def command_line() -> str:
        args = ServerArgs(model_path=str(checkpoint), api_key="top-secret")
        engine = EngineProcess(args, str(checkpoint))
        try:
            await engine.wait_ready()
            return Path(f"/proc/{engine.process.pid}/cmdline").read_text()
        finally:
            engine.close()

    assert "top-secret" not in asyncio.run(command_line())


WATCHDOG = """
import time
from sglang.srt.managers.engine_process import Watchdog
watchdog = Watchdog(0.4)
watchdog.{call}()
time.sleep(1.5)
"""


def run_watchdog(call: str) -> subprocess.CompletedProcess[str]:
    source = str(Path(__file__).parents[2] / "src")
    return subprocess.run(
        [sys.executable, "-c", WATCHDOG.format(call=call)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": source},
        timeout=60,
    )


def test_the_watchdog_ends_a_stuck_process_and_shows_its_stacks() -> None:
    result = run_watchdog("busy")
    assert result.returncode == 70
    assert "most recent call first" in result.stderr


def test_the_watchdog_leaves_an_idle_process_alone() -> None:
    assert run_watchdog("idle").returncode == 0
