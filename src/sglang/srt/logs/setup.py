"""How log lines look: text for people, or one JSON object a line for programs.

A line's fields for programs go in as ``extra={"fields": {...}}``; the text has them in words.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any

from sglang.srt.logs.request_id import REQUEST_ID

FORMATS = ("text", "json")


class JsonFormatter(logging.Formatter):
    """``{"time", "level", "logger", "message", "request_id", ...}``, the fields at the end."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := REQUEST_ID.get():
            line["request_id"] = request_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        line |= getattr(record, "fields", {})
        return json.dumps(line, default=str)


def configure_logging(level: str, *, form: str = "text", level_http: str | None = None) -> None:
    """Set the process' log up, unless the program that we are part of has done so.

    ``form`` is one of :data:`FORMATS`; ``level_http`` is for the lines about HTTP requests.
    """
    handler = logging.StreamHandler()
    if form == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(
            logging.Formatter("[%(asctime)s] %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
        )
    logging.basicConfig(level=level.upper(), handlers=[handler])
    if level_http is not None:
        logging.getLogger("sglang.access").setLevel(level_http.upper())
