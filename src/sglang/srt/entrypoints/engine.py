"""The offline engine: the same model and scheduler, called from Python without a server."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from contextlib import aclosing
from typing import Any, TypeVar

from sglang.srt.entrypoints import profile, sessions
from sglang.srt.entrypoints.native import collect_server_info
from sglang.srt.entrypoints.runtime import make_metrics, start_runtime
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.entrypoints.weights import WeightUpdate, update_weights
from sglang.srt.logs.setup import configure_logging
from sglang.srt.managers.embedding_output import native_embeddings
from sglang.srt.managers.engine_client import EngineDead
from sglang.srt.managers.io_struct import ControlReply, EmbeddingReqInput, GenerateReqInput
from sglang.srt.managers.tokenizer_manager import TokenizerManager
from sglang.srt.server_args import ServerArgs

Output = dict[str, Any]
T = TypeVar("T")


class Engine:
    """A model to call from Python. Takes the options of the server as keywords.

    The model runs in a process of its own, which a background thread talks to; the methods may
    be called from any thread and from any event loop. Also a context manager.

    Raises:
        ValueError: an option or the checkpoint is wrong.
        RuntimeError: the engine process could not start.
    """

    def __init__(self, server_args: ServerArgs | None = None, **options: Any) -> None:
        if server_args is None:
            # An offline engine speaks up only when something is wrong.
            server_args = ServerArgs(**{"log_level": "error", **options})
        elif options:
            raise ValueError("give either server_args or single options")
        self.server_args = server_args
        configure_logging(server_args.log_level, form=server_args.log_format)
        self._background = _BackgroundLoop()
        try:
            self._state: ServerState = self._background.run(_start(server_args))
        except BaseException:
            self._background.close()
            raise
        atexit.register(self.shutdown)

    @property
    def tokenizer_manager(self) -> TokenizerManager:
        """The API side of the requests; ``.tokenizer`` is the model's tokenizer."""
        return self._state.manager

    def generate(
        self,
        prompt: list[str] | str | None = None,
        sampling_params: list[dict[str, Any]] | dict[str, Any] | None = None,
        input_ids: list[list[int]] | list[int] | None = None,
        return_logprob: list[bool] | bool | None = False,
        logprob_start_len: list[int] | int | None = None,
        top_logprobs_num: list[int] | int | None = None,
        lora_path: list[str | None] | str | None = None,
        custom_logit_processor: list[str | None] | str | None = None,
        stream: bool = False,
        **more: Any,
    ) -> Output | list[Output] | Iterator[Output]:
        """Answers to one prompt (a dict) or several (a list of dicts), in their order.

        With ``stream`` an iterator of cumulative chunks; leaving it early aborts the request.
        Further keywords are fields of ``GenerateReqInput``.

        Raises:
            ValueError: the request is wrong (RequestError), or the engine is gone.
        """
        obj = _request(
            text=prompt,
            sampling_params=sampling_params,
            input_ids=input_ids,
            return_logprob=return_logprob,
            logprob_start_len=logprob_start_len,
            top_logprobs_num=top_logprobs_num,
            lora_path=lora_path,
            custom_logit_processor=custom_logit_processor,
            stream=stream,
            **more,
        )
        if stream:
            return self._iterate(obj)
        output: Output | list[Output] = self._background.run(self._only(obj))
        return output

    async def async_generate(
        self,
        prompt: list[str] | str | None = None,
        sampling_params: list[dict[str, Any]] | dict[str, Any] | None = None,
        input_ids: list[list[int]] | list[int] | None = None,
        return_logprob: list[bool] | bool | None = False,
        logprob_start_len: list[int] | int | None = None,
        top_logprobs_num: list[int] | int | None = None,
        lora_path: list[str | None] | str | None = None,
        custom_logit_processor: list[str | None] | str | None = None,
        stream: bool = False,
        **more: Any,
    ) -> Output | list[Output] | AsyncIterator[Output]:
        """:meth:`generate` without blocking the event loop; with ``stream`` an async iterator."""
        obj = _request(
            text=prompt,
            sampling_params=sampling_params,
            input_ids=input_ids,
            return_logprob=return_logprob,
            logprob_start_len=logprob_start_len,
            top_logprobs_num=top_logprobs_num,
            lora_path=lora_path,
            custom_logit_processor=custom_logit_processor,
            stream=stream,
            **more,
        )
        if stream:
            return self._iterate_async(obj)
        output: Output | list[Output] = await self._background.run_async(self._only(obj))
        return output

    def encode(
        self,
        prompt: list[str] | str | None = None,
        input_ids: list[list[int]] | list[int] | None = None,
        dimensions: int | None = None,
        **more: Any,
    ) -> Output | list[Output]:
        """Embeddings or scores of one prompt (a dict) or several (a list of dicts).

        ``dimensions`` shortens embeddings. Further keywords are fields of ``EmbeddingReqInput``.

        Raises:
            ValueError: the request is wrong, the model generates text, or the engine is gone.
        """
        fields = {"text": prompt, "input_ids": input_ids, "dimensions": dimensions, **more}
        return self._background.run(self._embed(_embedding_request(**fields)))

    async def async_encode(
        self,
        prompt: list[str] | str | None = None,
        input_ids: list[list[int]] | list[int] | None = None,
        dimensions: int | None = None,
        **more: Any,
    ) -> Output | list[Output]:
        """:meth:`encode` without blocking the event loop."""
        fields = {"text": prompt, "input_ids": input_ids, "dimensions": dimensions, **more}
        return await self._background.run_async(self._embed(_embedding_request(**fields)))

    def flush_cache(self) -> ControlReply:
        """Drop the prefix cache."""
        return self._background.run(self.tokenizer_manager.flush_cache())

    def update_weights_from_disk(
        self, model_path: str, load_format: str | None = None
    ) -> WeightUpdate:
        """Serve the weights of another checkpoint of the same model: (success, message).

        Waits for the requests that have begun. After a failure the old weights are served on.
        """
        return self._background.run(update_weights(self._state, model_path, load_format))

    def open_session(self, capacity_of_str_len: int, session_id: str | None = None) -> str:
        """The id of a new session, for ``session_params`` of :meth:`generate`."""
        return self._background.run(self._open_session(capacity_of_str_len, session_id))

    def close_session(self, session_id: str) -> None:
        """Forget a session; what runs in it ends."""
        self._background.run(self._close_session(session_id))

    def start_profile(
        self,
        output_dir: str | None = None,
        num_steps: int | None = None,
        activities: list[str] | None = None,
    ) -> str:
        """Record the engine's steps; returns the file of the trace.

        It lies in the folder SGLANG_TORCH_PROFILER_DIR, or ``output_dir`` in it.
        """
        return self._background.run(profile.start(self._state, output_dir, num_steps, activities))

    def stop_profile(self) -> str:
        """Write what was recorded; returns the file."""
        return self._background.run(profile.stop(self._state))

    def get_server_info(self) -> dict[str, Any]:
        """Options, limits and the engine's gauges."""
        return self._background.run(collect_server_info(self._state))

    def abort(self, rid: str) -> bool:
        """Stop a request by its rid; False if there is none."""
        return self._background.run(self._abort(rid))

    def shutdown(self) -> None:
        """Stop the engine process. May be called again; happens by itself at exit."""
        if self._background.closed:
            return
        atexit.unregister(self.shutdown)
        self._background.run(self.tokenizer_manager.stop())
        self._background.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    async def _only(self, obj: GenerateReqInput) -> Any:
        async with aclosing(self.tokenizer_manager.generate(obj)) as outputs:
            return await anext(outputs)

    async def _embed(self, obj: EmbeddingReqInput) -> Output | list[Output]:
        group = await self.tokenizer_manager.embed(obj)
        answers: list[Output] = native_embeddings(group, obj.dimensions)
        for answer in answers:
            answer["embedding"] = answer["embedding"].tolist()
        return answers[0] if group.is_single else answers

    async def _open_session(self, capacity: int, session_id: str | None) -> str:
        return sessions.open_one(self._state, capacity, session_id)

    async def _close_session(self, session_id: str) -> None:
        self.tokenizer_manager.sessions.close(session_id)

    async def _abort(self, rid: str) -> bool:
        return self.tokenizer_manager.abort(rid)

    def _iterate(self, obj: GenerateReqInput) -> Iterator[Output]:
        chunks = self.tokenizer_manager.generate(obj)
        try:
            while (chunk := self._background.run(_next(chunks))) is not None:
                yield chunk
        finally:
            if not self._background.closed:
                self._background.run(chunks.aclose())

    async def _iterate_async(self, obj: GenerateReqInput) -> AsyncIterator[Output]:
        chunks = self.tokenizer_manager.generate(obj)
        try:
            while (chunk := await self._background.run_async(_next(chunks))) is not None:
                yield chunk
        finally:
            if not self._background.closed:
                await self._background.run_async(chunks.aclose())


