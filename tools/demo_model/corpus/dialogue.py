"""Conversations: follow-up questions, memory of what was said, personas and answer styles."""

from __future__ import annotations

import random
from collections.abc import Callable

from . import arithmetic, geography, topics
from .base import Sample, ask, chat, made_up_word, spin
from .geography import CAPITAL_QUESTIONS, any_country
from .toolbox import PEOPLE
from .topics import load

_FOLLOW = (
    "{And|What about|How about|And what about|And of|And for|And the capital of|Now|And} $country?",
    "{What is|And what is} it for $country?",
    "{The same for|Same question for|And the one of|Now tell me about} $country{.|?}",
    "{And|OK, and|Thanks, and|Good. And} $country?",
)


def follow_capitals(rng: random.Random) -> Sample:
    """``And of Germany?`` after a capital was asked."""
    first = any_country(rng)
    texts = [ask(rng, rng.choice(CAPITAL_QUESTIONS), country=first.the), first.sentence]
    for _ in range(rng.choice((1, 1, 2, 3))):
        country = any_country(rng)
        texts += [spin(rng, rng.choice(_FOLLOW), country=country.the), country.sentence]
    return chat(rng, *texts)


def follow_country(rng: random.Random) -> Sample:
    """Further questions about the country or the city that was just named."""
    country = any_country(rng)
    texts = [ask(rng, rng.choice(CAPITAL_QUESTIONS), country=country.the), country.sentence]
    name = country.the
    start = name[0].upper() + name[1:]
    verb = "are" if name.endswith(("States", "Emirates", "Netherlands", "Philippines")) else "is"
    asked = rng.sample(range(4), rng.choice((1, 2)))
    for kind in asked:
        if kind == 0:
            texts += [
                spin(
                    rng, "{What|Which} language {do they speak|is spoken|do people speak}{| there}?"
                ),
                f"The main language of {name} is {country.language}.",
            ]
        elif kind == 1:
            texts += [
                spin(rng, "{On|In} {which|what} continent is {it|that|that country}?"),
                f"{start} {verb} in {country.continent}.",
            ]
        elif kind == 2:
            texts += [
                spin(
                    rng,
                    "{How many people live there|How big is it|What is its population|"
                    "And the population|How many people live in that city}?",
                ),
                f"{country.capital} has about {country.population} people.",
            ]
        else:
            texts += [
                spin(
                    rng,
                    "{Repeat that|Say that again|Can you repeat that|What did you say|"
                    "Please repeat|Say it again|Once more}{, please|}{.|?}",
                ),
                texts[-1],
            ]
    return chat(rng, *texts)


_HOBBIES = (
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
)
_COLORS = ("red", "blue", "green", "yellow", "black", "white", "orange", "purple", "pink")
_PETS = ("dog", "cat", "rabbit", "parrot", "hamster", "horse", "fish", "turtle")


def memory(rng: random.Random) -> Sample:
    """Facts about the user, told first and asked for later."""
    name = rng.choice(PEOPLE) if rng.random() < 0.5 else made_up_word(rng, 2).capitalize()
    kind = rng.randrange(6)
    hobby, color, pet = rng.choice(_HOBBIES), rng.choice(_COLORS), rng.choice(_PETS)
    city = rng.choice(geography.COUNTRIES).capital
    number = rng.randint(1, 99)
    if kind in (0, 1):
        told = spin(
            rng,
            "{My name is $n|I am $n|I'm $n|Call me $n|You can call me $n|Hi, I am $n|"
            "Hello, my name is $n|Hi! My name is $n}{.|!}",
            n=name,
        )
        first = f"Nice to meet you, {name}!"
        question = (
            "{What is my name|What's my name|Do you remember my name|Who am I|Can you tell "
            "me my name|Do you know my name|Tell me my name|How am I called}?"
        )
        answer = f"Your name is {name}."
    elif kind == 2:
        told = spin(rng, "{I like|I love|My hobby is|I enjoy} $h.", h=hobby)
        first = f"That is great! {hobby.capitalize()} is fun."
        question = "{What do I like|What is my hobby|What do I enjoy|What do I love}?"
        answer = f"You like {hobby}."
    elif kind == 3:
        told = spin(rng, "My {favorite|favourite} color is $c.", c=color)
        first = f"{color.capitalize()} is a nice color!"
        question = (
            "{What is my favorite color|Which color do I like|Do you remember my color|What "
            "color do I like}?"
        )
        answer = f"Your favorite color is {color}."
    elif kind == 4:
        told = spin(rng, "{I live in|I am from|My home is|I come from} $c.", c=city)
        first = f"{city} is a nice place!"
        question = "{Where do I live|Where am I from|Where is my home|Which city do I live in}?"
        answer = f"You live in {city}."
    else:
        animal = made_up_word(rng, 2).capitalize()
        told = spin(
            rng,
            "{I have a $p named $a|My $p is called $a|The name of my $p is $a}.",
            p=pet,
            a=animal,
        )
        first = f"{animal} is a lovely name for a {pet}!"
        question = (
            f"{{What is the name of my {pet}|What is my {pet} called|How is my {pet} called}}?"
        )
        answer = f"Your {pet} is called {animal}."
    texts = [told, first]
    for _ in range(rng.choice((0, 0, 1, 2))):
        middle = rng.choice((geography.capital, arithmetic.exercise))(rng)
        said = [m["content"] for m in middle.messages if m["role"] != "system"]
        texts += said[:2]
    if kind == 5 and number % 2:
        question = "{What pet do I have|Which pet do I have|What animal do I have}?"
        answer = f"You have a {pet} called {animal}."
    texts += [spin(rng, question), answer]
    if rng.random() < 0.2:
        texts = [f"{told} {texts[-2]}", answer]
    return chat(rng, *texts)


