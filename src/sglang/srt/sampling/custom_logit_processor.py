"""Logit processors that come with a request: the one place where something is unpickled.

A processor is a Python object, sent as JSON that holds its pickle. To load it is to run the
sender's code. The engine does so only with ``--enable-custom-logit-processor``; no other process
does. See SECURITY.md.
"""

from __future__ import annotations

import hashlib
import json
import sys
from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

MAX_PROCESSOR_CHARS = 16 << 20
MAX_LOADED = 64
"""Processors that are kept for requests to come."""


class ProcessorError(ValueError):
    """A processor that cannot be loaded; the message says why."""


class CustomLogitProcessor(ABC):
    """Changes the logits from which the next token is chosen.

    Subclass it, and send ``to_str()`` of an instance as ``custom_logit_processor``. All requests
    that send the same string share one instance, so it must keep nothing about a single request.
    """

    @abstractmethod
    def __call__(
        self, logits: torch.Tensor, custom_param_list: list[dict[str, Any]]
    ) -> torch.Tensor:
        """The logits to choose from.

        Args:
            logits: [R, V] float32, a row for each request that uses the processor, with penalties
                and biases applied. May be changed in place.
            custom_param_list: The ``custom_params`` of these requests, empty where none were
                given. A request has the same dictionary in every step.

        Returns:
            [R, V]. Each row needs a finite maximum.
        """
        ...

    def to_str(self) -> str:
        """The processor as JSON, to be sent to an engine of the same Python version.

        A class of an importable module travels by name; any other, such as that of a script,
        travels with its code and the globals that it uses.
        """
        import dill

        data = dill.dumps(self, recurse=True).hex()
        return json.dumps({"callable": data, "python": _python_version()})

    @classmethod
    def from_str(cls, text: str) -> CustomLogitProcessor:
        """The processor that ``to_str`` has written. Runs code: for trusted text only.

        Raises:
            ProcessorError: it is malformed, cannot be loaded here, or is no processor.
        """
        import dill

        data = _pickle_in(text)
        try:
            loaded = dill.loads(data)
            # SGLang's later versions send the class.
            processor = loaded() if isinstance(loaded, type) else loaded
        except Exception as error:
            raise ProcessorError(f"cannot be loaded: {short(error)}") from error
        if not isinstance(processor, CustomLogitProcessor):
            raise ProcessorError(
                f"holds a {type(processor).__name__}, which is no CustomLogitProcessor"
            )
        return processor


class ProcessorStore:
    """The processors of an engine, each loaded once; the least recently used are forgotten."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._loaded: OrderedDict[bytes, CustomLogitProcessor] = OrderedDict()

    def get(self, text: str) -> CustomLogitProcessor:
        """The processor that ``text`` stands for.

        Raises:
            ProcessorError: it cannot be loaded, or may not.
        """
        if not self._enabled:
            raise ProcessorError("needs --enable-custom-logit-processor")
        key = hashlib.sha256(text.encode()).digest()
        if key in self._loaded:
            self._loaded.move_to_end(key)
            return self._loaded[key]
        processor = self._loaded[key] = CustomLogitProcessor.from_str(text)
        if len(self._loaded) > MAX_LOADED:
            self._loaded.popitem(last=False)
        return processor


def short(error: BaseException) -> str:
    """An exception of foreign code, cut to a length that fits into an answer."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def _pickle_in(text: str) -> bytes:
    try:
        fields = json.loads(text)
        data = bytes.fromhex(fields["callable"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ProcessorError("is not what CustomLogitProcessor.to_str() returns") from None
    # Byte code of another version may crash the interpreter. SGLang does not say which it is.
    version = fields.get("python", _python_version())
    if version != _python_version():
        raise ProcessorError(
            f"was made by Python {version!s:.20}, but the engine runs Python {_python_version()}"
        )
    return data


def _python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