class _BackgroundLoop:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self.closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="sglang-engine", daemon=True
        )
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, done on the loop; called from another thread."""
        self._check(work)
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def run_async(self, work: Coroutine[Any, Any, T]) -> T:
        """The same for a caller that has an event loop of its own."""
        self._check(work)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _check(self, work: Coroutine[Any, Any, T]) -> None:
        if self.closed:
            work.close()
            raise RuntimeError("the engine has been shut down")


async def _start(args: ServerArgs) -> ServerState:
    try:
        state = await start_runtime(args, metrics=make_metrics(args))
    except EngineDead as error:
        raise RuntimeError(f"the engine could not start: {error}") from None
    state.manager.start()
    return state


def _request(**fields: Any) -> GenerateReqInput:
    try:
        return GenerateReqInput(**fields)
    except TypeError as error:
        raise ValueError(str(error).replace("GenerateReqInput.__init__()", "generate()")) from None


def _embedding_request(**fields: Any) -> EmbeddingReqInput:
    try:
        return EmbeddingReqInput(**fields)
    except TypeError as error:
        raise ValueError(str(error).replace("EmbeddingReqInput.__init__()", "encode()")) from None


async def _next(chunks: AsyncGenerator[Any, None]) -> Any:
    return await anext(chunks, None)
