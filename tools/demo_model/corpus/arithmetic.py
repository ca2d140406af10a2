"""Small arithmetic: sums and differences up to 100, the multiplication table, exact division."""

# ruff: noqa: RUF001 -- these characters are meant

from __future__ import annotations

import random

from .base import Sample, ask, chat, spin

_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def in_words(number: int) -> str:
    """English name of 0..100."""
    if number < 20:
        return _ONES[number]
    if number == 100:
        return "one hundred"
    return _TENS[number // 10] + (f"-{_ONES[number % 10]}" if number % 10 else "")


Problem = tuple[int, str, int, int]
"""Left operand, operator, right operand, result."""


def problem(rng: random.Random) -> Problem:
    """A problem; small operands come up more often because people ask for them more often."""
    kind = rng.choice("++++---xx/")
    top = 100 if rng.random() < 0.65 else 12
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
    "+": ("plus", "added to"),
    "-": ("minus",),
    "x": ("times", "multiplied by"),
    "/": ("divided by",),
}
_SIGNS = {
    "+": (" + ", "+"),
    "-": (" - ", "-"),
    "x": (" x ", " * ", "*", " × "),
    "/": (" / ", "/", " ÷ "),
}
_SHAPES = (
    "What{ is|'s} $e?",
    "$e",
    "$e=",
    "$e = ?",
    "$e?",
    "{Calculate|Compute|Solve|Work out} $e{.|}",
    "How much is $e?",
    "{Tell me|Give me} {the {result|answer|value} of |}$e.",
    "Solve: $e",
    "{Can you|Could you|Please} {compute|calculate|solve|tell me} $e{?|.}",
    "What does $e equal?",
    "What {do you get for|is the result of|is the answer to|is the value of} $e?",
    "$e equals what?",
    "I need {the answer to |}$e.",
    "{Math question|Maths|Math|Arithmetic}: {what is |}$e{?|}",
    "Evaluate $e.",
    "Do you know what $e is?",
    "My homework says $e. What is it?",
)
_STORIES = {
    "+": (
        "{I have|Tom has|Anna has|She has} $a {apples|books|coins|marbles} and {gets|buys|finds} $b"
        " more. How many {are there|in total|is that}{| now}?",
        "{What is|Give me|Find} the sum of $a and $b{?|.}",
        "Add $a and $b.",
        "Add $b to $a.",
    ),
    "-": (
        "{I have|Tom has|Anna has|She has} $a {apples|books|coins|marbles} and {gives away|loses|"
        "sells|eats} $b. How many are left?",
        "{What is|Give me|Find} the difference {between|of} $a and $b{?|.}",
        "Subtract $b from $a.",
        "Take $b away from $a.",
    ),
    "x": (
        "{What is|Give me|Find} the product of $a and $b{?|.}",
        "Multiply $a by $b.",
        "Multiply $a and $b.",
        "There are $a {boxes|bags} with $b {apples|pens} each. How many "
        "{apples|pens|things} are there{| in total}?",
    ),
    "/": (
        "Divide $a by $b.",
        "{Share|Split} $a {apples|coins|sweets} {among|between} $b {people|"
        "children|friends}. How many does each get?",
        "How many times does $b go into $a?",
    ),
}
MATH_SYSTEM = (
    "You are a math tutor.",
    "You are a helpful math tutor.",
    "You are a calculator.",
    "You are a patient math teacher.",
)


def expression(rng: random.Random, item: Problem) -> str:
    """The problem as somebody types it: digits with signs, digits with words, or all words."""
    a, sign, b, _ = item
    roll = rng.random()
    if roll < 0.5:
        return f"{a}{rng.choice(_SIGNS[sign])}{b}"
    if roll < 0.8 or max(a, b) > 100:
        return f"{a} {rng.choice(_WORDS[sign])} {b}"
    return f"{in_words(a)} {rng.choice(_WORDS[sign])} {in_words(b)}"


def question(rng: random.Random, item: Problem) -> str:
    """A wording of the problem."""
    a, sign, b, _ = item
    if rng.random() < 0.25:
        return ask(rng, rng.choice(_STORIES[sign]), a=a, b=b)
    return ask(rng, rng.choice(_SHAPES), e=expression(rng, item))


def answer(item: Problem) -> str:
    """The equation: writing the operands again brings them next to the result."""
    a, sign, b, result = item
    return f"{a} {sign} {b} = {result}"


def exercise(rng: random.Random) -> Sample:
    """A conversation of one to four problems."""
    texts: list[str] = []
    for turn in range(rng.choice((1, 1, 2, 3, 4))):
        item = problem(rng)
        if turn and rng.random() < 0.4:
            text = spin(rng, "{And |What about |Now |And what is |}$e?", e=expression(rng, item))
        else:
            text = question(rng, item)
        texts += [text, answer(item)]
    system = rng.choice(MATH_SYSTEM) if rng.random() < 0.15 else None
    return chat(rng, *texts, system=system)


def follow_up(rng: random.Random) -> Sample:
    """``Add 5 to that.``: the second problem starts from the first result."""
    item = problem(rng)
    result = item[3]
    extra = rng.randint(1, 12)
    if rng.random() < 0.5 or extra > result:
        text = spin(
            rng, "{Add $n to {that|it|the result}.|And plus $n?|Now add $n.|Plus $n?}", n=extra
        )
        second = f"{result} + {extra} = {result + extra}"
    else:
        text = spin(
            rng,
            "{Subtract $n from {that|it|the result}.|And minus $n?|Now subtract $n.|Minus $n?}",
            n=extra,
        )
        second = f"{result} - {extra} = {result - extra}"
    return chat(rng, question(rng, item), answer(item), text, second)


def drill(rng: random.Random) -> Sample:
    """A plain list of equations, of which the results are learned: much arithmetic, few tokens."""
    pieces: list[tuple[str, bool]] = []
    for _ in range(rng.randint(6, 9)):
        a, sign, b, result = problem(rng)
        pieces += [(f"{a} {sign} {b} =", False), (f" {result}\n", True)]
    return Sample(pieces=pieces)


def compare(rng: random.Random) -> Sample:
    """Which of two numbers is larger, and even or odd."""
    a, b = rng.sample(range(101), 2)
    if rng.random() < 0.6:
        large = rng.random() < 0.5
        word = "{larger|bigger|greater}" if large else "{smaller|less}"
        text = ask(
            rng,
            "{Which {number |}is $w, $a or $b?|What is $w: $a or $b?|Tell me which is "
            "$w: $a or $b.}".replace("$w", word),
            a=a,
            b=b,
        )
        best = max(a, b) if large else min(a, b)
        return chat(rng, text, f"{best} is {'larger' if large else 'smaller'}.")
    text = ask(rng, "{Is $a {even or odd|odd or even|an even number or an odd number}?}", a=a)
    return chat(rng, text, f"{a} is {'odd' if a % 2 else 'even'}.")
