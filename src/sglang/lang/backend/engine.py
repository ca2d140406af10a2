"""Programs against an engine in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from sglang.lang.backend.native import Body, NativeBackend
from sglang.lang.errors import BackendError


class EngineLike(Protocol):
    """What is used of ``sglang.Engine``."""

    def generate(self, prompt: Any = None, **fields: Any) -> Any: ...

    def flush_cache(self) -> Any: ...

    def get_server_info(self) -> dict[str, Any]: ...


class EngineBackend(NativeBackend):
    """An engine as a backend; ``set_default_backend(sgl.Engine())`` makes one by itself."""

    def __init__(self, engine: EngineLike, chat_template_name: str | None = None) -> None:
        super().__init__(_Calls(engine), chat_template_name)


class _Calls:
    """A transport that calls the engine's methods."""

    def __init__(self, engine: EngineLike) -> None:
        self._engine = engine

    def generate(self, body: Body) -> Any:
        fields = dict(body)
        prompt = fields.pop("text", None)
        try:
            return self._engine.generate(prompt, **fields)
        except (ValueError, RuntimeError) as error:
            raise BackendError(str(error)) from error

    def stream(self, body: Body) -> Iterator[Body]:
        chunks = self.generate(body)
        try:
            yield from chunks
        except (ValueError, RuntimeError) as error:
            raise BackendError(str(error)) from error

    def separate_reasoning(self, body: Body) -> Body:
        raise BackendError("separate_reasoning needs a server: use RuntimeEndpoint or Runtime")

    def flush_cache(self) -> None:
        self._engine.flush_cache()

    def get_server_info(self) -> Body:
        return self._engine.get_server_info()
