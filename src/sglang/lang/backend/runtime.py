"""A server of one's own for programs: started with them, and ended."""

from __future__ import annotations

import json
import shlex
from typing import Any

from sglang.lang.backend.runtime_endpoint import RuntimeEndpoint
from sglang.utils import launch_server_cmd, terminate_process, wait_until_ready


class Runtime(RuntimeEndpoint):
    """Starts a server and is its endpoint. Also a context manager.

    Args:
        chat_template_name: How roles are written; by default as the server says.
        options: Server arguments, with underscores: ``model_path="..."``, ``log_level="error"``.
            Without a model the demo model is served. Flags are given as True.

    Raises:
        RuntimeError: the server ended before it was ready; its output says why.
    """

    def __init__(self, chat_template_name: str | None = None, **options: Any) -> None:
        command = ["python", "-m", "sglang.launch_server"]
        for name, value in {"log_level": "error", **options}.items():
            command += _argument(name, value)
        self._process, port = launch_server_cmd(shlex.join(command))
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until_ready(url, process=self._process)
            super().__init__(
                url, api_key=options.get("api_key"), chat_template_name=chat_template_name
            )
        except BaseException:
            self.shutdown()
            raise

    def shutdown(self) -> None:
        """Stop the server; happens by itself at exit."""
        terminate_process(self._process)

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()


def _argument(name: str, value: Any) -> list[str]:
    """One server argument as words of a command line; none for None and False."""
    flag = "--" + name.replace("_", "-")
    if value is None or value is False:
        return []
    if value is True:
        return [flag]
    if isinstance(value, (list, tuple)):
        return [flag, *map(str, value)]
    return [flag, json.dumps(value) if isinstance(value, dict) else str(value)]