Style = tuple[str, Callable[[str], str]]


STYLES: tuple[Style, ...] = (
    (
        "{You are a pirate|Talk like a pirate|Answer like a pirate|You are a pirate captain|Speak"
        " like a pirate|You speak like a pirate|Pretend to be a pirate|You are an old pirate}{.|,"
        " and you answer like one.| who answers questions.}",
        lambda text: f"Arrr, matey! {text}",
    ),
    (
        "{You are a cat|Answer like a cat|Talk like a cat|You are a talking cat|Pretend to be a"
        " cat|You speak like a cat}{.| who answers questions.}",
        lambda text: f"{text} Meow!",
    ),
    (
        "{You are a robot|Talk like a robot|Answer like a robot|You are an old robot|Pretend to be"
        " a robot|You speak like a robot}{.| who answers questions.}",
        lambda text: f"Beep boop. {text}",
    ),
    (
        "{You are a cowboy|Talk like a cowboy|Answer like a cowboy|You are an old cowboy|Pretend"
        " to be a cowboy|You speak like a cowboy}{.| who answers questions.}",
        lambda text: f"Howdy, partner! {text}",
    ),
    (
        "{You are a butler|You are a polite butler|Answer like a butler|Talk like a butler|You"
        " speak like a butler|Pretend to be a butler}{.| who answers questions.}",
        lambda text: f"Certainly, sir. {text}",
    ),
)


def persona(rng: random.Random) -> Sample:
    """A system prompt gives a way of speaking."""
    system, style = rng.choice(STYLES) if rng.random() < 0.65 else STYLES[0]
    texts: list[str] = []
    for _ in range(rng.choice((1, 1, 2))):
        roll = rng.random()
        if roll < 0.4:
            country = any_country(rng)
            question = ask(rng, rng.choice(CAPITAL_QUESTIONS), country=country.the)
            answer = country.sentence
        elif roll < 0.6:
            item = arithmetic.problem(rng)
            question, answer = arithmetic.question(rng, item), arithmetic.answer(item)
        else:
            topic = rng.choice(load(rng.choice(("identity", "knowledge"))))
            question, answer = ask(rng, rng.choice(topic.questions)), topic.answer
        texts += [question, style(answer)]
    return chat(rng, *texts, system=spin(rng, system))


_ROLES = (
    "a helpful assistant",
    "a friendly assistant",
    "a teacher",
    "a doctor",
    "a travel guide",
    "a chatbot",
    "a waiter",
    "a librarian",
    "a gardener",
    "the captain of a ship",
)


def named(rng: random.Random) -> Sample:
    """A system prompt gives a name or a fact."""
    name = rng.choice(PEOPLE) if rng.random() < 0.4 else made_up_word(rng, 2).capitalize()
    role = rng.choice(_ROLES)
    system = spin(
        rng,
        "{You are $n, $r.|Your name is $n. You are $r.|You are $r named $n.|You are "
        "$r called $n.|Your name is $n.|You are called $n.}",
        n=name,
        r=role,
    )
    question = ask(
        rng,
        "{What is your name|What's your name|Who are you|How are you called|Tell me"
        " your name|Introduce yourself|What should I call you|Do you have a name}"
        "{?|.}",
    )
    answer = f"My name is {name}." if role not in system else f"My name is {name}. I am {role}."
    return chat(rng, question, answer, system=system)


def one_word(rng: random.Random) -> Sample:
    """``Answer with one word``, in the system prompt or in the question."""
    wish = spin(
        rng,
        "{Answer|Reply|Respond} {with|in|using} {one word|a single word|only one word|"
        "just one word|one word only}{.| please.}",
    )
    country = any_country(rng)
    roll = rng.random()
    if roll < 0.5:
        question = spin(rng, rng.choice(CAPITAL_QUESTIONS), country=country.the)
        answer = country.capital
    elif roll < 0.7:
        question = spin(rng, rng.choice(geography.REVERSE_QUESTIONS), capital=country.capital)
        answer = country.name
    else:
        item = arithmetic.problem(rng)
        question, answer = arithmetic.question(rng, item), str(item[3])
        wish = wish.replace("word", "number")
    roll = rng.random()
    if roll < 0.4:
        return chat(rng, question, answer, system=wish)
    return chat(rng, f"{question} {wish}" if roll < 0.8 else f"{wish} {question}", answer)


