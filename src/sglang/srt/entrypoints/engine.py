"""The offline engine: the same model and scheduler, called from Python without a server."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from contextlib import aclosing
from typing import Any, TypeVar

from sglang.srt.entrypoints.native import collect_server_info
from sglang.srt.entrypoints.runtime import make_metrics, start_runtime
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.logs.setup import configure_logging
from sglang.srt.managers.engine_client import EngineDead
from sglang.srt.managers.errors import NotImplementedYetError
from sglang.srt.managers.io_struct import ControlReply, GenerateReqInput
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

    def encode(self, prompt: Any) -> Any:
        """Embeddings of prompts."""
        raise NotImplementedYetError("Engine.encode")

    def flush_cache(self) -> ControlReply:
        """Drop the prefix cache."""
        return self._background.run(self.tokenizer_manager.flush_cache())

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


async def _next(chunks: AsyncGenerator[Any, None]) -> Any:
    return await anext(chunks, None)
