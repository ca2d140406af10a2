"""Calls that stand in a section of their own."""

from __future__ import annotations

from sglang.srt.function_call.json_calls import JsonCallDetector
from sglang.srt.function_call.reader import Steps


class SectionDetector(JsonCallDetector):
    """Reads a section of calls that each begin with a tag; the tags of the section may miss."""

    section: str
    section_end: str
    call: str

    def read_calls(self, start: str) -> Steps[None]:
        if start == self.section and not (yield from self.accept_after_space(self.call)):
            return
        while (yield from self.read_call()):
            if not (yield from self.accept_after_space(self.call)):
                yield from self.close(self.section_end)
                return

    def read_call(self) -> Steps[bool]:
        """Read what follows the tag of a call; False if it is none."""
        raise NotImplementedError
