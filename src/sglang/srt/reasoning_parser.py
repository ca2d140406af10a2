"""What a model thinks and what it answers, told apart.

:class:`ReasoningParser` splits the text of an answer, whole or in pieces, into reasoning and the
rest. Most formats are a row of :data:`FORMATS`. No torch here: the API process imports this module.
"""

from __future__ import annotations

from dataclasses import dataclass

from sglang.srt.function_call.gpt_oss import (
    END,
    HEADER_ENDS,
    HEADER_STARTS,
    MESSAGE,
    RETURN,
    TAGS,
)
from sglang.srt.function_call.reader import NO_TAGS, Reader, Steps, Tags
from sglang.srt.function_call.text_gate import TextGate


@dataclass(frozen=True)
class ReasoningFormat:
    """How a family of models marks its reasoning."""

    start: str = "<think>"
    end: str = "</think>"
    starts_inside: bool = False
    """The answer begins with reasoning even if no tag says so."""
    interrupts: tuple[str, ...] = ()
    """Tags of what ends the reasoning without its end tag."""
    others: tuple[str, ...] = ()
    """Further tags of the format."""
    is_expected: bool = False
    """Every answer begins with reasoning, its start tag included."""
    closing: str = ""
    """What ends the reasoning, where that does not begin the answer as well."""
    answer: str = ""
    """What begins the answer; the end of the reasoning unless given."""
    call: str = ""
    """What begins a call; what begins the answer unless given."""

    @property
    def before_answer(self) -> str:
        """Behind this, the answer has to be what was asked for."""
        return self.answer or self.end

    @property
    def before_call(self) -> str:
        """Behind this there has to be a call, if one has to be made."""
        return self.call or self.before_answer

    @property
    def tags(self) -> tuple[str, ...]:
        """All tags. A tokenizer may know them as special tokens, which it leaves out of texts."""
        return (self.start, self.end, *self.interrupts, *self.others)


FORMATS: dict[str, ReasoningFormat] = {
    "deepseek-r1": ReasoningFormat(starts_inside=True),
    "deepseek-v3": ReasoningFormat(),
    "qwen3": ReasoningFormat(),
    "qwen3-thinking": ReasoningFormat(starts_inside=True),
    "glm45": ReasoningFormat(),
    "kimi": ReasoningFormat("◁think▷", "◁/think▷"),
    "kimi_k2": ReasoningFormat(interrupts=("<|tool_calls_section_begin|>",)),
    "step3": ReasoningFormat(starts_inside=True),
    "magistral": ReasoningFormat("[THINK]", "[/THINK]"),
    "seed-oss": ReasoningFormat("<seed:think>", "</seed:think>"),
    "gpt-oss": ReasoningFormat(
        "<|channel|>analysis<|message|>",
        END,
        others=TAGS,
        is_expected=True,
        closing=END,
        answer="<|start|>assistant<|channel|>final<|message|>",
        call="<|start|>assistant",
    ),
}
"""By the names that ``--reasoning-parser`` takes."""


def find_format(name: str) -> ReasoningFormat:
    """The format called ``name``; raises ValueError if there is none."""
    if name not in FORMATS:
        raise ValueError(f"reasoning_parser must be one of {', '.join(FORMATS)}; got {name[:60]!r}")
    return FORMATS[name]


def starts_inside(format: ReasoningFormat, prompt: str, begun: object = None) -> bool:
    """Whether an answer to ``prompt`` begins with reasoning before any tag says so.

    ``begun`` is the part of the answer that the prompt ends with, if it does and is a string.
    """
    if isinstance(begun, str) and (format.start in begun or format.end in begun):
        return begun.rfind(format.start) > begun.rfind(format.end)
    prompt = prompt[-200:].rstrip()
    if prompt.endswith(format.end):
        return False
    return format.starts_inside or prompt.endswith(format.start)


