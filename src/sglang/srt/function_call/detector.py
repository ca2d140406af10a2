"""What all formats of tool calls have in common.

A format is a subclass of :class:`BaseFormatDetector` that names the tags its calls begin with and
reads on from there; see ``hermes.py`` for a short one. What counts as a call:

* It becomes one when the name of an offered function is known and its arguments have begun. What
  does not get that far is text, with all tags, and so is a call of a function nobody offered.
* From then on the arguments are passed on as they come. Should they turn out broken, they are what
  the model wrote, up to the end of the call.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sglang.srt.function_call.items import StreamingParseResult, ToolCallItem, whole_calls
from sglang.srt.function_call.reader import Reader, Steps, Tags
from sglang.srt.function_call.text_gate import TextGate

if TYPE_CHECKING:
    from sglang.srt.managers.io_struct import Tool

_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True)
class CallForm:
    """How a call with JSON arguments is written out, for a grammar that demands one."""

    trigger: str
    """What only calls begin with."""
    before_name: str
    """It begins with ``trigger``."""
    after_name: str
    end: str = ""


class BaseFormatDetector:
    """Finds the calls in one answer, however the text is cut into pieces."""

    starts: tuple[str, ...] = ()
    """Tags that calls begin with."""
    tags: tuple[str, ...] = ()
    """Further tags of the format. A tokenizer may know them as special tokens, which would be
    left out of the text."""
    template_marks: tuple[str, ...] = ()
    """What only the chat templates of models with this format contain."""
    form: CallForm | None = None
    """None where arguments are not written as JSON."""

    def __init__(self) -> None:
        self.reader = Reader()
        self._gate = TextGate()
        self._calls: list[ToolCallItem] = []
        self.num_calls = 0
        """Calls found so far."""
        self._ids: set[str] = set()
        self._tools: Sequence[Tool] = ()
        self._schemas: dict[str, dict[str, Any]] = {}
        self._steps = self.read()
        self._is_over = False

    # ------------------------------------------------------------------ for callers

    def has_tool_call(self, text: str) -> bool:
        """Whether ``text`` holds a tag that calls begin with."""
        return any(start in text for start in self.starts)

    def detect_and_parse(self, text: str, tools: Sequence[Tool]) -> StreamingParseResult:
        """Text and calls of a whole answer."""
        detector = type(self)()
        first = detector.parse_streaming_increment(text, tools)
        rest = detector.finish()
        return StreamingParseResult(
            first.normal_text + rest.normal_text, whole_calls(first.calls + rest.calls)
        )

    def parse_streaming_increment(
        self, new_text: str, tools: Sequence[Tool]
    ) -> StreamingParseResult:
        """What the next piece of an answer adds. ``tools`` are the same for all pieces."""
        if tools is not self._tools:
            self._tools = tools
            self._schemas = {tool.function.name: tool.function.parameters or {} for tool in tools}
        self.reader.feed(new_text)
        self._resume()
        return self._result()

    def finish(self) -> StreamingParseResult:
        """What was held back, when the answer is over."""
        self.reader.end()
        self._resume()
        self._gate.end()
        return self._result()

    def _resume(self) -> None:
        if not self._is_over:
            self._is_over = next(self._steps, self) is self

    def _result(self) -> StreamingParseResult:
        calls, self._calls = self._calls, []
        return StreamingParseResult(self._gate.take(), calls)

    # ------------------------------------------------------------------ for formats

    def read(self) -> Steps[None]:
        """Read the answer: text, and calls wherever a tag of ``starts`` begins one."""
        starts = Tags(*self.starts)
        while True:
            start = yield from self.reader.until(starts, self.text)
            if start is None:
                return
            yield from self.attempt(start, self.read_calls(start))

    def read_calls(self, start: str) -> Steps[None]:
        """Read what follows the tag ``start``, up to the end of the call or calls.

        Whatever it has read when it returns and did not turn into a call becomes text.
        """
        raise NotImplementedError

    def attempt(self, start: str, steps: Steps[None]) -> Steps[None]:
        """Run ``steps``; what they read (and ``start``) is text unless it becomes a call."""
        self.reader.record(start)
        yield from steps
        self.text(self.reader.recorded())

    def close(self, tag: str) -> Steps[None]:
        """Read white space and the ``tag`` that closes a call, if it is there."""
        if (yield from self.reader.close(tag)):
            self.reader.record()

    def accept_after_space(self, tag: str) -> Steps[bool]:
        """Read white space, and ``tag`` if it follows."""
        yield from self.reader.space()
        return (yield from self.reader.accept(tag))

    def text(self, piece: str) -> None:
        """Text of the answer."""
        self._gate.push(piece)

    def schema(self, name: str) -> dict[str, Any] | None:
        """JSON schema of the arguments of a function; None if it was not offered."""
        return self._schemas.get(name)

    def begin_call(self, name: str, id: str | None = None) -> None:
        """From here on it is a call: nothing of what was read is text."""
        self.reader.recorded()
        self._gate.cut()
        if id is None or id in self._ids:
            id = self.new_id(name)
        self._ids.add(id)
        self._calls.append(ToolCallItem(self.num_calls, name, "", id))
        self.num_calls += 1

    def arguments(self, piece: str) -> None:
        """The next piece of the call's arguments."""
        if not piece:
            return
        if self._calls and self._calls[-1].name is None:
            self._calls[-1].parameters += piece
        else:
            self._calls.append(ToolCallItem(self.num_calls - 1, None, piece))

    def end_call(self) -> None:
        """The arguments are complete; what follows may be text again."""
        self.reader.record()

    def new_id(self, name: str) -> str:
        """An id for a call of ``name`` that the model gave none, or one that is taken."""
        return "call_" + random_letters(24)


def random_letters(count: int) -> str:
    """Letters and digits that nobody can guess."""
    return "".join(secrets.choice(_LETTERS) for _ in range(count))
