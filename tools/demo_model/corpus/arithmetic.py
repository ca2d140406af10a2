"""Small arithmetic: sums and differences up to 100, the multiplication table, exact division."""

# ruff: noqa: RUF001 -- these characters are meant

from __future__ import annotations

from .base import PEOPLE, Exchange, Sample, chat, in_words
from .wording import Speaker, ask, phrase, typed

Problem = tuple[int, str, int, int]
"""Left operand, operator, right operand, result."""


def problem(rng: Speaker, kinds: str = "++++---xx/") -> Problem:
    """A problem; small operands come up more often because people ask for them more often."""
    kind = rng.choice(kinds)
    top = 100 if rng.random() < 0.6 else 20
    if kind == "+":
        a, b = rng.randint(0, top), rng.randint(0, top)
        return a, "+", b, a + b
    if kind == "-":
        a, b = sorted((rng.randint(0, top), rng.randint(0, top)), reverse=True)
        return a, "-", b, a - b
    a, b = rng.randint(0, 12), rng.randint(0, 12)
    if kind == "x":
        return a, "x", b, a * b
    b = b or 1
    return a * b, "/", b, a


_WORDS = {
    "+": ("plus", "plus", "added to", "and"),
    "-": ("minus", "minus", "less", "take away"),
    "x": ("times", "times", "multiplied by"),
    "/": ("divided by", "over"),
}
_SIGNS = {
    "+": (" + ", "+"),
    "-": (" - ", "-", " − "),
    "x": (" x ", " * ", "*", " × ", "x"),
    "/": (" / ", "/", " ÷ ", ":"),
}
_NAMES = {"+": "add", "-": "subtract", "x": "multiply", "/": "divide"}


def expression(rng: Speaker, item: Problem) -> str:
    """The problem as somebody types it: digits with signs, digits with words, or all words."""
    a, sign, b, _ = item
    roll = rng.random()
    if roll < 0.5:
        return f"{a}{rng.choice(_SIGNS[sign])}{b}"
    if roll < 0.75 or max(a, b) > 100:
        return f"{a} {rng.choice(_WORDS[sign])} {b}"
    return f"{in_words(a)} {rng.choice(_WORDS[sign])} {in_words(b)}"


def question(rng: Speaker, item: Problem) -> str:
    """A wording of the problem without a story."""
    a, sign, b, _ = item
    if rng.random() < 0.3:
        words = rng.random() < 0.15 and max(a, b) <= 100
        left, right = (in_words(a), in_words(b)) if words else (a, b)
        return ask(rng, f"arithmetic/{_NAMES[sign]}", a=left, b=right)
    return ask(rng, "arithmetic/sum", e=expression(rng, item))


def answer(item: Problem) -> str:
    """The equation: writing the operands again brings them next to the result."""
    a, sign, b, result = item
    return f"{a} {sign} {b} = {result}"


def exercise(rng: Speaker) -> Exchange:
    """One problem."""
    item = problem(rng)
    return question(rng, item), answer(item)


_NOUNS = [
    "apples",
    "books",
    "coins",
    "marbles",
    "pens",
    "cards",
    "eggs",
    "cups",
    "stones",
    "cats",
    "dogs",
    "cars",
    "chairs",
    "flowers",
    "fish",
    "toys",
    "boats",
    "oranges",
    "cookies",
    "balls",
    "sweets",
    "stamps",
    "pencils",
    "bananas",
    "tickets",
    "hats",
    "plates",
    "shells",
]
_PLACES = ("in the room", "on the table", "in the garden", "in the box", "on the road",
           "in the basket", "at school", "on the shelf", "in the bag")  # fmt: skip


def story(rng: Speaker) -> Exchange:
    """A word problem."""
    a, sign, b, _ = item = problem(rng, "+++--xx/")
    who, other = rng.sample(PEOPLE, 2)
    said = b if rng.random() < 0.8 or b > 20 else in_words(b)
    text = ask(rng, f"arithmetic/story_{_NAMES[sign]}", a=a, b=said, w=who, o=other,
               n=rng.choice(_NOUNS), p=rng.choice(_PLACES))  # fmt: skip
    return text, answer(item)


def follow_up(rng: Speaker) -> Sample:
    """``Add 5 to that.``: the next problem starts from the last result; or simply another one."""
    item = problem(rng)
    texts = [question(rng, item), answer(item)]
    for _ in range(rng.choice((1, 1, 2, 3))):
        result, extra = item[3], rng.randint(1, 20)
        roll = rng.random()
        if roll < 0.25:
            item = problem(rng)
            text = phrase(rng, "arithmetic/follow_sum", e=expression(rng, item))
        elif result <= 12 and extra <= 12 and roll < 0.4:
            item = (result, "x", extra, result * extra)
            text = phrase(rng, "arithmetic/follow_times", n=extra)
        elif roll < 0.7 or extra > result:
            item = (result, "+", extra, result + extra)
            text = phrase(rng, "arithmetic/follow_plus", n=extra)
        else:
            item = (result, "-", extra, result - extra)
            text = phrase(rng, "arithmetic/follow_minus", n=extra)
        texts += [typed(rng, text), answer(item)]
    return chat(rng, *texts)


def drill(rng: Speaker) -> Sample:
    """Plain equations, of which the results are learned: much arithmetic, few tokens."""
    pieces: list[tuple[str, bool]] = []
    for _ in range(rng.randint(6, 9)):
        a, sign, b, result = problem(rng)
        pieces += [(f"{a} {sign} {b} =", False), (f" {result}\n", True)]
    return Sample(pieces=pieces)


def translate_drill(rng: Speaker) -> Sample:
    """Expressions in any spelling, of which the canonical equation is learned."""
    pieces: list[tuple[str, bool]] = []
    for _ in range(rng.randint(3, 5)):
        item = problem(rng)
        pieces += [(f"{expression(rng, item)}\n", False), (f"{answer(item)}\n", True)]
    return Sample(pieces=pieces)


def compare(rng: Speaker) -> Exchange:
    """Which of two numbers is larger, and even or odd."""
    a, b = rng.sample(range(101), 2)
    kind = rng.choice(("larger", "smaller", "parity"))
    text = ask(rng, f"arithmetic/{kind}", a=a, b=b)
    if kind == "parity":
        return text, f"{a} is {'odd' if a % 2 else 'even'}."
    return text, f"{max(a, b) if kind == 'larger' else min(a, b)} is {kind}."
