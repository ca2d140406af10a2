"""What is left of an answer's text when parts are taken out of it."""

from __future__ import annotations


class TextGate:
    """Passes text on, less the white space that only separated it from what was taken out.

    White space is held back until text behind it shows that it stands inside the text. Text that
    nothing is taken out of passes unchanged.
    """

    def __init__(self, *, is_cut: bool = False) -> None:
        """``is_cut``: something was taken out before the text begins."""
        self._is_cut = is_cut
        self._has_text = False
        self._held: list[str] = []
        self._passed: list[str] = []

    def push(self, text: str) -> None:
        """The next piece of the text."""
        body = text.rstrip()
        if body:
            if self._has_text or not self._is_cut:
                self._passed += (*self._held, body)
            else:
                self._passed.append(body.lstrip())
            self._held.clear()
            self._has_text = True
            self._is_cut = False
        if len(body) < len(text):
            self._held.append(text[len(body) :])

    def cut(self) -> None:
        """Something is taken out here."""
        self._is_cut = True

    def end(self) -> None:
        """The text is over."""
        if not self._is_cut:
            self._passed += self._held
        self._held.clear()

    def take(self) -> str:
        """What has passed since the last call."""
        text = "".join(self._passed)
        self._passed.clear()
        return text
