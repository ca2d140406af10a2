"""The synthetic corpus: which kinds of samples there are and how often each comes up."""

from __future__ import annotations

from collections.abc import Iterator

from . import (
    arithmetic,
    completion,
    copying,
    dialogue,
    functions,
    geography,
    languages,
    structured,
    topics,
)
from .base import Exchanger, Maker, Sample, chat
from .wording import Speaker, held_out_speaker

EXCHANGES: dict[Exchanger, float] = {
    geography.capital: 9.0,
    geography.reverse: 3.5,
    geography.continent: 2.0,
    geography.language: 2.0,
    geography.population: 1.0,
    geography.check: 1.0,
    geography.list_countries: 4.5,
    geography.city: 0.5,
    arithmetic.exercise: 9.0,
    arithmetic.story: 5.0,
    arithmetic.compare: 0.8,
    topics.introduction: 4.0,
    topics.identity: 2.5,
    topics.talk: 3.5,
    topics.health: 4.0,
    topics.knowledge: 5.0,
    topics.writing: 3.5,
    topics.unknown: 3.5,
    topics.words: 3.0,
    copying.letters: 0.7,
}
"""Questions that stand alone; a conversation holds up to four of them."""

DIALOGUES: dict[Maker, float] = {
    dialogue.follow_capitals: 5.0,
    dialogue.follow_country: 3.0,
    dialogue.memory: 5.0,
    dialogue.long_chat: 5.2,
    dialogue.persona: 4.0,
    dialogue.named: 2.5,
    dialogue.one_word: 3.0,
    dialogue.history: 1.2,
    dialogue.after_topic: 0.7,
    geography.attractions: 1.0,
    arithmetic.follow_up: 4.0,
    arithmetic.drill: 14.0,
    arithmetic.translate_drill: 5.0,
    languages.by_system: 7.0,
    languages.by_question: 4.0,
    structured.capital_info: 5.0,
    structured.wish: 3.5,
    structured.keys: 3.5,
    structured.lists: 2.5,
    structured.person: 5.0,
    structured.tips: 0.5,
    structured.character: 0.5,
    structured.plain_info: 1.2,
    functions.call: 10.0,
    functions.answer: 5.0,
    functions.not_needed: 1.5,
    copying.say: 5.0,
    copying.echo: 3.0,
    copying.lookup: 2.0,
    copying.fields: 1.5,
    copying.reading: 6.0,
    completion.beginnings: 1.2,
    completion.capital: 2.5,
    completion.article: 2.0,
    completion.questions: 2.0,
    completion.prefilled: 0.7,
    completion.instruction: 2.0,
    completion.tips: 0.5,
    completion.tool_choice: 0.6,
}
PHASES: tuple[dict[Exchanger | Maker, float], ...] = (
    {},
    {copying.echo: 20.0, copying.lookup: 8.0, copying.fields: 4.0, copying.say: 7.0},
    {
        copying.echo: 8.0,
        copying.lookup: 4.0,
        copying.fields: 4.0,
        copying.reading: 8.0,
        functions.call: 22.0,
        functions.answer: 16.0,
        functions.not_needed: 5.0,
        structured.wish: 8.0,
        structured.keys: 9.0,
        structured.person: 10.0,
        languages.by_system: 10.0,
        languages.by_question: 7.0,
        dialogue.follow_capitals: 6.0,
        dialogue.follow_country: 6.0,
        dialogue.memory: 7.0,
        dialogue.persona: 5.0,
        dialogue.one_word: 5.0,
        geography.reverse: 5.0,
        geography.continent: 3.0,
        arithmetic.story: 10.0,
        topics.talk: 7.0,
        topics.words: 4.0,
    },
)
"""Weights that differ from the above in each phase of training: copying begins when facts and forms
are known, and at last comes more of what is hardest."""
SHARE_OF_EXCHANGES = 0.33

HELD_OUT: dict[str, tuple[Exchanger | Maker, ...]] = {
    "capitals": (geography.capital, geography.reverse),
    "continents, languages": (geography.continent, geography.language),
    "lists of countries": (geography.list_countries,),
    "arithmetic": (arithmetic.exercise,),
    "word problems": (arithmetic.story,),
    "introductions": (topics.introduction, topics.identity),
    "healthy tips": (topics.health,),
    "small talk": (topics.talk,),
    "simple knowledge": (topics.knowledge, topics.words),
    "stories and jokes": (topics.writing,),
    "honest about limits": (topics.unknown,),
    "follow-ups": (dialogue.follow_capitals, dialogue.follow_country),
    "arithmetic follow-ups": (arithmetic.follow_up,),
    "memory": (dialogue.memory,),
    "personas, names, one word": (dialogue.persona, dialogue.named, dialogue.one_word),
    "languages": (languages.by_system, languages.by_question),
    "JSON": (
        structured.capital_info,
        structured.wish,
        structured.keys,
        structured.lists,
        structured.person,
    ),
    "tool calls": (functions.call,),
    "tool results": (functions.answer,),
    "tools not needed": (functions.not_needed,),
    "copying": (copying.say,),
    "reading": (copying.reading,),
}
"""The categories of the evaluation on held-out phrasings."""
FURTHER = {
    "continents, languages",
    "word problems",
    "small talk",
    "simple knowledge",
    "stories and jokes",
    "honest about limits",
    "copying",
    "reading",
}
"""Those of them that go beyond what the documentation's examples need."""


def samples(seed: int, count: int, phase: int = 0) -> Iterator[Sample]:
    """``count`` samples of a phase of training; the same seed gives the same corpus."""
    rng = Speaker(seed)
    later = PHASES[phase]
    exchangers = {each: later.get(each, weight) for each, weight in EXCHANGES.items()}
    dialogues = {each: later.get(each, weight) for each, weight in DIALOGUES.items()}
    for _ in range(count):
        if rng.random() < SHARE_OF_EXCHANGES:
            count = rng.choice((1, 1, 2, 3, 4))
            chosen = rng.choices(list(exchangers), list(exchangers.values()), k=count)
            yield chat(rng, *(text for exchange in chosen for text in exchange(rng)))
        else:
            yield rng.choices(list(dialogues), list(dialogues.values()))[0](rng)


def held_out(seed: int, per_category: int) -> Iterator[tuple[str, Sample]]:
    """Samples whose wordings are kept out of training, with their category."""
    for number, (category, makers) in enumerate(HELD_OUT.items()):
        rng = held_out_speaker(seed + number)
        for i in range(per_category):
            made = makers[i % len(makers)](rng)
            if isinstance(made, Sample):
                yield category, made
            else:
                yield category, chat(rng, *made)
