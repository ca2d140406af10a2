"""Tasks whose answer stands in the prompt: they teach the network to copy."""

from __future__ import annotations

import random

from .base import Sample, ask, chat, made_up_word, spin
from .geography import COUNTRIES
from .toolbox import PEOPLE

_WORDS = (
    "river",
    "stone",
    "lamp",
    "green",
    "window",
    "paper",
    "silver",
    "garden",
    "train",
    "cloud",
    "bread",
    "music",
    "yellow",
    "mountain",
    "chair",
    "ocean",
    "bird",
    "table",
    "apple",
    "winter",
    "pencil",
    "horse",
    "bottle",
    "island",
    "forest",
    "coffee",
    "ticket",
    "mirror",
    "candle",
    "orange",
    "market",
    "bridge",
    "planet",
    "doctor",
    "castle",
)
_SENTENCES = (
    "this is a test",
    "hello world",
    "I love pizza",
    "the sky is blue",
    "good morning",
    "SGLang is fast",
    "the cat sleeps",
    "we are ready",
    "it works",
    "have a nice day",
    "the server is running",
    "all tests passed",
    "I am here",
    "cats like milk",
    "one two three",
    "the door is open",
    "see you tomorrow",
    "nothing is wrong",
)


def word(rng: random.Random) -> str:
    """A word, known or made up."""
    roll = rng.random()
    if roll < 0.45:
        return rng.choice(_WORDS)
    if roll < 0.85:
        return made_up_word(rng, rng.choice((2, 2, 3)))
    return str(rng.randint(10, 99999))


def phrase(rng: random.Random) -> str:
    """A few words in a row."""
    if rng.random() < 0.35:
        return rng.choice(_SENTENCES)
    return " ".join(word(rng) for _ in range(rng.randint(1, 6)))


def say(rng: random.Random) -> Sample:
    """``Say this is a test``: repeat a text, with or without quotes."""
    text = phrase(rng)
    mark = rng.choice(("", "", "'", '"', ": "))
    quoted = f": {text}" if mark == ": " else f" {mark}{text}{mark}"
    question = spin(
        rng,
        "{Say|Repeat|Please say|Please repeat|Write|Echo|Can you say|Say this|"
        "Repeat after me|Just say|Print|Answer only with|Reply with}$t{.|||!}",
        t=quoted,
    )
    answer = text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")
    exact = mark in ("'", '"', ": ")
    return chat(rng, question, text if exact else answer)


def letters(rng: random.Random) -> Sample:
    """Upper case, first or last word, number of words, joined words."""
    words = [word(rng) for _ in range(rng.randint(2, 5))]
    text = " ".join(words)
    kind = rng.randrange(5)
    if kind == 0:
        question = ask(rng, "What is the first word of '$t'?", t=text)
        return chat(rng, question, words[0].lower() if question.islower() else words[0])
    if kind == 1:
        question = ask(rng, "What is the last word of '$t'?", t=text)
        return chat(rng, question, words[-1])
    if kind == 2:
        return chat(rng, ask(rng, "How many words are in '$t'?", t=text), str(len(words)))
    if kind == 3:
        listed = ", ".join(words)
        return chat(
            rng,
            ask(rng, "{Make|Write} a {numbered |}list of {these words|this}: $t", t=listed),
            "\n".join(f"{i}. {item}" for i, item in enumerate(words, 1)),
        )
    listed = ", ".join(words)
    return chat(
        rng,
        ask(rng, "{Reverse the order of|Write in reverse order}: $t", t=listed),
        ", ".join(reversed(words)),
    )


_THINGS = ("key", "book", "phone", "ball", "hat", "letter", "bag", "coin", "ring", "cup", "map")
_PLACES = (
    "kitchen",
    "garden",
    "box",
    "car",
    "drawer",
    "office",
    "bedroom",
    "school",
    "garage",
    "basket",
    "library",
)
_COLORS = ("red", "blue", "green", "yellow", "black", "white", "orange", "purple", "brown", "pink")


