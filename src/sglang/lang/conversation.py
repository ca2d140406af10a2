"""What has been said so far: as one text, and as the messages of a chat.

Plain data: no threads, no backend. A fork begins with a copy.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sglang.lang.chat_template import ChatTemplate
from sglang.lang.ir import Image, Video

Message = dict[str, Any]
"""``{"role": ..., "content": ...}``; the content is a text, or a list of parts with images."""

Media = Image | Video


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation as a backend gets to see it, when something is to be generated."""

    text: str
    """Everything, with the marks of the backend's chat template."""
    messages: tuple[Message, ...] = ()
    """The turns that are over."""
    role: str | None = None
    """Whose turn it is; None outside of any."""
    turn: str = ""
    """What has been said in this turn so far."""
    media: tuple[Media, ...] = ()
    """Images and videos, in the order of their marks in the text."""
    has_loose_text: bool = False
    """Some of the text is outside of turns, so the messages are not everything."""


@dataclass(slots=True)
class Conversation:
    """The text that a program has written and generated, with its turns."""

    template: ChatTemplate
    text: str = ""
    messages: list[Message] = field(default_factory=list)
    role: str | None = None
    turn: list[str | Media] = field(default_factory=list)
    media: list[Media] = field(default_factory=list)
    scopes: dict[str, int] = field(default_factory=dict)
    """Open scopes, by where in the text they began."""
    has_loose_text: bool = False
    known: int = 0
    """How many characters of the text the backend has had in a request."""
    forked_at: int = 0
    """How many characters came from the state that this one was forked from."""

    def copy(self) -> Conversation:
        """One that goes on by itself."""
        twin = copy.copy(self)
        twin.messages, twin.media = list(self.messages), list(self.media)
        twin.turn, twin.scopes = list(self.turn), dict(self.scopes)
        twin.forked_at = len(self.text)
        return twin

    def add_text(self, text: str) -> str:
        """Go on with ``text``; returns what that adds to the whole."""
        self.text += text
        if self.role is not None:
            self.turn.append(text)
        elif text.strip():
            self.has_loose_text = True
        return text

    def add_media(self, media: Media) -> str:
        """Show an image or a video; returns what that adds to the whole."""
        self.media.append(media)
        if self.role is not None:
            self.turn.append(media)
        self.text += self.template.image
        return self.template.image

    def begin(self, role: str) -> str:
        """Open a turn; returns what that adds to the whole.

        Raises:
            ValueError: another turn is open, or the template has no such role.
        """
        if self.role is not None:
            raise ValueError(f"a turn of {role} cannot begin within one of {self.role}")
        previous = self.messages[-1]["role"] if self.messages else None
        added = self.template.opening(role, previous)
        if previous is None and role != "system" and self.template.default_system is not None:
            opening, closing = self.template.roles["system"]
            added = opening + self.template.default_system + closing + added
        if not self.text:
            added = self.template.begin + added
        self.role = role
        self.text += added
        return added

    def end(self, role: str) -> str:
        """Close the turn; returns what that adds to the whole.

        Raises:
            ValueError: it is not the turn of ``role``.
        """
        if self.role != role:
            whose = f"it is that of {self.role}" if self.role else "none is open"
            raise ValueError(f"the turn of {role} cannot end: {whose}")
        self.messages.append({"role": role, "content": _content(self.turn)})
        self.role = None
        self.turn.clear()
        added = self.template.closing(role)
        self.text += added
        return added

    def begin_scope(self, name: str) -> None:
        """Remember where the scope begins."""
        self.scopes[name] = len(self.text)

    def end_scope(self, name: str) -> str:
        """The text since the scope began."""
        return self.text[self.scopes.pop(name) :]

    def mark_known(self) -> None:
        """The backend has had everything so far."""
        self.known = len(self.text)

    def prompt(self) -> Prompt:
        """The conversation for a backend."""
        turn = "".join(part for part in self.turn if isinstance(part, str))
        return Prompt(
            text=self.text,
            messages=tuple(self.messages),
            role=self.role,
            turn=turn,
            media=tuple(self.media),
            has_loose_text=self.has_loose_text,
        )


def _content(turn: list[str | Media]) -> str | list[Mapping[str, Any]]:
    """One text, or parts as the OpenAI API writes them where there is more than text."""
    if all(isinstance(part, str) for part in turn):
        return "".join(part for part in turn if isinstance(part, str))
    parts: list[Mapping[str, Any]] = []
    for part in turn:
        if isinstance(part, Image):
            parts.append({"type": "image_url", "image_url": {"url": part.source}})
        elif isinstance(part, Video):
            parts.append({"type": "video_url", "video_url": {"url": part.path}})
        elif parts and parts[-1]["type"] == "text":
            parts[-1] = {"type": "text", "text": parts[-1]["text"] + part}
        else:
            parts.append({"type": "text", "text": part})
    return parts
