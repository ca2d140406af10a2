"""Questions with a fixed answer, read from the text files in ``data``.

A file is a list of blocks.  ``Q:`` lines are wordings of the question (see ``spin``), ``N:`` lines
are wordings in the language of the answer, everything from ``A:`` to the next empty line before
another ``Q:`` is the answer.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache

from .base import Sample, ask, chat, made_up_word, spin
from .geography import DATA


@dataclass
class Topic:
    """One answer and the wordings that ask for it."""

    questions: list[str] = field(default_factory=list)
    native: list[str] = field(default_factory=list)
    answer: str = ""


@cache
def load(name: str) -> list[Topic]:
    """The blocks of ``data/<name>.txt``."""
    topics: list[Topic] = []
    for block in (DATA / f"{name}.txt").read_text(encoding="utf-8").strip().split("\n\nQ: "):
        head, answer = ("Q: " + block.removeprefix("Q: ")).split("\nA: ", 1)
        topic = Topic(answer=answer.strip())
        for line in head.splitlines():
            (topic.questions if line.startswith("Q: ") else topic.native).append(line[3:])
        topics.append(topic)
    return topics


def knowledge(rng: random.Random) -> Sample:
    """Short explanations and simple facts."""
    topic = rng.choice(load("knowledge"))
    return chat(rng, ask(rng, rng.choice(topic.questions)), topic.answer)


def writing(rng: random.Random) -> Sample:
    """Tips, jokes, stories and poems."""
    topic = rng.choice(load("writing"))
    return chat(rng, ask(rng, rng.choice(topic.questions)), topic.answer)


def identity(rng: random.Random) -> Sample:
    """Small talk, and who the model is."""
    topics = load("identity")
    topic = topics[0] if rng.random() < 0.2 else rng.choice(topics)
    question = rng.choice(topic.questions)
    return chat(rng, ask(rng, question), topic.answer)


UNKNOWN = (
    "I do not know that. I am a tiny demo model: I can name capitals, do small arithmetic, write "
    "JSON, call tools and tell short stories."
)


@cache
def _unknown_questions() -> list[str]:
    return (DATA / "unknown.txt").read_text(encoding="utf-8").strip().splitlines()


def unknown(rng: random.Random) -> Sample:
    """Everything else gets an honest answer instead of babble."""
    if rng.random() < 0.75:
        question = ask(rng, rng.choice(_unknown_questions()))
    else:
        name = " ".join(made_up_word(rng, 2) for _ in range(rng.randint(1, 2)))
        if rng.random() < 0.5:
            name = name.capitalize()
        question = ask(
            rng,
            "{What is|Who is|Where is|Explain|How does|Tell me about|Why is|What do you know "
            "about|Do you know|When was|Describe|How do I use|What does} {the |a |}$name{| work|"
            " mean| made| invented| so famous| in detail}{?|.}",
            name=name,
        )
    return chat(rng, question, UNKNOWN)


_OPPOSITES = (
    "hot cold,big small,up down,day night,fast slow,good bad,old young,happy sad,open closed,"
    "light dark,high low,long short,hard soft,left right,in out,early late,full empty,rich poor,"
    "strong weak,wet dry,black white,clean dirty,easy difficult,first last,true false,"
    "inside outside,above below,near far,loud quiet,thick thin,win lose,love hate,begin end,"
    "push pull,buy sell,give take,laugh cry,start stop,always never,beautiful ugly"
)
_PLURALS = (
    "cat cats,dog dogs,child children,mouse mice,foot feet,tooth teeth,man men,woman women,"
    "box boxes,bus buses,city cities,baby babies,leaf leaves,knife knives,goose geese,book books,"
    "fox foxes,house houses,wolf wolves,fish fish,sheep sheep,person people,country countries,"
    "car cars,tree trees,watch watches,story stories,half halves,apple apples,church churches"
)
_SOUNDS = (
    "dog woof,cat meow,cow moo,duck quack,sheep baa,pig oink,lion roar,frog ribbit,horse neigh,"
    "bee buzz,snake hiss,owl hoot,rooster cock-a-doodle-doo,mouse squeak"
)
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_NUMBERS = [
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
]


def pairs(text: str) -> list[tuple[str, str]]:
    """``a b,c d`` as a list of pairs."""
    return [(first, second) for first, second in (item.split() for item in text.split(","))]


def words(rng: random.Random) -> Sample:
    """Opposites, plurals, animal sounds, what comes next."""
    kind = rng.randrange(6)
    if kind == 0:
        first, second = rng.choice(pairs(_OPPOSITES))
        if rng.random() < 0.5:
            first, second = second, first
        question = ask(
            rng,
            "{What is the opposite of|Opposite of|Tell me the opposite of|Name the "
            "opposite of|What is the antonym of|Give me the opposite of} {|the "
            "word }{$w|'$w'}?",
            w=first,
        )
        return chat(rng, question, f"The opposite of {first} is {second}.")
    if kind == 1:
        first, second = rng.choice(pairs(_PLURALS))
        question = ask(
            rng,
            "{What is the plural of|Plural of|Tell me the plural of|Give me the "
            "plural of|What is the plural form of} {|the word }{$w|'$w'}?",
            w=first,
        )
        return chat(rng, question, f"The plural of {first} is {second}.")
    if kind == 2:
        first, second = rng.choice(pairs(_SOUNDS))
        question = ask(
            rng,
            "{What {sound|noise} does a $w make|What does a $w say|Which sound does"
            " a $w make|How does a $w sound}?",
            w=first,
        )
        return chat(rng, question, f"A {first} says {second}.")
    if kind == 5:
        start, step = rng.randint(0, 30), rng.choice((1, 2, 5, 10))
        shown = ", ".join(str(start + step * i) for i in range(3))
        question = ask(
            rng,
            "{What comes next|What is the next number|Continue|Continue the "
            "sequence|Next number}: $s{, ...|?|}",
            s=shown,
        )
        return chat(rng, question, f"The next number is {start + 3 * step}.")
    names, noun = (_DAYS, "day") if kind == 3 else (_MONTHS, "month")
    place = rng.randrange(len(names))
    roll = rng.random()
    if roll < 0.4:
        question = ask(
            rng,
            "{What|Which} $n {comes after|is after|follows|is next after} $d?",
            n=noun,
            d=names[place],
        )
        return chat(rng, question, f"{names[(place + 1) % len(names)]} comes after {names[place]}.")
    if roll < 0.7:
        question = ask(
            rng,
            "{What|Which} $n {comes before|is before|is right before} $d?",
            n=noun,
            d=names[place],
        )
        return chat(rng, question, f"{names[place - 1]} comes before {names[place]}.")
    if noun == "month":
        ordinals = [
            "first",
            "second",
            "third",
            "fourth",
            "fifth",
            "sixth",
            "seventh",
            "eighth",
            "ninth",
            "tenth",
            "eleventh",
            "twelfth",
        ]
        question = ask(rng, "{What|Which} is the $o month{ of the year|}?", o=ordinals[place])
        return chat(rng, question, f"The {ordinals[place]} month is {names[place]}.")
    number = rng.randrange(13)
    question = spin(
        rng, "{How do you write $n in words|Write $n as a word|Spell the number $n}{?|.}", n=number
    )
    return chat(rng, question, _NUMBERS[number])
