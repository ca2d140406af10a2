"""Where a server stands between its start and its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import RequestError

if TYPE_CHECKING:
    from sglang.srt.metrics.server_metrics import ServerMetrics
    from sglang.srt.server_args import ServerArgs

Status = Literal["loading", "ready", "draining", "dead"]


@dataclass
class Lifecycle:
    """A server, whose routes are there before its model is."""

    server_args: ServerArgs
    metrics: ServerMetrics | None = None
    state: ServerState | None = None
    """The running model; None until it has answered its first request."""

    @property
    def status(self) -> Status:
        """What the probes tell: only a server that is ready takes requests."""
        if self.state is None:
            return "loading"
        if self.state.manager.dead_reason is not None:
            return "dead"
        return "draining" if self.state.manager.draining else "ready"

    def accepting(self) -> ServerState:
        """The model, for a new request.

        Raises:
            RequestError: it is still being loaded, or about to be stopped (503).
        """
        state = self.running()
        if state.manager.draining:
            raise RequestError("the server is shutting down", status=503, code="shutting_down")
        return state

    def running(self) -> ServerState:
        """The model, for a route that needs it.

        Raises:
            RequestError: it is still being loaded (503).
        """
        if self.state is None:
            raise RequestError("the model is still being loaded", status=503, code="loading")
        return self.state
