"""An engine without a model, and servers around it, for tests of the API side.

The fake engine answers each prompt with the tokens that a script gives for it, one token a step
and request, as the real one does over the same messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvicorn
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as TokenizerCore

from sglang.srt.configs.model_config import ModelConfig
from sglang.srt.entrypoints.app import create_app
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.engine_client import EngineDead
from sglang.srt.managers.io_struct import (
    AbortRequest,
    ControlReply,
    ControlRequest,
    EngineReply,
    EngineRequest,
    FinishReason,
    ForgetPrefix,
    HiddenStates,
    RequestOutput,
    StartProfile,
    StepOutput,
    StopProfile,
    TokenizedRequest,
    TokenLogprobs,
    UpdateWeights,
    decode_reply,
    decode_request,
    encode,
)
from sglang.srt.managers.tokenizer_manager import TokenizerManager
from sglang.srt.metrics.server_metrics import ServerMetrics
from sglang.srt.metrics.tracing import make_tracer
from sglang.srt.server_args import ServerArgs
from sglang.srt.tokenizer.backends import FastBackend
from sglang.srt.tokenizer.chat_template import ChatTemplate
from sglang.srt.tokenizer.tokenizer import SpecialTokens, Tokenizer

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|python_tag|>"]
EOS = 256
VOCAB_SIZE = 256 + len(SPECIALS)
CONTEXT_LENGTH = 512


def make_tokenizer() -> Tokenizer:
    """One token a byte, so that most characters outside ASCII are split over tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = TokenizerCore(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(token, special=True) for token in SPECIALS])
    named = {"eos_token": SPECIALS[0]}
    return Tokenizer(FastBackend(core), SpecialTokens(named, tuple(SPECIALS)), chat_template=CHATML)


def make_config(**changes: Any) -> ModelConfig:
    fields = {
        "model_path": "fake",
        "hf_config": {},
        "architectures": ("FakeForCausalLM",),
        "context_length": CONTEXT_LENGTH,
        "vocab_size": VOCAB_SIZE,
        "dtype": "float32",
        "eos_token_ids": (EOS,),
        "generation_defaults": {},
        **changes,
    }
    return ModelConfig(**fields)


Script = Callable[[TokenizedRequest], list[int]]
Embed = Callable[[TokenizedRequest], list[float]]
EMBEDDING_SIZE = 8


def letter_counts(message: TokenizedRequest) -> list[float]:
    """How often each token modulo 8 comes, brought to length one."""
    counts = np.bincount(message.prompt() % EMBEDDING_SIZE, minlength=EMBEDDING_SIZE)
    vector: list[float] = (counts / np.linalg.norm(counts)).tolist()
    return vector


def logprob_of(token: int) -> float:
    """The fake model's log-probability of a token."""
    return -token / 100


@dataclass
class _Running:
    message: TokenizedRequest
    answer: list[int]
    position: int = 0


@dataclass
class FakeEngine:
    """An ``EngineClient`` that steps whenever somebody receives."""

    script: Script
    tokens_per_step: int = 1
    step_seconds: float = 0.0
    """Time between steps; without it a reader may see several steps at once."""
    paused: bool = False
    """Take requests in but answer none."""
    requests: list[TokenizedRequest] = field(default_factory=list)
    aborted: list[str] = field(default_factory=list)
    closed: bool = False
    running: dict[str, _Running] = field(default_factory=dict)
    embed: Embed = letter_counts
    failures: dict[str, FinishReason] = field(default_factory=dict)
    """Prompt text -> how a request with it ends at once."""
    forgotten: list[ForgetPrefix] = field(default_factory=list)
    told: list[UpdateWeights | StartProfile | StopProfile] = field(default_factory=list)
    answer: Callable[[Any], ControlReply] = lambda message: ControlReply(
        message.id, True, payload={"path": "trace"}
    )
    """To what it is told of weights and profiles."""
    _replies: list[EngineReply] = field(default_factory=list)
    _death: str | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, message: EngineRequest) -> None:
        message = decode_request(encode(message))
        if isinstance(message, TokenizedRequest):
            self.requests.append(message)
            self.running[message.rid] = _Running(message, self.script(message))
        elif isinstance(message, AbortRequest):
            self.aborted.append(message.rid)
            self.running.pop(message.rid, None)
        elif isinstance(message, ForgetPrefix):
            self.forgotten.append(message)
        elif isinstance(message, UpdateWeights | StartProfile | StopProfile):
            self.told.append(message)
            self._replies.append(self.answer(message))
        else:
            assert isinstance(message, ControlRequest)
            payload = {"num_running_reqs": len(self.running)}
            self._replies.append(ControlReply(message.id, True, payload=payload))
        self._wake.set()

    async def receive(self) -> EngineReply:
        while True:
            await asyncio.sleep(self.step_seconds)
            if self._death is not None:
                raise EngineDead(self._death)
            if self._replies:
                return decode_reply(encode(self._replies.pop(0)))
            if self.running and not self.paused:
                return decode_reply(encode(self._step()))
            self._wake.clear()
            await self._wake.wait()

    def close(self) -> None:
        self.closed = True

    def die(self, reason: str) -> None:
        self._death = reason
        self._wake.set()

    def resume(self) -> None:
        self.paused = False
        self._wake.set()

    def _step(self) -> StepOutput:
        admitted = [rid for rid, running in self.running.items() if running.position == 0]
        started = time.monotonic()
        hidden = {
            rid: self._hidden_states(running)
            for rid, running in self.running.items()
            if running.message.return_hidden_states
        }
        outputs = [self._advance(running) for running in list(self.running.values())]
        for output in outputs:
            if output.finish is not None:
                del self.running[output.rid]
        return StepOutput(outputs, admitted, started, hidden)

    def _hidden_states(self, running: _Running) -> HiddenStates:
        """Position and id of each token that the step computes."""
        prompt = running.message.prompt().tolist()
        end = len(prompt) + running.position
        start = end - self.tokens_per_step if running.position else 0
        ids = (prompt + running.answer)[start:end]
        values = np.stack([np.arange(start, end), ids], axis=1)
        return HiddenStates(len(ids), values.astype("<f4").tobytes())

    def _advance(self, running: _Running) -> RequestOutput:
        message = running.message
        failure = self.failures.get(bytes_text(message))
        if failure is not None:
            return RequestOutput(message.rid, [], failure)
        if message.is_embedding:
            vector = np.array(self.embed(message), dtype="<f4").tobytes()
            return RequestOutput(message.rid, [], FinishReason("length"), embedding=vector)
        limit = message.sampling.max_new_tokens
        assert limit is not None
        answer = running.answer[:limit]
        tokens = answer[running.position : running.position + self.tokens_per_step]
        first = running.position == 0
        running.position += len(tokens)
        finish = None
        if tokens and tokens[-1] == EOS and not message.sampling.ignore_eos:
            finish = FinishReason("stop", EOS)
        elif running.position == len(answer):
            finish = FinishReason("length")
        output = RequestOutput(message.rid, tokens, finish, cached_tokens=2)
        if message.return_logprob:
            output.output_logprobs = _logprobs(tokens, message.top_logprobs_num)
            if first and message.logprob_start_len >= 0:
                prompt = message.prompt().tolist()[message.logprob_start_len :]
                output.input_logprobs = _logprobs(prompt, message.top_logprobs_num)
                if message.logprob_start_len == 0:
                    output.input_logprobs.logprobs[0] = None
        return output


