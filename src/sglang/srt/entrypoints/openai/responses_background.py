"""Responses that nobody waits for: asked for with ``background``, looked at later."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sglang.srt.entrypoints.openai.responses_store import ResponseStore
from sglang.srt.managers.errors import RequestError

if TYPE_CHECKING:
    from sglang.srt.entrypoints.openai.responses_answer import ResponseAnswer


@dataclass(frozen=True)
class _Running:
    answer: ResponseAnswer
    task: asyncio.Task[None]


class BackgroundResponses:
    """Owns the responses that are in the making; the store has them while and afterwards."""

    def __init__(self, store: ResponseStore) -> None:
        self._store = store
        self._running: dict[str, _Running] = {}

    def start(self, answer: ResponseAnswer) -> dict[str, Any]:
        """Have the answer made by itself; returns the response as it is now."""
        response = answer.response("queued")
        self._store.put(answer.storable(response))
        task = asyncio.create_task(self._run(answer))
        self._running[answer.id] = _Running(answer, task)
        task.add_done_callback(lambda _: self._running.pop(answer.id, None))
        return response

    def get(self, id: str) -> dict[str, Any]:
        """The response as it is now.

        Raises:
            RequestError: there is none (404).
        """
        stored = self._store.get(id).response
        running = self._running.get(id)
        if running is None:
            return stored
        return running.answer.response("in_progress" if running.answer.has_begun else "queued")

    async def cancel(self, id: str) -> dict[str, Any]:
        """Stop a response; one that has ended stays what it is.

        Raises:
            RequestError: there is none (404), or it was never in the background.
        """
        stored = self._store.get(id)
        if not stored.response["background"]:
            raise RequestError(
                "only responses with background=true can be cancelled; to stop another, close its "
                "connection"
            )
        running = self._running.get(id)
        if running is None:
            return stored.response
        await self._stop(running)
        response = running.answer.cancelled()
        self._store.put(running.answer.storable(response))
        return response

    async def delete(self, id: str) -> None:
        """Forget a response, and stop it if need be. Raises RequestError 404."""
        self._store.delete(id)
        running = self._running.get(id)
        if running is not None:
            await self._stop(running)

    async def stop(self) -> None:
        """Stop all of them: the server ends."""
        for running in list(self._running.values()):
            await self._stop(running)

    async def _run(self, answer: ResponseAnswer) -> None:
        try:
            response = await answer.whole()
        except RequestError as error:
            response = answer.failed(error)
        if response["status"] == "failed":  # what is complete has been stored
            self._store.put(answer.storable(response))

    @staticmethod
    async def _stop(running: _Running) -> None:
        running.task.cancel()
        await asyncio.gather(running.task, return_exceptions=True)
