"""The options of everything around the engine: HTTP, the API and the log."""

from __future__ import annotations

from dataclasses import dataclass

from sglang.srt.server_args.choices import REASONING_PARSERS, TOOL_CALL_PARSERS
from sglang.srt.server_args.option import Section

HTTP = Section("HTTP server")
API = Section("API")
LOGGING = Section("Logging")

_LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


@dataclass(frozen=True)
class ServingOptions:
    """A part of :class:`~sglang.srt.server_args.args.ServerArgs`."""

    host: str = HTTP.option("127.0.0.1", "The address to listen on.")
    port: int = HTTP.option(30000, "The port to listen on.", minimum=1, maximum=65535)
    uds: str | None = HTTP.option(
        None, "A unix socket to listen on instead; only its owner may connect.", default_text="none"
    )
    root_path: str = HTTP.option(
        "",
        "The path under which a proxy offers the server, for example /llm. Requests may come with "
        "it or without.",
        default_text="none",
    )
    ssl_certfile: str | None = HTTP.option(
        None, "The certificate chain (PEM), to speak HTTPS.", default_text="none"
    )
    ssl_keyfile: str | None = HTTP.option(
        None, "The certificate's key (PEM).", default_text="in the certificate's file"
    )
    allowed_hosts: list[str] | None = HTTP.option(
        None,
        "The names by which clients may call the server (the Host header, without the port). * "
        "allows all.",
        default_text="local ones while only this machine can connect and no key is needed, else "
        "all",
    )
    cors_allow_origins: list[str] | None = HTTP.option(
        None,
        "Web sites whose pages may use the server from a browser, for example "
        "https://example.com. * allows all.",
        default_text="none",
    )
    max_queued_requests: int | None = HTTP.option(
        None,
        "The most sequences that wait for the engine; requests beyond are refused with 429.",
        minimum=1,
        default_text="65536 waiting and running",
    )
    request_timeout: float | None = HTTP.option(
        None,
        "Seconds from a request's arrival after which it is given up with 504, waiting included.",
        above=0,
        maximum=31536000,
        default_text="none",
    )
    drain_timeout: float = HTTP.option(
        25.0,
        "Seconds that running requests get to end after SIGTERM or Ctrl-C. A second signal ends "
        "the server at once.",
        minimum=0,
        maximum=86400,
    )
    api_key: str | None = API.option(
        None,
        "The key that clients must send. Prefer the variable: a command line can be read by "
        "every user of the machine.",
        env="SGLANG_API_KEY",
        secret=True,
    )
    admin_api_key: str | None = API.option(
        None,
        "The key for routes that steer the server, such as /flush_cache; it opens all others as "
        "well. See operations.md.",
        env="SGLANG_ADMIN_API_KEY",
        secret=True,
        default_text="none",
    )
    file_storage_pth: str = API.option(
        "sglang_storage",
        "Folder for files that come from or result from API calls, and for batches. It is made "
        "when it is first needed; each server needs one of its own.",
        aliases=("--file-storage-path",),
    )
    file_storage_quota: float | None = API.option(
        None,
        "GiB that the files in the storage folder may take. Uploads beyond are refused with 413; "
        "what batches write is counted, but never refused.",
        above=0,
        maximum=1048576,
        default_text="none",
    )
    enable_cache_report: bool = API.option(
        False, "Report cached prompt tokens in the usage of OpenAI-compatible answers."
    )
    strict_model_name: bool = API.option(False, "Refuse requests that name another model with 404.")
    tool_call_parser: str | None = API.option(
        None,
        "How the model writes tool calls.",
        choices=TOOL_CALL_PARSERS,
        default_text="told by the chat template",
    )
    reasoning_parser: str | None = API.option(
        None,
        "How the model marks its reasoning, which answers then have in a field of its own.",
        choices=REASONING_PARSERS,
    )
    enable_custom_logit_processor: bool = API.option(
        False,
        "Let requests bring a logit processor of their own, that is, code that the engine runs; "
        "see sampling-parameters.md.",
    )
    return_hidden_states: bool = API.option(
        False,
        "Return the hidden states of the tokens from /generate, unless a request says otherwise. "
        "Such requests take nothing from the prefix cache.",
    )

    # ---- Logging ---------------------------------------------------------------------
    log_level: str = LOGGING.option("info", "How much is logged.", choices=_LOG_LEVELS)
    log_level_http: str = LOGGING.option(
        None,
        "How much the HTTP server logs.",
        choices=_LOG_LEVELS,
        default_text="the log level",
    )
    log_format: str = LOGGING.option(
        "text", "The form of log lines. json: one object a line.", choices=("text", "json")
    )
    log_requests: bool = LOGGING.option(False, "Log the input and output of every request.")
    show_time_cost: bool = LOGGING.option(
        False, "Log where the time of each request and of the engine's steps goes."
    )
    enable_metrics: bool = LOGGING.option(False, "Export Prometheus metrics at /metrics.")
    otlp_traces_endpoint: str | None = LOGGING.option(
        None,
        "Where to send OpenTelemetry traces (OTLP over HTTP), for example http://localhost:4318. "
        "Needs sglang[tracing].",
        default_text="none",
    )
    decode_log_interval: int = LOGGING.option(
        40, "Decode steps between two progress lines in the log.", minimum=1
    )