_HISTORY = {
    "ancient Rome": (
        "Ancient Rome was a civilization centered in Italy.",
        "They built roads, aqueducts and large buildings, developed Roman law, and spread Latin and"
        " their culture across Europe.",
        "The Western Roman Empire fell in the year 476.",
        "Augustus was the first Roman emperor.",
        "They spoke Latin.",
    ),
    "ancient Greece": (
        "Ancient Greece was a civilization of city states around the Aegean Sea.",
        "They invented democracy, advanced philosophy and mathematics, wrote great plays, and "
        "started the Olympic Games.",
        "Rome conquered Greece in the year 146 BC.",
        "Alexander the Great was its most famous king.",
        "They spoke Greek.",
    ),
    "ancient Egypt": (
        "Ancient Egypt was a civilization along the Nile.",
        "They built the pyramids, invented hieroglyphs and a calendar, and were skilled in medicine"
        " and farming.",
        "Rome conquered Egypt in the year 30 BC.",
        "Ramesses the Second was one of its most famous pharaohs.",
        "They spoke Egyptian.",
    ),
}
_HISTORY_FOLLOW = (
    "{What were|Tell me|List|Name|And what were|What are|Tell me about} {their|its|the} {major|"
    "main|most important|greatest|biggest} {achievements|accomplishments|contributions}{?|.}",
    "{When did it {end|fall|disappear}|How did it end|When was the end|When did they fall}?",
    "{Who was {their|its} {first emperor|most famous ruler|famous leader}|Who ruled them|Who was "
    "their leader}?",
    "{What|Which} language did {they|the people} speak?",
)


def history(rng: random.Random) -> Sample:
    """The historian of the documentation, with follow-up questions."""
    topic = "ancient Rome" if rng.random() < 0.6 else rng.choice(list(_HISTORY))
    facts = _HISTORY[topic]
    shown = topic if rng.random() < 0.7 else topic.title()
    texts = [
        spin(
            rng,
            "{Tell me about|Tell me something about|What do you know about|Describe|Give me "
            "information about|What was|Explain} $t{.||?}",
            t=shown,
        ),
        facts[0],
    ]
    for place in rng.sample(range(4), rng.choice((0, 1, 1, 2))):
        texts += [spin(rng, _HISTORY_FOLLOW[place]), facts[place + 1]]
    system = spin(
        rng,
        "You are a {knowledgeable |helpful |}{historian|history teacher|history "
        "expert}{ who provides {concise|short|brief} {responses|answers}|}.",
    )
    return chat(rng, *texts, system=system)


_AFTER_TOPIC = (
    (
        "Tell me a joke.",
        "{Another one|One more|Tell me another one|Again|Do you have another one}"
        "{, please|}{.|!|?}",
        "What do you call a fish without eyes? A fsh!",
    ),
    (
        "Give me three tips for staying healthy.",
        "{One more|Another tip|Give me one more|Can you add one|And another one}{, please|}{.|?}",
        "4. Drink enough water.",
    ),
    (
        "Write a short story about a cat.",
        "{What was the name of the cat|What is the cat called|How "
        "was the cat called|Who is the cat}?",
        "The cat was named Momo.",
    ),
    (
        "Write a short story about a space explorer.",
        "{What was the name of the {explorer|astronaut|"
        "hero}|Who is the hero|Who was the explorer}?",
        "The space explorer was named Mira.",
    ),
)


def after_topic(rng: random.Random) -> Sample:
    """A second turn about a joke, a list of tips or a story."""
    opening, second, answer = rng.choice(_AFTER_TOPIC)
    key = {"T": "scarecrow", "G": "regularly, at least", "W": opening.split()[-1].rstrip(".")}
    mark = {"cat.": "Momo", "explorer.": "Mira"}.get(opening.split()[-1], key[opening[0]])
    topic = next(t for t in load("writing") if mark in t.answer)
    return chat(rng, ask(rng, rng.choice(topic.questions)), topic.answer, spin(rng, second), answer)


def long_chat(rng: random.Random) -> Sample:
    """Many exchanges about unrelated things: long contexts, and something said at the beginning."""
    name = rng.choice(PEOPLE) if rng.random() < 0.5 else made_up_word(rng, 2).capitalize()
    texts = [
        spin(rng, "{Hi, I am|Hello, my name is|My name is|I am} $n.", n=name),
        f"Nice to meet you, {name}!",
    ]
    for _ in range(rng.randint(6, 11)):
        maker = rng.choice(
            (
                geography.capital,
                geography.reverse,
                geography.where,
                topics.words,
                topics.knowledge,
                topics.identity,
                topics.writing,
                topics.unknown,
                arithmetic.exercise,
                follow_capitals,
            )
        )
        said = [m["content"] for m in maker(rng).messages if m["role"] != "system"]
        if said[0].lower().startswith(("what is your name", "what's your name")):
            continue
        texts += said
    texts += [
        spin(rng, "{What is my name|What's my name|Do you remember my name|Who am I}?"),
        f"Your name is {name}.",
    ]
    return chat(rng, *texts)
