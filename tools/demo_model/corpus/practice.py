"""Samples of the last phase of training: harder copying, and rarer wordings of known questions."""

from __future__ import annotations

import random
from functools import cache

from . import arithmetic, functions
from .base import Sample, ask, chat, made_up_word, maybe_system, spin
from .geography import DATA, any_country
from .tool_cases import CASES
from .toolbox import PEOPLE, Case, documented_weather_tool, us_weather
from .topics import load


@cache
def _vocabulary() -> list[str]:
    """The words of the fixed answers: ordinary English to copy."""
    texts = [topic.answer for name in ("knowledge", "writing", "identity") for topic in load(name)]
    found = {word.strip(".,:;!?\"'()").lower() for text in texts for word in text.split()}
    places = (DATA / "us_cities.txt").read_text(encoding="utf-8").split()
    return sorted(word for word in found | set(places) if word.strip(",").isalpha())


def words(rng: random.Random, least: int, most: int) -> str:
    """Ordinary words in a row, now and then a made-up one."""
    return " ".join(
        made_up_word(rng) if rng.random() < 0.12 else rng.choice(_vocabulary()).strip(",")
        for _ in range(rng.randint(least, most))
    )


def say(rng: random.Random) -> Sample:
    """Repeat ordinary words in the order they come."""
    text = words(rng, 1, 6)
    start = spin(
        rng,
        "{Say|Say|Say|Repeat|Please say|Please repeat|Write|Echo|Print|Can you say|Now say|Type}",
    )
    roll = rng.random()
    if roll < 0.5:
        return chat(rng, f"{start} {text}", text[0].upper() + text[1:] + ".")
    if roll < 0.8:
        mark = rng.choice(("'", '"'))
        return chat(rng, f"{start} {mark}{text}{mark}{rng.choice(('', '.', '!'))}", text)
    return chat(rng, f"{start}: {text}", text)


_COLORS = ("red", "blue", "green", "yellow", "black", "white", "orange", "purple", "brown", "pink")
_THINGS = ("key", "book", "phone", "ball", "hat", "letter", "bag", "coin", "ring", "cup", "map",
           "car", "bike", "lamp", "chair", "dress")  # fmt: skip


def reading(rng: random.Random) -> Sample:
    """Who has what in which color, how old, and where: many forms of the question."""
    first, second = rng.sample(PEOPLE, 2)
    things, colors = rng.sample(_THINGS, 2), rng.sample(_COLORS, 2)
    ages = [rng.randint(4, 95), rng.randint(4, 95)]
    asked = rng.randrange(2)
    facts = {"w": (first, second)[asked], "t": things[asked], "c": colors[asked], "a": ages[asked]}
    if rng.random() < 0.7:
        text = f"{first} has a {colors[0]} {things[0]}. {second} has a {colors[1]} {things[1]}."
        question, answer = rng.choice(
            (
                ("{What|Which} color is the $t?", "The $t is $c."),
                ("{What|Which} color does the $t have?", "The $t is $c."),
                ("The color of the $t?", "The $t is $c."),
                ("{Tell me|Name} the color of the $t.", "The $t is $c."),
                ("{Who has|Who owns|Who holds} the $t?", "$w has the $t."),
                ("Which of them has the $t?", "$w has the $t."),
                ("{Name|Give me} the person with the $t.", "$w has the $t."),
                ("{Do you know|Can you say} who has the $t?", "$w has the $t."),
                ("What does $w have?", "$w has a $c $t."),
            )
        )
    else:
        text = f"{first} is {ages[0]} years old. {second} is {ages[1]} years old."
        question, answer = rng.choice(
            (
                ("How old is $w?", "$w is $a years old."),
                ("{Tell me|Name} the age of $w.", "$w is $a years old."),
                ("The age of $w?", "$w is $a years old."),
                ("Who is $a years old?", "$w is $a years old."),
            )
        )
    return chat(rng, f"{text} {spin(rng, question, **facts)}", spin(rng, answer, **facts))


def where(rng: random.Random) -> Sample:
    """Language and continent in indirect questions, and the capital for contrast."""
    country = any_country(rng)
    name = country.the
    start = spin(
        rng,
        "{Can you tell me|Could you tell me|Do you know|Please tell me|I want to know|Tell me}",
    )
    roll = rng.random()
    if roll < 0.5:
        question = ask(rng, "$s {which|what} {language is spoken in $c|language people speak in $c|"
                            "people speak in $c|language they speak in $c|they speak in $c|the "
                            "language of $c is}{?|.}", s=start, c=name)  # fmt: skip
        return chat(rng, question, f"The main language of {name} is {country.language}.")
    verb = "are" if name.endswith(("States", "Emirates", "Netherlands", "Philippines")) else "is"
    if roll < 0.85:
        question = ask(rng, "{$s {on|in} which continent $c $v{?|.}|$c: {which|what} continent{|"
                            " is it}?|The continent of $c{?| is?}}",
                       s=start, c=name, v=verb)  # fmt: skip
        answer = f"{name[0].upper()}{name[1:]} {verb} in {country.continent}."
        return chat(rng, question, answer)
    question = ask(rng, "$s {which city is|what is} the capital of $c{?|.}", s=start, c=name)
    return chat(rng, question, country.sentence)