class ReasoningParser:
    """Splits one answer."""

    def __init__(
        self,
        model_type: str,
        stream_reasoning: bool = True,
        force_reasoning: bool | None = None,
        *,
        keep_tags: bool = False,
    ) -> None:
        """
        Args:
            model_type: Names the format, as ``--reasoning-parser`` does.
            stream_reasoning: False: hand the reasoning out in one piece, when it is complete.
            force_reasoning: Whether the answer begins with reasoning before any tag says so.
                None: as the format says.
            keep_tags: Leave the tags of the reasoning, and white space around it, where they are.

        Raises:
            ValueError: there is no such format.
        """
        self._format = find_format(model_type)
        self._is_inside = self._format.starts_inside if force_reasoning is None else force_reasoning
        self._streams = stream_reasoning
        self._keep_tags = keep_tags
        self._reader = Reader()
        self._reasoning = TextGate(is_cut=not keep_tags)
        self._content = TextGate()
        self._held: list[str] = []
        self._steps = self._read_harmony() if model_type == "gpt-oss" else self._read()
        self._is_over = False
        self.reasoning_chars = 0
        """Once the answer is over: its length up to where the reasoning and its end tag end."""

    def parse_non_stream(self, full_text: str) -> tuple[str, str]:
        """Reasoning and the rest of a whole answer."""
        first = self.parse_stream_chunk(full_text)
        last = self.finish()
        return first[0] + last[0], first[1] + last[1]

    def parse_stream_chunk(self, chunk_text: str) -> tuple[str, str]:
        """What the next piece of an answer adds to reasoning and rest.

        What could be the beginning of a tag is held back, so :meth:`finish` has to be called when
        the answer is over.
        """
        self._reader.feed(chunk_text)
        self._resume()
        return self._take()

    def finish(self) -> tuple[str, str]:
        """What was held back when the answer ended."""
        self._reader.end()
        self._resume()
        self._content.end()
        self._streams = True
        return self._take()

    def _resume(self) -> None:
        if not self._is_over:
            self._is_over = next(self._steps, self) is self

    def _take(self) -> tuple[str, str]:
        content = self._content.take()
        self._held.append(self._reasoning.take())
        if not self._streams and not content:
            return "", ""
        reasoning = "".join(self._held)
        self._held.clear()
        return reasoning, content

    # ------------------------------------------------------------------ formats

    def _read(self) -> Steps[None]:
        """Reasoning at the beginning, then the rest."""
        self._reader.record()
        yield from self._reader.space()
        is_tagged = yield from self._reader.accept(self._format.start)
        opening = self._reader.recorded()
        if is_tagged or self._is_inside:
            yield from self._read_reasoning(opening)
        else:
            self._content.push(opening)
        yield from self._reader.until(NO_TAGS, self._content.push)

    def _read_harmony(self) -> Steps[None]:
        """Messages in channels. Those to functions stay as they are, for the tool call parser."""
        starts = Tags(*HEADER_STARTS)
        while (start := (yield from self._reader.until(starts, self._content.push))) is not None:
            self._reader.record(start)
            parts: list[str] = []
            tag = yield from self._reader.until(HEADER_ENDS, parts.append)
            raw, header = self._reader.recorded(), "".join(parts)
            if tag != MESSAGE or "to=" in header:
                self._content.push(raw)
                continue
            self._content.cut()
            if header.rpartition("<|channel|>")[2].strip() == "analysis":
                self._reasoning.push("\n")
                yield from self._read_reasoning(raw)
            else:
                self._content.push("\n")
                yield from self._reader.until(Tags(END, RETURN), self._content.push)

    def _read_reasoning(self, opening: str) -> Steps[None]:
        """Read on to the end of the reasoning that began with ``opening``."""
        if self._keep_tags:
            self._reasoning.push(opening)
        ends = Tags(self._format.end, *self._format.interrupts)
        tag = yield from self._reader.until(ends, self._reasoning.push)
        self.reasoning_chars = self._reader.position
        if tag in self._format.interrupts:
            self.reasoning_chars -= len(tag)
        elif tag is not None and self._keep_tags:
            self._reasoning.push(tag)
        if not self._keep_tags:
            self._reasoning.cut()
            self._content.cut()
        self._reasoning.end()
        if tag in self._format.interrupts:
            self._content.push(tag)
