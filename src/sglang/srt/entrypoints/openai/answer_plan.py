"""How the answer to a chat request is made and read: grammars and tags of reasoning and calls."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from sglang.srt.entrypoints.openai.answer_parts import PartsReader
from sglang.srt.entrypoints.openai.protocol import ChatRequest
from sglang.srt.entrypoints.openai.tools import ToolUse, read_tool_use
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.function_call.tool_grammar import tool_grammar
from sglang.srt.function_call_parser import (
    FunctionCallParser,
    MultiFormatParser,
    parser_for_template,
)
from sglang.srt.managers.errors import NotImplementedYetError, RequestError
from sglang.srt.managers.request_builder import AnswerMarks
from sglang.srt.reasoning_parser import FORMATS, ReasoningParser, starts_inside
from sglang.srt.sampling.reasoning_span import ReasoningSpan
from sglang.srt.sampling.sampling_params import GRAMMAR_KINDS
from sglang.srt.tokenizer.chat_template import ChatTemplate
from sglang.srt.tokenizer.tokenizer import Tokenizer

FORCED_FORMAT = "hermes"
"""How a call is written that has to be made, where the model's own format is no JSON."""


@dataclass(frozen=True)
class AnswerPlan:
    """What follows from a request's tools and the server's parsers."""

    chat: ChatRequest
    tool_use: ToolUse | None
    template_format: str | None
    """The ``tool_call_parser`` of the model, also where nothing may be called."""
    call_format: str | None
    """The one that reads the answer; None where nothing may be called."""
    grammar: dict[str, Any] | None
    """A structural tag that sees to calls."""
    reasoning_format: str | None

    @property
    def has_reasoning(self) -> bool:
        """Whether answers have a field for reasoning."""
        return self.reasoning_format is not None and self.chat.separate_reasoning

    def template_variables(self, template: ChatTemplate) -> dict[str, Any]:
        """Further variables that the chat template gets."""
        variables: dict[str, Any] = {}
        if self.template_format is not None:
            variables["tool_call_parser"] = self.template_format
        effort = self.chat.reasoning_effort
        if effort is not None:
            if "reasoning_effort" not in template.source:
                raise NotImplementedYetError(
                    "reasoning_effort with a chat template that does not read it",
                    param="reasoning_effort",
                )
            variables["reasoning_effort"] = effort
        return variables | (self.chat.chat_template_kwargs or {})

    def sampling_params(self, params: dict[str, Any]) -> dict[str, Any]:
        """``params``, those of the request, with the grammar for calls.

        Raises:
            RequestError: the request has a grammar of its own.
        """
        own = [name for name in GRAMMAR_KINDS if name in params]
        if self.tool_use is None or not own:
            return params if self.grammar is None else {**params, "structural_tag": self.grammar}
        field = "response_format" if self.chat.response_format is not None else own[0]
        raise NotImplementedYetError(
            f"{field} together with tools that may be called (tool_choice 'none' rules calls out)",
            param=field,
        )

    def marks(self, tokenizer: Tokenizer, prompt: str, *, has_grammar: bool) -> AnswerMarks:
        """What engine and detokenizer have to know of the tags of an answer to ``prompt``."""
        tags: set[str] = set()
        if self.reasoning_format is not None:
            tags.update(FORMATS[self.reasoning_format].tags)
        if self.call_format is not None:
            detector = MultiFormatParser.formats[self.call_format]
            tags.update(detector.starts, detector.tags)
        ids = (tokenizer.backend.token_to_id(tag) for tag in tags)
        special_ids = tokenizer.token_table.special_ids
        return AnswerMarks(
            frozenset(i for i in ids if i is not None and i in special_ids),
            self._reasoning_span(tokenizer, prompt, has_grammar),
        )

    def reader(self, prompt: str) -> PartsReader:
        """A reader for one answer to ``prompt``."""
        reasoning = calls = None
        if self.reasoning_format is not None:
            reasoning = ReasoningParser(
                self.reasoning_format,
                self.chat.stream_reasoning,
                self._starts_inside(prompt),
                keep_tags=not self.chat.separate_reasoning,
            )
        max_calls = sys.maxsize
        if self.tool_use is not None and self.call_format is not None:
            calls = FunctionCallParser(self.tool_use.callable_tools, self.call_format)
            max_calls = max_calls if self.tool_use.is_parallel else 1
        return PartsReader(
            reasoning, calls, separate_reasoning=self.chat.separate_reasoning, max_calls=max_calls
        )

    def _starts_inside(self, prompt: str) -> bool:
        assert self.reasoning_format is not None
        is_begun = self.chat.continue_final_message
        begun = self.chat.messages[-1].get("content") if is_begun else None
        return starts_inside(FORMATS[self.reasoning_format], prompt, begun)

    def _reasoning_span(
        self, tokenizer: Tokenizer, prompt: str, has_grammar: bool
    ) -> ReasoningSpan | None:
        """Where the reasoning ends, if that matters to the engine."""
        budget = self.chat.thinking_budget
        if self.reasoning_format is None or not (has_grammar or budget is not None):
            return None
        form = FORMATS[self.reasoning_format]
        must_call = self.tool_use is not None and self.tool_use.mode == "required"
        end = form.before_call if must_call else form.before_answer
        start = tokenizer.encode(form.start, add_special_tokens=False)
        return ReasoningSpan(
            inside=self._starts_inside(prompt) or form.is_expected,
            start=start[0] if len(start) == 1 else None,
            end=tokenizer.encode(end, add_special_tokens=False),
            close=tokenizer.encode(form.closing + end, add_special_tokens=False),
            budget=budget,
        )