def _logprobs(tokens: list[int], top: int) -> TokenLogprobs:
    best = [list(range(top)) for _ in tokens]
    return TokenLogprobs(
        [logprob_of(token) for token in tokens],
        list(tokens),
        [[logprob_of(token) for token in row] for row in best] if top else [],
        best if top else [],
    )


_TOKENIZER = make_tokenizer()


def encode_text(text: str) -> list[int]:
    return _TOKENIZER.encode(text)


def bytes_text(message: TokenizedRequest) -> str:
    return _TOKENIZER.decode(message.prompt().tolist())


def repeat_prompt(message: TokenizedRequest) -> list[int]:
    """The default script: say the prompt again and stop."""
    return [*message.prompt().tolist(), EOS]


def say(text: str, *, stop: bool = True) -> Script:
    """A script that answers every prompt with ``text``."""
    ids = encode_text(text) + ([EOS] if stop else [])
    return lambda message: ids


def make_state(
    engine: FakeEngine,
    *,
    config: dict[str, Any] | None = None,
    tokenizer: bool = True,
    on_engine_death: Callable[[str], None] | None = None,
    **args: Any,
) -> ServerState:
    server_args = ServerArgs(**{"model_path": "fake", "random_seed": 1, **args})
    model_config = make_config(**(config or {}))
    own = _TOKENIZER if tokenizer else None
    return ServerState(
        server_args=server_args,
        model_config=model_config,
        tokenizer=own,
        chat_template=ChatTemplate(CHATML) if tokenizer else None,
        chat_stops=[],
        manager=TokenizerManager(
            server_args,
            model_config,
            own,
            engine,
            on_engine_death=on_engine_death,
            metrics=ServerMetrics("fake") if server_args.enable_metrics else None,
            tracer=make_tracer(server_args.otlp_traces_endpoint),
        ),
        engine_info={"max_total_num_tokens": 4096},
    )


@dataclass
class RunningServer:
    """A server on a loopback port, in a thread of this process."""

    url: str
    state: ServerState
    engine: FakeEngine
    loop: asyncio.AbstractEventLoop

    def on_loop(self, function: Callable[..., Any], *args: Any) -> Any:
        """The result of ``function``, called on the server's loop."""

        async def call() -> Any:
            return function(*args)

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(10)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds on the server's loop; fails after a generous while."""

        async def poll() -> None:
            while not condition():
                await asyncio.sleep(0.005)

        asyncio.run_coroutine_threadsafe(asyncio.wait_for(poll(), 20), self.loop).result()

    def assert_idle(self) -> None:
        """Nothing is left of any request, neither here nor in the engine."""
        manager = self.state.manager
        self.wait_until(lambda: manager.num_sequences == 0 and not self.engine.running)
        assert not manager._named
        assert not manager._controls


@contextlib.contextmanager
def serve(
    script: Script = repeat_prompt,
    *,
    step_seconds: float = 0.0,
    http: Any = "auto",
    **options: Any,
) -> Iterator[RunningServer]:
    """Run a server for the time of the context."""
    started = threading.Event()
    result: dict[str, Any] = {}

    async def main() -> None:
        engine = FakeEngine(script, step_seconds=step_seconds)
        state = make_state(engine, **options)
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(state),
                port=0,
                http=http,
                log_level="error",
                timeout_graceful_shutdown=1,
            )
        )
        server.capture_signals = contextlib.nullcontext  # type: ignore[assignment]
        task = asyncio.create_task(server.serve())
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        running = RunningServer(f"http://127.0.0.1:{port}", state, engine, loop)
        result.update(running=running, server=server)
        started.set()
        await task

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert started.wait(20)
    try:
        yield result["running"]
    finally:
        result["server"].should_exit = True
        thread.join(20)