_OPPOSITES = (
    "hot cold,big small,up down,day night,fast slow,good bad,old young,happy sad,open closed,"
    "light dark,high low,long short,hard soft,left right,in out,early late,full empty,rich poor,"
    "strong weak,wet dry,black white,clean dirty,easy difficult,first last,true false"
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def word_facts(rng: random.Random) -> Sample:
    """Opposites and the order of days."""
    if rng.random() < 0.6:
        first, second = rng.choice([pair.split() for pair in _OPPOSITES.split(",")])
        if rng.random() < 0.5:
            first, second = second, first
        question = ask(rng, "{Do you know the opposite of|Say the opposite of|I need the opposite "
                            "of|Find the opposite of|The opposite of|What is the opposite of|Please"
                            " give the opposite of} $w{?|.}", w=first)  # fmt: skip
        return chat(rng, question, f"The opposite of {first} is {second}.")
    place = rng.randrange(7)
    if rng.random() < 0.5:
        question = ask(rng, "{Do you know what|Tell me which|What|Which} day {comes|is} {|directly "
                            "|right }after $d{?|.}", d=_DAYS[place])  # fmt: skip
        return chat(rng, question, f"{_DAYS[(place + 1) % 7]} comes after {_DAYS[place]}.")
    question = ask(rng, "{Do you know what|Tell me which|What|Which} day {comes|is} {|directly "
                        "|just }before $d{?|.}", d=_DAYS[place])  # fmt: skip
    return chat(rng, question, f"{_DAYS[place - 1]} comes before {_DAYS[place]}.")


def named(rng: random.Random) -> Sample:
    """The name in the system prompt, followed by other words."""
    name = rng.choice(PEOPLE) if rng.random() < 0.3 else made_up_word(rng, 2).capitalize()
    system = spin(
        rng,
        "{People call you $n.|The users know you as $n.|You are $n, and you work in a {school|shop|"
        "library}.|You are $n and you help people.|Your name: $n.|You are $n.}",
        n=name,
    )
    question = ask(rng, "{What is your name|What's your name|How are you called|Tell me your"
                        " name|What should I call you|Say your name|Hi, what is your name|May I"
                        " know your name|Do you have a name}{?|.}")  # fmt: skip
    return chat(rng, question, f"My name is {name}.", system=system)


def _beside_weather(rng: random.Random) -> Case:
    """A case whose tool is offered beside the documented weather tool."""
    return rng.choice(CASES[2:])(rng)


def call(rng: random.Random) -> Sample:
    """A tool call with the documented weather tool beside the right tool."""
    tool, text, arguments = _beside_weather(rng)
    tools = [tool, documented_weather_tool()]
    rng.shuffle(tools)
    messages = [
        {"role": "user", "content": text},
        functions.call_message(tool["function"]["name"], arguments),
    ]
    return Sample(maybe_system(rng, messages), tools, rng.choice(functions.PARSERS))


def result(rng: random.Random) -> Sample:
    """A tool's result that has to be repeated word for word."""
    tool, text, arguments = us_weather(rng) if rng.random() < 0.6 else _beside_weather(rng)
    name = tool["function"]["name"]
    place = ", ".join(str(value) for value in list(arguments.values())[:2])
    said = spin(
        rng,
        "{In $p it is $n degrees and the $a is $b.|$p has $n degrees. $a and $b.|The $a in $p is "
        "$b, with $n degrees.|It is $n degrees in $p. The $a is $b.|$p: $a $b, $n degrees.|The "
        "answer for $p is $n.}",
        p=place, n=rng.randint(1, 99), a=words(rng, 1, 2), b=words(rng, 1, 2),
    )  # fmt: skip
    start = ""
    if rng.random() < 0.5:
        start = words(rng, 1, 3).capitalize() + rng.choice((":", ": ", " is :"))
        wish = spin(rng, "{Please respond with the format|Respond with the format|Answer in the "
                         "format|Use the format}: ")  # fmt: skip
        text += f" {wish}{start}{{function call result}}"
    messages = [
        {"role": "user", "content": text},
        functions.call_message(name, arguments),
        {"role": "tool", "content": said, "name": name},
        {"role": "assistant", "content": start + said},
    ]
    return Sample(maybe_system(rng, messages), [tool], rng.choice(functions.PARSERS))


def sums(rng: random.Random) -> Sample:
    """Arithmetic asked in rarer forms."""
    a, sign, b, _ = item = arithmetic.problem(rng)
    if rng.random() < 0.6 or sign == "/":
        text = ask(
            rng,
            "{$e gives what?|What is the number $e?|Find $e{.|}|I want to know $e.|How much do I "
            "get for $e?|Please calculate $e.|And $e?|$e please|The result of $e?}",
            e=arithmetic.expression(rng, item),
        )
        return chat(rng, text, arithmetic.answer(item))
    who, noun = rng.choice(PEOPLE), rng.choice(("pens", "cards", "eggs", "cups", "stones", "cats"))
    if sign == "+":
        text = (
            "{$w has|On the table are} $a $n and {gets $b more|finds $b more|buys another $b}. How "
            "many {is that|are that now|in all}?"
        )
    elif sign == "-":
        text = "$w has $a $n and {loses|sells|breaks} $b{| of them}. How many {remain|still}?"
    else:
        text = "In each of $a {bags|boxes|rows|plates} there are $b $n. How many {is that|in all}?"
    return chat(rng, ask(rng, text, a=a, b=b, w=who, n=noun), arithmetic.answer(item))