def plan_answer(state: ServerState, chat: ChatRequest) -> AnswerPlan:
    """The plan for ``chat``.

    Raises:
        RequestError: about tools, ``tool_choice`` or what belongs to reasoning.
    """
    reasoning_format = state.server_args.reasoning_parser
    if chat.thinking_budget is not None and reasoning_format is None:
        raise RequestError(
            "thinking_budget needs a server that was started with --reasoning-parser",
            param="thinking_budget",
        )
    use = read_tool_use(chat.tools, chat.tool_choice, chat.parallel_tool_calls)
    own_format = call_format_of(state)
    if use is None:
        return AnswerPlan(chat, None, own_format, None, None, reasoning_format)
    template = state.chat_template
    if template is not None and not template.traits.uses_tools:
        raise RequestError(
            "this model's chat template has no place for tools; --chat-template gives it another",
            param="tools",
        )
    call_format, grammar = _calls(use, own_format)
    return AnswerPlan(chat, use, own_format, call_format, grammar, reasoning_format)


def call_format_of(state: ServerState) -> str | None:
    """``--tool-call-parser``, or what the chat template tells; None if neither does."""
    given = state.server_args.tool_call_parser
    if given is None and state.chat_template is not None:
        return parser_for_template(state.chat_template.source)
    return given


def _calls(use: ToolUse, own_format: str | None) -> tuple[str, dict[str, Any] | None]:
    """The format of the calls, and a grammar where one has to see to them."""
    must_call = use.mode == "required"
    form = None if own_format is None else MultiFormatParser.formats[own_format].form
    call_format = own_format
    if must_call and form is None:
        call_format = FORCED_FORMAT
        form = MultiFormatParser.formats[FORCED_FORMAT].form
    if call_format is None:
        raise RequestError(
            "the server does not know how this model writes tool calls; "
            "start it with --tool-call-parser",
            param="tools",
        )
    strict = [i for i, tool in enumerate(use.tools) if tool.function.strict]
    if not must_call and not strict:
        return call_format, None
    if form is None:
        raise NotImplementedYetError(
            f"strict with --tool-call-parser {call_format} (but for a call that is required)",
            param=f"tools[{strict[0]}].function.strict",
        )
    stop = use.only is not None or not use.is_parallel
    return call_format, tool_grammar(
        use.callable_tools, form, must_call=must_call, stop_after_first=stop
    )
