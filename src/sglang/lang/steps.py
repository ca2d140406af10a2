"""How each expression of a program is carried out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sglang.lang import ir
from sglang.lang.backend.base import Backend
from sglang.lang.errors import Failure
from sglang.lang.sampling_params import SamplingParams
from sglang.lang.transcript import Transcript
from sglang.lang.variable import Variable
from sglang.lang.worker import Task

REASONING_SUFFIX = "_reasoning_content"
"""Under what name ``separate_reasoning`` keeps the reasoning of a gen."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the expressions of one state have in common."""

    backend: Backend
    defaults: SamplingParams
    stream: bool
    transcript: Transcript
    declare: Callable[[str | None], Variable]
    """Makes a variable known under a name."""


def task_for(expr: ir.Expr, setting: Setting, where: str) -> Task:
    """The work behind an expression; its variables are declared at once."""
    talk = setting.transcript
    match expr:
        case ir.Text(text):
            return Task(lambda: talk.write(text), where, is_quick=True)
        case ir.Gen():
            return _gen(expr, setting, f"{where}, gen {expr.name or 'without a name'}")
        case ir.Select():
            return _select(expr, setting, f"{where}, select {expr.name or 'without a name'}")
        case ir.RoleBegin(role):
            return Task(lambda: talk.change(lambda c: c.begin(role)), where, is_quick=True)
        case ir.RoleEnd(role):
            return Task(lambda: talk.change(lambda c: c.end(role)), where, is_quick=True)
        case ir.Image() | ir.Video():
            return Task(lambda: talk.change(lambda c: c.add_media(expr)), where, is_quick=True)
        case ir.ScopeBegin(name):
            return Task(lambda: talk.conversation.begin_scope(name), where, is_quick=True)
        case ir.ScopeEnd(name):
            scope = setting.declare(name)
            return Task(
                lambda: scope.finish(talk.conversation.end_scope(name)),
                where,
                is_quick=True,
                fail=scope.fail,
            )
    raise TypeError(f"{type(expr).__name__} cannot be carried out by a running program")


def _gen(gen: ir.Gen, setting: Setting, where: str) -> Task:
    variable = setting.declare(gen.name)
    if gen.reasoning_parser is not None:
        return _reasoned_gen(gen, gen.reasoning_parser, variable, setting, where)

    def work() -> None:
        params = _params(gen, setting)
        if setting.stream and (params.n or 1) == 1:
            _stream(params, variable, setting)
            return
        prompt = setting.transcript.conversation.prompt()
        answers = setting.backend.generate(prompt, params)
        setting.transcript.write(answers[0].text)
        setting.transcript.conversation.mark_known()
        variable.feed.append(answers[0].text)
        if len(answers) == 1:
            variable.finish(answers[0].text, answers[0].meta_info)
        else:
            all_meta = [answer.meta_info for answer in answers]
            variable.finish([answer.text for answer in answers], {"answers": all_meta})

    return Task(work, where, fail=variable.fail)


def _stream(params: SamplingParams, variable: Variable, setting: Setting) -> None:
    text = ""
    for piece in setting.backend.stream(setting.transcript.conversation.prompt(), params):
        text += piece.text
        variable.meta_info = piece.meta_info
        setting.transcript.write(piece.text)
        variable.feed.append(piece.text)
    setting.transcript.conversation.mark_known()
    variable.finish(text)


def _reasoned_gen(
    gen: ir.Gen, parser: str, variable: Variable, setting: Setting, where: str
) -> Task:
    """The reasoning goes into a variable of its own, and only the rest into the text."""
    kept = setting.declare(gen.name and gen.name + REASONING_SUFFIX)

    def work() -> None:
        params = replace(_params(gen, setting), n=None)
        [answer] = setting.backend.generate(setting.transcript.conversation.prompt(), params)
        reasoning, rest = setting.backend.separate_reasoning(answer.text, parser)
        setting.transcript.write(rest)
        for target, text in ((kept, reasoning), (variable, rest)):
            target.feed.append(text)
            target.finish(text, answer.meta_info)

    def fail(failure: Failure) -> None:
        kept.fail(failure)
        variable.fail(failure)

    return Task(work, where, fail=fail)


def _select(select: ir.Select, setting: Setting, where: str) -> Task:
    variable = setting.declare(select.name)

    def work() -> None:
        talk = setting.transcript
        prompt = talk.conversation.prompt()
        index, meta_info = setting.backend.select(prompt, select.choices, select.method)
        chosen = select.choices[index]
        talk.write(chosen)
        talk.conversation.mark_known()
        variable.feed.append(chosen)
        variable.finish(chosen, meta_info)

    return Task(work, where, fail=variable.fail)


def _params(gen: ir.Gen, setting: Setting) -> SamplingParams:
    """What the gen says, then the defaults of the run; in a turn, what ends a turn ends the gen."""
    params = gen.params.over(setting.defaults)
    talk = setting.transcript.conversation
    if talk.role is None or not talk.template.stop:
        return params
    stop = dict.fromkeys([*params.stop_strings, *talk.template.stop])
    return replace(params, stop=tuple(stop))
