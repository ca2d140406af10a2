"""How each expression of a program is carried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from sglang.lang import ir
from sglang.lang.backend.base import Backend, Stream
from sglang.lang.conversation import Prompt
from sglang.lang.errors import Failure
from sglang.lang.sampling_params import SamplingParams
from sglang.lang.speculation import Speculator
from sglang.lang.transcript import Transcript
from sglang.lang.variable import Variable
from sglang.lang.worker import Task

REASONING_SUFFIX = "_reasoning_content"
"""Under what name ``separate_reasoning`` keeps the reasoning of a gen."""


@dataclass(frozen=True, slots=True)
class Run:
    """How a program is run."""

    backend: Backend
    defaults: SamplingParams
    """For gens that say nothing else."""
    stream: bool = False
    num_api_spec_tokens: int | None = None
    """How many tokens a model may write ahead, see ``speculation``; None: it stops at each gen."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the expressions of one state have in common."""

    run: Run
    speculator: Speculator | None
    transcript: Transcript
    declare: Callable[[str | None], Variable]
    """Makes a variable known under a name."""
    ended_by: Callable[[Callable[[], None]], AbstractContextManager[None]]
    """See :meth:`Worker.ended_by`."""


def task_for(expr: ir.Expr, setting: Setting, where: str, ahead: Sequence[ir.Expr] = ()) -> Task:
    """The work behind an expression; its variables are declared at once.

    ``ahead`` is what follows in the same turn, as far as that is known.
    """
    talk = setting.transcript
    match expr:
        case ir.Text(text):
            return Task(lambda: talk.write(text), where, is_quick=True)
        case ir.Gen():
            return _gen(expr, setting, f"{where}, gen {expr.name or 'without a name'}", ahead)
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


def _gen(gen: ir.Gen, setting: Setting, where: str, ahead: Sequence[ir.Expr]) -> Task:
    variable = setting.declare(gen.name)
    if gen.reasoning_parser is not None:
        return _reasoned_gen(gen, gen.reasoning_parser, variable, setting, where)

    def work() -> None:
        params = _params(gen, setting)
        prompt = setting.transcript.conversation.prompt()
        if setting.speculator is not None:
            answers = setting.speculator.generate(prompt, gen, params, ahead)
        elif setting.run.stream and (params.n or 1) == 1:
            _stream(prompt, params, variable, setting)
            return
        else:
            answers = setting.run.backend.generate(prompt, params)
        setting.transcript.write(answers[0].text)
        setting.transcript.conversation.mark_known()
        variable.feed.append(answers[0].text)
        if len(answers) == 1:
            variable.finish(answers[0].text, answers[0].meta_info)
        else:
            all_meta = [answer.meta_info for answer in answers]
            variable.finish([answer.text for answer in answers], {"answers": all_meta})

    return Task(work, where, fail=variable.fail)


def _stream(prompt: Prompt, params: SamplingParams, variable: Variable, setting: Setting) -> None:
    text = ""
    pieces = setting.run.backend.stream(prompt, params)
    stream = pieces if isinstance(pieces, Stream) else Stream(pieces)
    with setting.ended_by(stream.cancel):
        for piece in stream:
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
        prompt = setting.transcript.conversation.prompt()
        [answer] = setting.run.backend.generate(prompt, params)
        reasoning, rest = setting.run.backend.separate_reasoning(answer.text, parser)
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
        index, meta_info = setting.run.backend.select(prompt, select.choices, select.method)
        chosen = select.choices[index]
        talk.write(chosen)
        talk.conversation.mark_known()
        variable.feed.append(chosen)
        variable.finish(chosen, meta_info)

    return Task(work, where, fail=variable.fail)


def _params(gen: ir.Gen, setting: Setting) -> SamplingParams:
    """What the gen says, then the defaults of the run; in a turn, what ends a turn ends the gen."""
    params = gen.params.over(setting.run.defaults)
    talk = setting.transcript.conversation
    if talk.role is None or not talk.template.stop:
        return params
    stop = dict.fromkeys([*params.stop_strings, *talk.template.stop])
    return replace(params, stop=tuple(stop))
