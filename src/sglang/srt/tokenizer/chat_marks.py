"""The marks that a chat template puts around turns, for clients that write prompts themselves.

A program of the frontend language writes a conversation piece by piece and generates anywhere in
it, so it cannot have the whole rendered: it needs what opens and closes the turn of each role.
That is read off what the template makes of a few short conversations, and told only if it gives
them back exactly. Templates that do more than put marks around turns have none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

from sglang.srt.tokenizer.chat_template import ChatTemplate, ChatTemplateError
from sglang.srt.tokenizer.tokenizer import Tokenizer

Chat = Sequence[tuple[str, str]]
"""Pairs of a role and what it says."""
Render = Callable[..., str]
"""Writes a conversation by the template."""

_SYSTEM, _USER, _ANSWER, _USER_2, _ANSWER_2, _USER_3 = (
    ("system", "zqsystem"),
    ("user", "zquser"),
    ("assistant", "zqanswer"),
    ("user", "zqmore"),
    ("assistant", "zqlast"),
    ("user", "zqthen"),
)


@dataclass(frozen=True)
class ChatMarks:
    """What stands around the turns of a conversation."""

    roles: Mapping[str, tuple[str, str]]
    """Role -> (what opens its turn, what closes it)."""
    begin: str = ""
    """What stands before everything and is not added by the tokenizer."""
    default_system: str | None = None
    """What the system says if nobody says anything as system."""
    joins_system: bool = False
    """The system's text opens the first turn of the user."""
    stop: tuple[str, ...] = ()
    """What a model that misses its end token writes next."""

    def write(self, chat: Chat) -> str:
        """A conversation with the marks."""
        text, previous = self.begin, None
        if self.default_system is not None and chat[0][0] != "system":
            chat = [("system", self.default_system), *chat]
        for role, content in chat:
            opening, closing = self.roles[role]
            is_joined = self.joins_system and previous == "system"
            text += ("" if is_joined else opening) + content + closing
            previous = role
        return text

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def chat_marks(
    template: ChatTemplate | None, tokenizer: Tokenizer | None, stop: Sequence[str] = ()
) -> ChatMarks | None:
    """The marks of ``template``; None if there are none that say it all.

    ``stop`` are the stop strings that belong to the template.
    """
    if template is None or tokenizer is None:
        return None
    adds_bos = tokenizer.bos_token_id is not None and (
        tokenizer.encode("")[:1] == [tokenizer.bos_token_id]
    )
    marks = _read(template, tuple(tokenizer.special_tokens_map.items()), adds_bos)
    if marks is None:
        return None
    end = marks.roles["assistant"][1].strip()
    return replace(marks, stop=tuple(dict.fromkeys([*([end] if end else []), *stop])))


@lru_cache(maxsize=16)
def _read(
    template: ChatTemplate, special_tokens: tuple[tuple[str, str], ...], adds_bos: bool
) -> ChatMarks | None:
    tokens = dict(special_tokens)
    bos = tokens.get("bos_token") or ""

    def render(*chat: tuple[str, str], is_open: bool = False) -> str:
        messages = [{"role": role, "content": content} for role, content in chat]
        text = template.render(messages, special_tokens=tokens, add_generation_prompt=is_open)
        return text.removeprefix(bos) if adds_bos else text

    try:
        for marks in _candidates(render, "" if adds_bos else bos):
            if _holds(marks, render):
                return marks
    except (ChatTemplateError, _Unmarked):
        pass
    return None


class _Unmarked(Exception):
    """The template does not just put marks around turns."""


def _candidates(render: Render, bos: str) -> list[ChatMarks]:
    """What the marks may be, the likeliest first.

    Where the turn of the assistant ends and that of the user begins, two marks meet. The second is
    what a conversation begins with, unless a default system stands there; else the first is what
    a conversation ends with.
    """
    first, closing = _split(render(_USER), _USER)
    begin = bos if first.startswith(bos) else ""
    first = first.removeprefix(begin)
    turns = render(_USER, _ANSWER, _USER_2)
    meeting = _between(turns, _ANSWER, _USER_2)
    end = _after(render(_USER, _ANSWER), _ANSWER)
    answer = _between(turns, _USER, _ANSWER).removeprefix(closing)
    prompt = _after(render(_USER, is_open=True), _USER).removeprefix(closing)
    if answer.rstrip(" ") == prompt:
        answer = prompt  # where answers begin with a space, the model writes it
    found = []
    for opening in (first, meeting.removeprefix(end)):
        if meeting.endswith(opening):
            ending = meeting[: len(meeting) - len(opening)]
            marks = ChatMarks({"user": (opening, closing), "assistant": (answer, ending)}, begin)
            found += [_with_system(marks, render, first), marks]
    return found


def _with_system(marks: ChatMarks, render: Render, first: str) -> ChatMarks:
    """``marks`` and those of the system, if the template has a system."""
    opening = marks.roles["user"][0]
    try:
        text = render(_SYSTEM, _USER)
        before = _before(text, _SYSTEM).removeprefix(marks.begin)
        behind = _between(text, _SYSTEM, _USER)
    except (ChatTemplateError, _Unmarked):
        return marks
    is_joined = not behind.endswith(opening)
    closing = behind if is_joined else behind[: len(behind) - len(opening)]
    default = None
    if first != opening:
        said = first if is_joined else first.removesuffix(opening)
        if not (said.startswith(before) and said.endswith(closing)):
            return marks
        default = said[len(before) : len(said) - len(closing)]
    return ChatMarks({"system": (before, closing), **marks.roles}, marks.begin, default, is_joined)


def _holds(marks: ChatMarks, render: Render) -> bool:
    """Whether conversations written with the marks are those that the template writes."""
    chats: list[Chat] = [[_USER], [_USER, _ANSWER, _USER_2]]
    chats.append([*chats[-1], _ANSWER_2, _USER_3])
    if "system" in marks.roles:
        chats += [[_SYSTEM, *chat] for chat in chats]
    for chat in chats:
        # The next turn is the assistant's; a prompt may go on with more, such as a begun thought.
        written = _plain(marks.write(chat)) + marks.roles["assistant"][0]
        if not _plain(render(*chat, is_open=True)).startswith(written):
            return False
    return True


def _plain(text: str) -> str:
    """Without the space that some answers begin with: models write it themselves."""
    for _, answer in (_ANSWER, _ANSWER_2):
        text = text.replace(" " + answer, answer)
    return text


def _before(text: str, turn: tuple[str, str]) -> str:
    return _split(text, turn)[0]


def _after(text: str, turn: tuple[str, str]) -> str:
    return _split(text, turn)[1]


def _between(text: str, one: tuple[str, str], other: tuple[str, str]) -> str:
    return _before(_after(text, one), other)


def _split(text: str, turn: tuple[str, str]) -> tuple[str, str]:
    before, content, after = text.partition(turn[1])
    if not content or turn[1] in after:
        raise _Unmarked
    return before, after
