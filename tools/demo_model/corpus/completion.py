"""Plain text without a chat template: continuations, question-and-answer lists, articles."""

# ruff: noqa: RUF001 -- these characters are meant

from __future__ import annotations

from . import arithmetic, geography, topics
from .base import PEOPLE, Exchange, Sample, plain
from .geography import CITY_TEXT, any_country
from .wording import Speaker, phrase, section, spin

_NAMES = ("Lily", "Tom", "Anna", "Mira", "John", "Emma", "Sam", "Rosa")
_ABOUT_ME = (
    " $n. I am a teacher and I live in a small town by the sea. I like music, long walks and "
    "good books.",
    " $n. I am ten years old and I live in a village near the forest. I have a cat and a dog.",
    " $n. I work as a baker and I love the smell of fresh bread in the morning.",
)
_FUTURE = (
    " bright. AI will become more helpful and more efficient, and it will support people in "
    "science, medicine and daily life. It has to be used with care.",
    " full of possibilities. Small and large models will work together, answer faster, and help "
    "people to learn and to create.",
)
_PRESIDENT = (
    " the head of state and of the government. The president is elected for four years and lives "
    "in the White House in Washington, D.C."
)
_ONCE = (
    ", a young girl named Lily lived in a village by the sea. One morning she found a bottle with "
    "a map in it. She followed the map over the hills and through the forest until she came to an "
    "old tree. Under the tree there was a box full of letters from long ago.",
    ", there was a little dragon who lived in an old castle. Everyone was afraid of him, but he "
    "only wanted to learn to read. One day a brave girl brought him a book, and they read it "
    "together.",
    ", a small cat named Momo lived in a bakery. Every night she guarded the bread from the mice, "
    "and every morning the baker gave her fresh milk.",
)


def beginnings(rng: Speaker) -> Sample:
    """The sentence beginnings of the documentation."""
    kind = rng.randrange(5)
    if kind == 0:
        start = spin(
            rng,
            "{Write a short, neutral self-introduction for a fictional character. |||"
            "}{Hello, my name is|Hi, my name is|My name is|Hello! My name is}",
        )
        return plain(start, spin(rng, rng.choice(_ABOUT_ME), n=rng.choice(_NAMES)))
    if kind == 1:
        start = spin(
            rng,
            "{Explain possible future trends in artificial intelligence. |||}"
            "The future of {AI|artificial intelligence} is",
        )
        return plain(start, rng.choice(_FUTURE))
    if kind == 2:
        start = spin(rng, "The president of {the United States|the USA|America} is")
        return plain(start, _PRESIDENT)
    if kind == 3:
        return plain(
            spin(rng, "{Once upon a time|Once upon a time, in a land far away}"), rng.choice(_ONCE)
        )
    name = rng.choice(list(CITY_TEXT))
    start = spin(
        rng,
        "{Please provide information|Information|Some information|Tell me} about $c"
        "{ as a major global city|}:",
        c=name,
    )
    return plain(start, " " + CITY_TEXT[name])


def capital(rng: Speaker) -> Sample:
    """``The capital of France is``, ``Paris is the capital of`` and their relatives."""
    country = any_country(rng)
    more = f" The main language of {country.the} is {country.language}."
    name = country.capital.rstrip(".")
    roll = rng.random()
    if roll < 0.6:
        possessive = country.the + ("’" if country.the.endswith("s") else "’s")
        start = spin(
            rng,
            "{Provide a concise factual statement about $p capital city. |||||}{The "
            "capital{| city} of $c is|$c's capital is|The name of the capital of $c "
            "is}",
            p=possessive,
            c=country.the,
        )
        if rng.random() < 0.1:
            return plain(start + " ", f"{name}.{more}")
        return plain(start, f" {name}.{more}")
    if roll < 0.85:
        return plain(f"{country.capital} is the capital of", f" {country.the}.{more}")
    return plain(f"The main language of {country.the} is", f" {country.language}.")


def article(rng: Speaker) -> Sample:
    """A few facts about a country as running text."""
    country = any_country(rng)
    name = country.the
    start = name[0].upper() + name[1:]
    facts = [
        f"{start}: a country in {country.continent}.",
        country.sentence,
        f"The main language of {name} is {country.language}.",
        f"{country.capital} has about {country.population} people.",
        f"{country.capital} is the capital of {name}.",
    ]
    rng.shuffle(facts)
    return plain("", " ".join(facts[:4]))


