"""Several gens from one request, for APIs that charge for the prompt every time.

A program of ``@function(num_api_spec_tokens=...)`` lets the model write ahead, without stopping
where the first gen does. As long as the texts that the program writes itself are those that the
model has written there, too, its gens take their values out of this draft. Where the two part, a
completion model is asked anew. A chat model, which cannot go on within a turn, is asked for the
whole turn a few times, until one has the texts that the program is known to write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sglang.lang import ir
from sglang.lang.backend.base import Backend, Generation
from sglang.lang.conversation import Prompt
from sglang.lang.errors import BackendError
from sglang.lang.sampling_params import GRAMMARS, LOGPROB_OPTIONS, SamplingParams

ATTEMPTS = 3
"""How many turns a chat model may write until one follows the program."""

_CUT = frozenset({"length", "max_tokens"})
"""Why an answer ended whose model had more to say."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What the model wrote ahead."""

    begin: int
    """Where in the text of the program it begins."""
    answer: Generation
    params: SamplingParams
    """What it was asked for with; good for gens that ask for the same."""

    @property
    def is_whole(self) -> bool:
        """The model came to an end by itself."""
        return self.answer.meta_info.get("finish_reason", {}).get("type") not in _CUT

    def end_of_value(self, start: int, stop: Sequence[str], ahead: Sequence[ir.Expr]) -> int | None:
        """Where the value of a gen ends that begins at ``start``; None: nobody knows.

        That is at a stop string, else at the text that the program writes next, else at the end.
        """
        text = self.answer.text
        marks = list(stop)
        if not any(mark in text[start:] for mark in marks) and ahead:
            marks = [ahead[0].text] if isinstance(ahead[0], ir.Text) else []
        found = [position for mark in marks if (position := text.find(mark, start)) >= 0]
        if found:
            return min(found)
        return len(text) if self.is_whole and not ahead and start < len(text) else None

    def value(self, text: str, stop: Sequence[str], ahead: Sequence[ir.Expr]) -> str | None:
        """The value of a gen behind ``text``; None if it is not in this draft."""
        written = text[self.begin :]
        if self.begin > len(text) or not self.answer.text.startswith(written):
            return None
        end = self.end_of_value(len(written), stop, ahead)
        return None if end is None else self.answer.text[len(written) : end]

    def follows(self, start: int, expected: Sequence[ir.Expr]) -> bool:
        """Whether the draft from ``start`` on is what a program may write, up to its last gen."""
        last = max(i for i, expr in enumerate(expected) if isinstance(expr, ir.Gen))
        for index, expr in enumerate(expected[: last + 1]):
            if isinstance(expr, ir.Text):
                if not self.answer.text.startswith(expr.text, start):
                    return False
                start += len(expr.text)
            elif isinstance(expr, ir.Gen):
                ahead = expected[index + 1 :]
                end = self.end_of_value(start, expr.params.stop_strings, ahead)
                if end is None:
                    return index == last and not self.is_whole
                start = end
            else:
                return True  # a choice, an image: not to be foreseen
        return True


class Speculator:
    """The drafts of one state."""

    def __init__(self, backend: Backend, num_tokens: int) -> None:
        self._backend = backend
        self._num_tokens = num_tokens
        self._draft: Draft | None = None

    def generate(
        self, prompt: Prompt, gen: ir.Gen, params: SamplingParams, ahead: Sequence[ir.Expr]
    ) -> list[Generation]:
        """The answer to a gen: out of a draft where that can be, else from the backend.

        Args:
            params: Those of the gen with the defaults of the run.
            ahead: What the program writes behind the gen, as far as that is known.

        Raises:
            BackendError: no turn of a chat model followed the program.
        """
        is_bounded = bool(params.stop_strings) or bool(ahead and isinstance(ahead[0], ir.Text))
        if not _is_plain(params) or not (is_bounded or self._backend.writes_whole_turns):
            return self._backend.generate(prompt, params)
        wanted = replace(params, stop=None, max_new_tokens=None, min_new_tokens=None)
        draft, stop = self._draft, params.stop_strings
        value = None
        if draft is not None and draft.params == wanted:
            value = draft.value(prompt.text, stop, ahead)
        if draft is None or value is None:
            if self._backend.writes_whole_turns:
                draft = self._turn(prompt, [gen, *ahead], wanted)
            else:
                draft = self._ask(prompt, wanted)
            value = draft.value(prompt.text, stop, ahead)
        if value is None:  # the draft ends within the value
            value = draft.answer.text[len(prompt.text) - draft.begin :]
        self._draft = draft
        return [Generation(value, {**draft.answer.meta_info, "speculative": True})]

    def _ask(self, prompt: Prompt, wanted: SamplingParams) -> Draft:
        params = replace(wanted, max_new_tokens=self._num_tokens)
        [answer] = self._backend.generate(prompt, params)
        return Draft(len(prompt.text), answer, wanted)

    def _turn(self, prompt: Prompt, expected: Sequence[ir.Expr], wanted: SamplingParams) -> Draft:
        """A whole turn that begins like the one that the program has begun, and goes on like it."""
        begin = len(prompt.text) - len(prompt.turn)
        before = replace(prompt, text=prompt.text[:begin], turn="")
        for _ in range(ATTEMPTS):
            draft = self._ask(before, wanted)
            is_alike = draft.answer.text.startswith(prompt.turn)
            if is_alike and draft.follows(len(prompt.turn), expected):
                return draft
        written = [prompt.turn, *(expr.text for expr in expected if isinstance(expr, ir.Text))]
        raise BackendError(
            f"no turn of the model in {ATTEMPTS} had the texts of the program in it, "
            f"{', '.join(repr(text) for text in written if text)}; the last one: "
            f"{draft.answer.text[:500]!r}"
        )


def _is_plain(params: SamplingParams) -> bool:
    """Nothing that belongs to a single gen: several answers, a grammar, logprobs."""
    special = any(getattr(params, name) is not None for name in (*GRAMMARS, *LOGPROB_OPTIONS))
    return not special and (params.n or 1) == 1
