"""A backend that says what a test tells it to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sglang.lang.backend.base import Backend, Generation
from sglang.lang.chat_template import PLAIN, ChatTemplate
from sglang.lang.choices import ChoicesMethod
from sglang.lang.conversation import Prompt
from sglang.lang.sampling_params import SamplingParams

Script = Callable[[Prompt, SamplingParams], str]


class ScriptedBackend(Backend):
    """Answers with what ``script`` returns for a prompt; counts up without one.

    Streams word by word. ``select`` takes the last choice.
    """

    def __init__(self, script: Script | None = None, template: ChatTemplate = PLAIN) -> None:
        self.chat_template = template
        self.prompts: list[Prompt] = []
        self.params: list[SamplingParams] = []
        self.cached: list[str] = []
        self._script = script or self._count
        self._lock = threading.Lock()
        self._number = 0

    def generate(self, prompt: Prompt, params: SamplingParams) -> list[Generation]:
        with self._lock:
            self.prompts.append(prompt)
            self.params.append(params)
        return [
            Generation(self._script(prompt, params), {"number": number})
            for number in range(params.n or 1)
        ]

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Generation]:
        [answer] = self.generate(prompt, params)
        for number, word in enumerate(answer.text.split(" ")):
            yield Generation(word if number == 0 else " " + word, {"completion_tokens": number + 1})

    def select(
        self, prompt: Prompt, choices: Sequence[str], method: ChoicesMethod
    ) -> tuple[int, dict[str, Any]]:
        self.prompts.append(prompt)
        return len(choices) - 1, {"method": method}

    def cache_prefix(self, prompt: Prompt) -> None:
        self.cached.append(prompt.text)

    def separate_reasoning(self, text: str, parser: str) -> tuple[str, str]:
        reasoning, _, rest = text.partition(f"</{parser}>")
        return reasoning, rest

    def _count(self, prompt: Prompt, params: SamplingParams) -> str:
        with self._lock:
            self._number += 1
            return str(self._number)
