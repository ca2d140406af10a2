"""What one rendering of a chat template may use up.

A template is code from a model file, and a request may bring one. Python cannot interrupt a
long operation on a huge value, so huge values are not allowed to come into being: each operation
that can make something larger than its operands is priced before it runs, and each result is
weighed. Every loop iteration, call and filter counts, and the clock is read now and then.
"""

from __future__ import annotations

import re
import string
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from jinja2.runtime import Context

BUDGET_KEY = "budget of this rendering"
"""Where a rendering's context holds its budget; a name that no template can spell."""


class TemplateLimitError(Exception):
    """A template went past one of its limits."""


@dataclass(frozen=True)
class TemplateLimits:
    """Bounds of one rendering."""

    seconds: float = 5.0
    """Wall-clock time."""
    output_chars: int = 8_000_000
    """Length of the prompt."""
    value_size: int = 4_000_000
    """Size of any single value: characters of strings plus elements of containers, nested."""
    work: int = 256_000_000
    """Sum of the sizes of all values produced, and of steps taken."""
    source_chars: int = 1_000_000
    """Length of the template itself."""


MAX_INT_BITS = 4096
MAX_WIDTH = 1000
"""Widths and precisions in formatting, padding and indentation."""
MAX_COUNT = 100_000
"""Elements of a range, a batch or a slice, as in Jinja's own sandbox."""

_CHECK_EVERY = 500
"""Units of work between two looks at the clock."""

_NOTHING: dict[str, Any] = {}
_VIEWS = (type(_NOTHING.keys()), type(_NOTHING.values()), type(_NOTHING.items()))


