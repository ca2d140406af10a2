"""Conversations: follow-up questions, memory of what was said, personas and answer styles."""

from __future__ import annotations

from collections.abc import Callable

from . import arithmetic, geography, topics
from .base import Exchanger, Sample, any_name, chat, made_up_word
from .geography import any_country
from .wording import Speaker, ask, phrase, section, typed


def follow_capitals(rng: Speaker) -> Sample:
    """``And of Germany?`` after a capital was asked."""
    first = any_country(rng)
    texts = [ask(rng, "geography/capital", c=first.asked(rng)), first.sentence]
    for _ in range(rng.choice((1, 1, 2, 3, 4))):
        country = any_country(rng)
        text = phrase(rng, "geography/follow_capital", c=country.asked(rng))
        texts += [typed(rng, text), country.sentence]
    return chat(rng, *texts)


def follow_country(rng: Speaker) -> Sample:
    """Further questions about the country or the city that was just named."""
    country = any_country(rng)
    texts = [ask(rng, "geography/capital", c=country.asked(rng)), country.sentence]
    answers = {
        "follow_language": geography.main_language(country),
        "follow_continent": geography.in_continent(country),
        "follow_population": geography.inhabitants(country),
    }
    for kind in rng.sample([*answers, "repeat"], rng.choice((1, 2, 3))):
        texts += [typed(rng, phrase(rng, f"geography/{kind}")), answers.get(kind, texts[-1])]
    return chat(rng, *texts)


_HOBBIES = [
    "chess",
    "football",
    "painting",
    "reading",
    "cooking",
    "swimming",
    "music",
    "hiking",
    "dancing",
    "photography",
    "tennis",
    "gardening",
]
_COLORS = ["red", "blue", "green", "yellow", "black", "white", "orange", "purple", "pink"]
_PETS = ["dog", "cat", "rabbit", "parrot", "hamster", "horse", "fish", "turtle"]


def _fact(rng: Speaker) -> tuple[str, str, str, str]:
    """What is told, the reaction, what is asked later, and the answer."""
    kind = rng.choice(("name", "name", "name", "hobby", "color", "city", "pet"))
    pet = rng.choice(_PETS)
    value, reaction, answer = {
        "name": (any_name(rng), "Nice to meet you, {}!", "Your name is {}."),
        "hobby": (rng.choice(_HOBBIES), "That sounds fun!", "You like {}."),
        "color": (rng.choice(_COLORS), "That is a nice color!", "Your favorite color is {}."),
        "city": (rng.choice(geography.COUNTRIES).capital, "{} is a nice place!", "You live in {}."),
        "pet": (
            made_up_word(rng, 2).capitalize(),
            "What a lovely name!",
            f"Your {pet} is called {{}}.",
        ),
    }[kind]
    told = phrase(rng, f"dialogue/my_{kind}", v=value, p=pet)
    question = phrase(rng, f"dialogue/ask_{kind}", p=pet)
    return told, reaction.format(value), question, answer.format(value)


_MIDDLE: tuple[Exchanger, ...] = (
    geography.capital,
    geography.reverse,
    arithmetic.exercise,
    topics.words,
    topics.knowledge,
)


def memory(rng: Speaker) -> Sample:
    """Facts about the user, told first and asked for later."""
    told, reaction, question, answer = _fact(rng)
    if rng.random() < 0.12:
        return chat(rng, f"{told} {question}", answer)
    texts = [told, reaction]
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 5))):
        texts += rng.choice(_MIDDLE)(rng)
    return chat(rng, *texts, typed(rng, question), answer)


_CHAT: tuple[Exchanger, ...] = (
    *_MIDDLE,
    geography.language,
    geography.list_countries,
    arithmetic.story,
    topics.identity,
    topics.health,
    topics.talk,
    topics.writing,
    topics.unknown,
)


def long_chat(rng: Speaker) -> Sample:
    """Many exchanges about unrelated things: long contexts, and something told at the beginning."""
    told, reaction, question, answer = _fact(rng)
    texts, size = [told, reaction], rng.randint(1200, 2100)
    while sum(map(len, texts)) < size:
        texts += rng.choice(_CHAT)(rng)
    return chat(rng, *texts, question, answer)


