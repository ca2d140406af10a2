"""Output items of the Responses API, whole or as events of a stream."""

from __future__ import annotations

from typing import Any, Literal

from sglang.srt.entrypoints.openai.answer_parts import Piece
from sglang.srt.entrypoints.openai.responses_items import Item, new_id

Event = dict[str, Any]

_TEXT_EVENTS = {"content": "response.output_text", "reasoning": "response.reasoning_text"}
_ARGUMENTS_EVENTS = "response.function_call_arguments"


class OutputItems:
    """The items of one answer, which grow one after the other."""

    def __init__(self) -> None:
        self.closed: list[Item] = []
        """The items that are complete."""
        self._kind: str | None = None
        self._item: Item = {}
        self._texts: list[str] = []
        self._logprobs: list[dict[str, Any]] = []
        self._untold_logprobs: list[dict[str, Any]] = []

    def add_logprobs(self, logprobs: list[dict[str, Any]]) -> None:
        """Log-probabilities of tokens, for the next text that comes."""
        self._untold_logprobs += logprobs

    def add(self, piece: Piece) -> list[Event]:
        """Append a piece; returns the events that tell of it."""
        events: list[Event] = []
        begins_call = piece.call is not None and piece.call.name is not None
        if begins_call or piece.kind != self._kind:
            events += self.close()
            events += self._open(piece)
        self._texts.append(piece.text)
        if not piece.text:
            return events
        if piece.kind == "call":
            return [*events, self._event(f"{_ARGUMENTS_EVENTS}.delta", delta=piece.text)]
        fields: Event = {"content_index": 0, "delta": piece.text}
        if piece.kind == "content":
            fields["logprobs"] = self._tell_logprobs()
        return [*events, self._event(f"{_TEXT_EVENTS[piece.kind]}.delta", **fields)]

    def close(self, status: Literal["completed", "incomplete"] = "completed") -> list[Event]:
        """End the item that is open, if any; returns the events that tell of it."""
        if self._kind is None:
            return []
        events: list[Event] = []
        text = "".join(self._texts)
        item = {**self._item, "status": status}
        if self._kind == "call":
            item["arguments"] = text
            fields: Event = {"arguments": text, "name": item["name"]}
            events.append(self._event(f"{_ARGUMENTS_EVENTS}.done", **fields))
        else:
            fields = {"content_index": 0, "text": text}
            if self._kind == "content":
                self._tell_logprobs()
                fields["logprobs"] = self._logprobs
            events.append(self._event(f"{_TEXT_EVENTS[self._kind]}.done", **fields))
            part = self._part(text)
            item["content"] = [part]
            done = self._event("response.content_part.done", content_index=0, part=part)
            events.append(done)
        events.append(_item_event("done", len(self.closed), item))
        self.closed.append(item)
        self._kind = None
        return events

    def _open(self, piece: Piece) -> list[Event]:
        self._kind, self._texts, self._logprobs = piece.kind, [], []
        index = len(self.closed)
        if piece.call is not None:
            call = piece.call
            self._item = {"id": new_id("fc"), "type": "function_call", "status": "in_progress"}
            self._item |= {"call_id": call.id, "name": call.name, "arguments": ""}
            return [_item_event("added", index, self._item)]
        if piece.kind == "reasoning":
            self._item = {"id": new_id("rs"), "type": "reasoning", "summary": []}
        else:
            self._item = {"id": new_id("msg"), "type": "message", "role": "assistant"}
        self._item |= {"status": "in_progress", "content": []}
        part = self._event("response.content_part.added", content_index=0, part=self._part(""))
        return [_item_event("added", index, self._item), part]

    def _part(self, text: str) -> dict[str, Any]:
        if self._kind == "reasoning":
            return {"type": "reasoning_text", "text": text}
        return {
            "type": "output_text",
            "text": text,
            "annotations": [],
            "logprobs": list(self._logprobs),
        }

    def _tell_logprobs(self) -> list[dict[str, Any]]:
        told, self._untold_logprobs = self._untold_logprobs, []
        self._logprobs += told
        return told

    def _event(self, kind: str, **fields: Any) -> Event:
        return {
            "type": kind,
            "item_id": self._item["id"],
            "output_index": len(self.closed),
            **fields,
        }


def _item_event(what: str, index: int, item: Item) -> Event:
    return {"type": f"response.output_item.{what}", "output_index": index, "item": item}