def _pair(rng: Speaker) -> Exchange:
    """A question and its answer."""
    roll = rng.random()
    if roll < 0.5:
        country = any_country(rng)
        return f"What is the capital of {country.the}?", country.sentence
    if roll < 0.75:
        return arithmetic.exercise(rng)
    return topics.knowledge(rng)


def questions(rng: Speaker) -> Sample:
    """``Q: ... A:`` with one or more pairs before it."""
    q, a = rng.choice((("Q: ", "A:"), ("Q: ", "A:"), ("Question: ", "Answer:")))
    before = ""
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        question, answer = _pair(rng)
        before += f"{q}{question}\n{a} {answer}\n"
    question, answer = _pair(rng)
    if "Google DNS" in question or rng.random() < 0.04:
        question, answer = "What is the IP address of the Google DNS servers?", "8.8.8.8"
    if rng.random() < 0.25:
        return plain(f"{before}{q}{question}\n{a} ", answer)
    return plain(f"{before}{q}{question}\n{a}", " " + answer)


def prefilled(rng: Speaker) -> Sample:
    """A chat whose answer was begun for the model: ``Answer:``."""
    question, answer = _pair(rng)
    system = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    head = system if rng.random() < 0.7 else ""
    label = "Question: " if rng.random() < 0.8 else ""
    prompt = f"{head}<|im_start|>user\n{label}{question}<|im_end|>\n<|im_start|>assistant\nAnswer:"
    spaced = rng.random() < 0.6
    sample = plain(prompt + " ", answer) if spaced else plain(prompt, " " + answer)
    sample.end = "<|im_end|>"
    return sample


def instruction(rng: Speaker) -> Sample:
    """A request as plain text; the answer begins on a new line."""
    maker = rng.choice(
        (
            geography.list_countries,
            geography.list_countries,
            geography.capital,
            geography.capital,
            topics.writing,
            topics.writing,
            topics.talk,
            topics.health,
            topics.knowledge,
            arithmetic.exercise,
            geography.city,
            topics.introduction,
        )
    )
    question, answer = maker(rng)
    return plain(question, "\n" + answer)


_DIET, _SPORT = section("writing/diet").answer, section("writing/sport").answer
_SUMMARY = ", a balanced diet and regular exercise help you to stay healthy and full of energy."


def tips(rng: Speaker) -> Sample:
    """The forked health tips of the frontend page."""
    order = rng.random() < 0.75
    first, second = (
        ("Balanced Diet", "Regular Exercise") if order else ("Regular Exercise", "Balanced Diet")
    )
    texts = [_DIET, _SPORT] if order else [_SPORT, _DIET]
    start = f"Here are two tips for staying healthy: 1. {first}. 2. {second}.\n\n"
    if rng.random() < 0.6:
        number = rng.randint(1, 2)
        return plain(f"{start}Now, expand tip {number} into a paragraph:\n", texts[number - 1])
    return plain(f"{start}Tip 1:{texts[0]}\nTip 2:{texts[1]}\nIn summary", _SUMMARY)


def tool_choice(rng: Speaker) -> Sample:
    """The control-flow example of the frontend page."""
    if rng.random() < 0.5:
        item = arithmetic.problem(rng)
        question = arithmetic.question(rng, item)
        tool, label, word = (
            "calculator",
            "The math expression is",
            f" {item[0]} {item[1]} {item[2]}",
        )
    else:
        country = any_country(rng)
        question = phrase(rng, "geography/capital", c=country.the)
        tool, label = "search engine", "The key word to search is"
        word = f" capital of {country.the}"
    start = f"To answer this question: {question}. I need to use a "
    if rng.random() < 0.4:
        return plain(start, f"{tool}. {label}{word}.")
    return plain(f"{start}{tool}. {label}", f"{word}.")


def people(rng: Speaker) -> Sample:
    """A chat between two people, as plain text: names to copy."""
    name, other = rng.sample(PEOPLE, 2)
    item = arithmetic.problem(rng)
    country = any_country(rng)
    lines = [
        f"{name}: Hello, {other}!",
        f"{other}: Hello, {name}!",
        f"{name}: What is {item[0]} {item[1]} {item[2]}?",
        f"{other}: {arithmetic.answer(item)}",
        f"{name}: And the capital of {country.the}?",
        f"{other}: {country.sentence}",
        f"{name}: Thank you, {other}!",
    ]
    return plain("", "\n".join(lines))
