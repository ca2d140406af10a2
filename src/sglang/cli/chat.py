"""``sglang chat``: a conversation in the terminal."""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import shlex
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from sglang.cli.chat_client import ChatError, Conversation, connect
from sglang.cli.serve import is_demo, missing_runtime
from sglang.srt.server_args import ServerArgs
from sglang.utils import execute_shell_command, reserve_port, terminate_process, wait_until_ready

_HELP = """\
/system TEXT  set the system prompt (/system alone shows it)
/reset        forget the conversation, keep the system prompt
/help         show this
/exit         leave (so does Ctrl-D, or Ctrl-C at the prompt)
Ctrl-C while an answer is being written stops that answer only."""

_HISTORY_LINES = 1000


def main(argv: Sequence[str], prog: str = "sglang chat") -> int:
    """Chat until the input ends; returns the exit status."""
    given, server_argv = _parser(prog).parse_known_args(list(argv))
    api_key = given.api_key or os.environ.get("SGLANG_API_KEY")
    # A closed terminal must not leave a server behind.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:
        with contextlib.ExitStack() as stack:
            url = given.url
            if url is None:
                url, api_key = stack.enter_context(_own_server(server_argv, api_key, prog))
            elif server_argv:
                _parser(prog).error(f"unknown argument {server_argv[0]} (with --url)")
            conversation = connect(url, api_key)
            stack.callback(conversation.client.close)
            conversation.system = given.system
            settings = {"temperature": given.temperature, "max_tokens": given.max_tokens}
            conversation.settings = {k: v for k, v in settings.items() if v is not None}
            _note(f"Chatting with {conversation.model}. /help shows the commands.")
            return _talk(conversation)
    except ChatError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Chat with a model in the terminal. Without --url a server is started for "
        "the occasion and stopped at the end; any option of sglang serve may be given for it.",
        epilog="commands during a chat:\n" + _HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--url", help="a running server, for example http://127.0.0.1:30000")
    parser.add_argument("--api-key", help="its key (environment: SGLANG_API_KEY)")
    parser.add_argument("--system", default="", metavar="TEXT", help="the system prompt")
    parser.add_argument("--temperature", type=float, help="0 always takes the likeliest word")
    parser.add_argument("--max-tokens", type=int, help="the longest answer, in tokens")
    return parser


@contextlib.contextmanager
def _own_server(argv: list[str], api_key: str | None, prog: str) -> Iterator[tuple[str, str]]:
    """Run a server on a free loopback port; gives its url and its key."""
    server_args = ServerArgs.from_cli(argv, prog)
    if missing := missing_runtime():
        raise ChatError(f"no module {missing}; install it with: pip install 'sglang[srt]'")
    name = "the built-in demo model" if is_demo(server_args) else server_args.model_path
    _note(f"Starting {name} ...")
    key = api_key or secrets.token_urlsafe(16)  # other users of the machine stay out
    with reserve_port() as reservation, tempfile.TemporaryFile("w+") as log:
        port = reservation.getsockname()[1]
        place = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
        command = [sys.executable, "-m", "sglang.launch_server", *argv, *place]
        process = execute_shell_command(shlex.join(command), {"SGLANG_API_KEY": key}, log)
        try:
            url = f"http://127.0.0.1:{port}"
            try:
                wait_until_ready(url, process=process)
            except RuntimeError:
                log.seek(0)
                raise ChatError("the server could not start:\n" + log.read().strip()) from None
            yield url, key
        finally:
            terminate_process(process)


def _talk(conversation: Conversation) -> int:
    """Read, answer, repeat. Returns 1 if a question of a piped input went unanswered."""
    status = 0
    interactive = sys.stdin.isatty()
    with _line_editing(interactive):
        for line in _lines(interactive):
            if line in ("/exit", "/quit"):
                break
            if line.startswith("/"):
                _command(conversation, line)
                continue
            try:
                _answer(conversation, line)
            except ChatError as error:
                _note(f"error: {error}")
                status = 0 if interactive else 1
    return status


def _lines(interactive: bool) -> Iterator[str]:
    """What the user types, until the end of the input or Ctrl-C at the prompt."""
    while True:
        try:
            line = input("you> " if interactive else "")
        except (EOFError, KeyboardInterrupt):
            if interactive:
                print()
            return
        if line.strip():
            yield line.strip()


def _answer(conversation: Conversation, text: str) -> None:
    with contextlib.closing(conversation.ask(text)) as pieces:
        try:
            for piece in pieces:
                print(piece, end="", flush=True)
            print()
        except KeyboardInterrupt:
            print()
            _note("(stopped)")
    if conversation.finish_reason == "length":
        _note("(the answer reached its length limit)")


def _command(conversation: Conversation, line: str) -> None:
    name, _, rest = line.partition(" ")
    if name == "/reset":
        conversation.reset()
        _note("The conversation starts anew.")
    elif name == "/system":
        if rest.strip():
            conversation.system = rest.strip()
        _note(f"System prompt: {conversation.system or '(none)'}")
    elif name == "/help":
        _note(_HELP)
    else:
        _note(f"There is no command {name}.\n{_HELP}")


@contextlib.contextmanager
def _line_editing(interactive: bool) -> Iterator[None]:
    """Arrow keys and a history that outlives the chat, where Python has readline."""
    if not interactive:
        yield
        return
    try:
        import readline
    except ImportError:
        yield
        return
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(state) / "sglang" / "chat_history"
    with contextlib.suppress(OSError):
        readline.read_history_file(path)
    try:
        yield
    finally:
        readline.set_history_length(_HISTORY_LINES)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            readline.write_history_file(path)
            path.chmod(0o600)


def _note(text: str) -> None:
    """Say something that is no part of an answer."""
    print(text, file=sys.stderr, flush=True)
