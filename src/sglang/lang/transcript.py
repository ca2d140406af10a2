"""A conversation that others may follow while it is written."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sglang.lang.conversation import Conversation
from sglang.lang.text_feed import TextFeed


class Transcript:
    """One thread at a time writes; any number of feeds get what is written."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self._lock = threading.Lock()
        self._taps: list[TextFeed] = []

    def go_on_from(self, conversation: Conversation) -> None:
        """Take over where another one stands; to be called before anything is written."""
        with self._lock:
            self.conversation = conversation
            for feed in self._taps:
                feed.append(conversation.text)

    def write(self, text: str) -> None:
        """Go on with a text."""
        self.change(lambda talk: talk.add_text(text))

    def change(self, step: Callable[[Conversation], str]) -> None:
        """Do a step that returns what it adds to the text."""
        with self._lock:
            added = step(self.conversation)
            for feed in self._taps:
                feed.append(added)

    def tap(self) -> TextFeed:
        """A feed of the text so far and of what is still to be written; see :meth:`untap`."""
        feed = TextFeed()
        with self._lock:
            feed.append(self.conversation.text)
            self._taps.append(feed)
        return feed

    def untap(self, feed: TextFeed) -> None:
        """Nobody reads ``feed`` any more."""
        with self._lock:
            self._taps.remove(feed)

    def taps(self) -> list[TextFeed]:
        """The feeds that are read."""
        with self._lock:
            return list(self._taps)