STYLES: dict[str, Callable[[str], str]] = {
    "pirate": lambda text: f"Arrr, matey! {text}",
    "cat": lambda text: f"{text} Meow!",
    "robot": lambda text: f"Beep boop. {text}",
    "cowboy": lambda text: f"Howdy, partner! {text}",
    "butler": lambda text: f"Certainly, sir. {text}",
}
_STYLED: tuple[Exchanger, ...] = (
    geography.capital,
    geography.capital,
    arithmetic.exercise,
    topics.talk,
    topics.introduction,
    topics.knowledge,
)


def persona(rng: Speaker) -> Sample:
    """A system prompt gives a way of speaking."""
    name = "pirate" if rng.random() < 0.3 else rng.choice(list(STYLES))
    texts: list[str] = []
    for _ in range(rng.choice((1, 2, 3))):
        question, answer = rng.choice(_STYLED)(rng)
        texts += [question, STYLES[name](answer)]
    return chat(rng, *texts, system=phrase(rng, f"dialogue/{name}"))


def named(rng: Speaker) -> Sample:
    """A system prompt gives a name."""
    name = any_name(rng)
    system = phrase(rng, "dialogue/named", v=name)
    texts = list(rng.choice(_MIDDLE)(rng)) if rng.random() < 0.3 else []
    question = ask(rng, "dialogue/your_name")
    return chat(rng, *texts, question, f"My name is {name}.", system=system)


def one_word(rng: Speaker) -> Sample:
    """``Answer with one word``, in the system prompt or in the question."""
    trained = Speaker(rng.random())
    country, item = any_country(rng), arithmetic.problem(rng)
    kind = rng.choice(("capital", "capital", "reverse", "sum"))
    question, answer = {
        "capital": (phrase(trained, "geography/capital", c=country.the), country.capital),
        "reverse": (phrase(trained, "geography/reverse", city=country.capital), country.name),
        "sum": (arithmetic.question(trained, item), str(item[3])),
    }[kind]
    wish = phrase(rng, "dialogue/one_number" if kind == "sum" else "dialogue/one_word")
    roll = rng.random()
    if roll < 0.35:
        return chat(rng, question, answer, system=wish)
    if question[-1].isalnum():
        question += "."
    return chat(rng, f"{question} {wish}" if roll < 0.85 else f"{wish} {question}", answer)


_ROME = (
    "Ancient Rome was a civilization centered in Italy.",
    "They built roads, aqueducts and large buildings, developed Roman law, and spread Latin and"
    " their culture across Europe.",
    "The Western Roman Empire fell in the year 476.",
    "Augustus was the first Roman emperor.",
    "They spoke Latin.",
)
_ROME_FOLLOW = ("achievements", "fall", "emperor", "latin")


def history(rng: Speaker) -> Sample:
    """The historian of the documentation, with follow-up questions."""
    texts = [ask(rng, "knowledge/rome"), _ROME[0]]
    if rng.random() < 0.3:
        texts[0] = "Tell me about ancient Rome"
    for place in rng.sample(range(4), rng.choice((0, 1, 2, 3))):
        texts += [phrase(rng, f"dialogue/{_ROME_FOLLOW[place]}"), _ROME[place + 1]]
    system = phrase(rng, "dialogue/historian")
    if rng.random() < 0.3:
        system = "You are a knowledgeable historian who provides concise responses."
    return chat(rng, *texts, system=system)


_AFTER_TOPIC = (
    ("joke", "one_more_joke", "What do you call a fish without eyes? A fsh!"),
    ("tips", "one_more_tip", "4. Drink enough water."),
    ("cat_story", "cat_name", "The cat was named Momo."),
    ("space_story", "hero_name", "The space explorer was named Mira."),
)


def after_topic(rng: Speaker) -> Sample:
    """A second turn about a joke, a list of tips or a story."""
    opening, second, answer = rng.choice(_AFTER_TOPIC)
    path = f"writing/{opening}"
    follow = phrase(rng, f"dialogue/{second}")
    return chat(rng, ask(rng, path), section(path).answer, follow, answer)