class Budget:
    """The limits of one rendering and what is left of them."""

    def __init__(self, limits: TemplateLimits) -> None:
        self.limits = limits
        self._work = 0
        self._next_check = 0
        self._deadline = time.monotonic() + limits.seconds
        # id -> (container, weight). Holding the container keeps its id from being reused;
        # the sandbox lets no template change one, so a weight stays true.
        self._weights: dict[int, tuple[Any, int]] = {}

    def spend(self, amount: int = 1) -> None:
        """Count ``amount`` units of work; raises TemplateLimitError past a limit."""
        self._work += amount
        if self._work >= self._next_check:
            self._check()

    def _check(self) -> None:
        self._next_check = self._work + _CHECK_EVERY
        if self._work > self.limits.work:
            raise TemplateLimitError(f"more than {self.limits.work} units of work")
        if time.monotonic() > self._deadline:
            raise TemplateLimitError(f"more than {self.limits.seconds:g} s")

    def check_size(self, size: int) -> None:
        """Refuse a value before it is made."""
        if size > self.limits.value_size:
            raise TemplateLimitError(f"a value larger than {self.limits.value_size}")

    def admit(self, value: Any) -> Any:
        """Weigh a value that an operation produced, and pass it on."""
        if isinstance(value, str):
            self.check_size(len(value))
            self.spend(1 + len(value))
        elif isinstance(value, int):
            if value.bit_length() > MAX_INT_BITS:
                raise TemplateLimitError(f"an integer of more than {MAX_INT_BITS} bits")
        elif isinstance(value, (list, tuple, dict, *_VIEWS)):
            self.check_size(self.weight(value))
            self.spend(1 + len(value))
        return value

    def weight(self, value: Any) -> int:
        """Size of a value with everything in it counted as often as it occurs."""
        if isinstance(value, str):
            return 1 + len(value)
        if not isinstance(value, (list, tuple, dict, *_VIEWS)):
            return 1
        known = self._weights.get(id(value))
        if known is not None:
            return known[1]
        items: Iterable[Any] = value
        if isinstance(value, dict):
            items = chain(value.keys(), value.values())
        total = 1
        for item in items:
            total += self.weight(item)
            self.check_size(total)
        self._weights[id(value)] = (value, total)
        return total

    # -- prices of operations that grow their operands ----------------------------------

    def check_multiply(self, left: Any, right: Any) -> None:
        """``sequence * n`` in either order."""
        for sequence, count in ((left, right), (right, left)):
            if isinstance(sequence, (str, list, tuple)) and isinstance(count, int):
                self.check_size(self.weight(sequence) * max(count, 0))

    def check_power(self, base: Any, exponent: Any) -> None:
        """``base ** exponent``."""
        is_whole = isinstance(base, int) and isinstance(exponent, int)
        if is_whole and base.bit_length() * max(exponent, 0) > MAX_INT_BITS:
            raise TemplateLimitError(f"an integer of more than {MAX_INT_BITS} bits")

    def check_add(self, left: Any, right: Any) -> None:
        """``left + right``."""
        if isinstance(left, (str, list, tuple)) and isinstance(right, (str, list, tuple)):
            self.check_size(self.weight(left) + self.weight(right))

    def check_percent_format(self, template: str, arguments: Any) -> None:
        """``template % arguments``."""
        directives = _PERCENT_DIRECTIVE.findall(template)
        self._check_format([part for parts in directives for part in parts], len(directives))
        values = arguments if isinstance(arguments, tuple) else (arguments,)
        self._check_repeated(len(directives), values, len(template))

    def check_format(self, template: str, arguments: Iterable[Any]) -> None:
        """``template.format(*arguments)``."""
        fields = [field for field in string.Formatter().parse(template) if field[1] is not None]
        self._check_format([field[2] or "" for field in fields], len(fields))
        self._check_repeated(len(fields), arguments, len(template))

    def _check_format(self, specs: list[str], count: int) -> None:
        for spec in specs:
            if "*" in spec or "{" in spec or _LONG_NUMBER.search(spec):
                raise TemplateLimitError(f"a format width that is not below {MAX_WIDTH}")
        self.check_size(count * MAX_WIDTH if any(specs) else count)

    def _check_repeated(self, count: int, values: Iterable[Any], extra: int) -> None:
        largest = max((self.weight(value) for value in values), default=0)
        self.check_size(count * largest + extra)

    def check_replace(self, text: str, old: str, new: str, count: int = -1) -> None:
        """``text.replace(old, new, count)``."""
        occurrences = text.count(old)
        if count >= 0:
            occurrences = min(occurrences, count)
        self.check_size(len(text) + occurrences * (len(new) - len(old)))

    def check_width(self, width: Any) -> None:
        """A width, precision or depth in characters."""
        if isinstance(width, (int, float)) and abs(width) > MAX_WIDTH:
            raise TemplateLimitError(f"a width of more than {MAX_WIDTH}")

    def check_count(self, count: Any) -> None:
        """A number of elements to make."""
        if isinstance(count, (int, float)) and count > MAX_COUNT:
            raise TemplateLimitError(f"a count of more than {MAX_COUNT}")

    def join(self, separator: str, items: Iterable[Any]) -> str:
        """``separator.join`` of the items as strings."""
        texts: list[str] = []
        size = 0
        for item in items:
            self.spend()
            text = item if isinstance(item, str) else str(self.admit(item))
            size += len(text) + len(separator)
            self.check_size(size)
            texts.append(text)
        return separator.join(texts)

    def check_method(self, text: str, name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """A method call on a string; returns the arguments to call it with."""
        if name in ("center", "ljust", "rjust", "zfill"):
            self.check_width(args[0] if args else 0)
        elif name == "replace" and len(args) >= 2:
            old, new, *rest = args
            if isinstance(old, str) and isinstance(new, str):
                count = rest[0] if rest and isinstance(rest[0], int) else -1
                self.check_replace(text, old, new, count)
        elif name == "join" and len(args) == 1 and not isinstance(args[0], str):
            items = list(args[0])
            self.check_size(sum(self.weight(i) for i in items) + len(items) * len(text))
            return (items,)
        return args


def budget_of(context: Context) -> Budget:
    """The budget of the rendering a context belongs to."""
    budget = context.parent[BUDGET_KEY]
    assert isinstance(budget, Budget)
    return budget


_PERCENT_DIRECTIVE = re.compile(r"%(?:\([^)]*\))?[#0\- +]*(\*|\d*)(?:\.(\*|\d*))?")
_LONG_NUMBER = re.compile(r"\d{4}")


def flatten_mapping(arguments: Mapping[str, Any], positional: Iterable[Any]) -> list[Any]:
    """All values handed to a format call."""
    values = list(positional)
    values.extend(arguments.values())
    for value in list(values):
        if isinstance(value, Mapping):
            values.extend(value.values())
    return values