def reading(rng: random.Random) -> Sample:
    """A short text and a question about it."""
    first, second = rng.sample(PEOPLE, 2)
    one, two = rng.sample(_THINGS, 2)
    here, there = rng.sample(_PLACES, 2)
    color, other = rng.sample(_COLORS, 2)
    kind = rng.randrange(4)
    lead = rng.choice(("", "Read this: ", "Context: ", "Here is a text. "))
    if kind == 0:
        facts = [f"{first} has a {color} {one}.", f"{second} has a {other} {two}."]
        question, answer = f"What color is the {one}?", f"The {one} is {color}."
        if rng.random() < 0.5:
            question, answer = f"Who has the {two}?", f"{second} has the {two}."
    elif kind == 1:
        facts = [f"The {one} is in the {here}.", f"The {two} is in the {there}."]
        question, answer = f"Where is the {one}?", f"The {one} is in the {here}."
    elif kind == 2:
        a, b = rng.randint(5, 90), rng.randint(5, 90)
        facts = [f"{first} is {a} years old.", f"{second} is {b} years old."]
        question, answer = f"How old is {second}?", f"{second} is {b} years old."
    else:
        city, town = made_up_word(rng, 3).capitalize(), made_up_word(rng, 3).capitalize()
        facts = [f"{first} lives in {city}.", f"{second} lives in {town}."]
        question, answer = f"Where does {first} live?", f"{first} lives in {city}."
    rng.shuffle(facts)
    return chat(rng, f"{lead}{' '.join(facts)} {question}", answer)


def _short(rng: random.Random) -> str:
    """A name, a made-up word or a number."""
    roll = rng.random()
    if roll < 0.3:
        return rng.choice(PEOPLE)
    if roll < 0.5:
        return rng.choice(COUNTRIES).capital
    if roll < 0.65:
        return str(rng.randint(10, 9999))
    text = made_up_word(rng, rng.choice((2, 2, 3)))
    return text.capitalize() if rng.random() < 0.5 else text


def repeat_drill(rng: random.Random) -> Sample:
    """Lines that come twice, of which the second is learned: copying and little else."""
    pieces: list[tuple[str, bool]] = []
    for _ in range(rng.randint(2, 4)):
        text = " ".join(_short(rng) for _ in range(rng.randint(2, 6)))
        pieces += [(f"{text}\nAgain:", False), (f" {text}\n", True)]
    return Sample(pieces=pieces)


def lookup_drill(rng: random.Random) -> Sample:
    """A list of names with values, then questions for the values."""
    names = list(dict.fromkeys(_short(rng) for _ in range(rng.randint(3, 6))))
    values = [_short(rng) for _ in names]
    sign = rng.choice((": ", " = ", " is ", " has "))
    facts = "\n".join(f"{name}{sign}{value}" for name, value in zip(names, values, strict=True))
    pieces: list[tuple[str, bool]] = [(facts + "\n", False)]
    for place in rng.sample(range(len(names)), len(names)):
        pieces += [(f"{names[place]}?", False), (f" {values[place]}\n", True)]
    return Sample(pieces=pieces)


def pronouns(rng: random.Random) -> Sample:
    """Several facts about several people, and questions in several turns."""
    people = rng.sample(PEOPLE, 3)
    things = rng.sample(_THINGS, 3)
    colors = rng.sample(_COLORS, 3)
    text = " ".join(
        f"{who} has a {color} {thing}."
        for who, color, thing in zip(people, colors, things, strict=True)
    )
    texts: list[str] = []
    for place in rng.sample(range(3), rng.randint(1, 3)):
        question, answer = rng.choice(
            (
                ("{What color is|Which color has} the $t?", "The $t is $c."),
                ("Who has the $t?", "$w has the $t."),
                ("What does $w have?", "$w has a $c $t."),
                ("{Which|What} thing is $c?", "The $t is $c."),
            )
        )
        facts = {"w": people[place], "c": colors[place], "t": things[place]}
        texts += [spin(rng, question, **facts), spin(rng, answer, **facts)]
    texts[0] = f"{text} {texts[0]}"
    return chat(rng, *texts)
