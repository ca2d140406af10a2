"""The synthetic corpus: which kinds of samples there are and how often each comes up."""

from __future__ import annotations

import random
from collections.abc import Iterator

from . import (
    arithmetic,
    completion,
    copying,
    dialogue,
    fluency,
    functions,
    geography,
    languages,
    polish,
    practice,
    structured,
    topics,
)
from .base import Maker, Sample

Mixture = tuple[tuple[Maker, float], ...]


def _sum(mixture: Mixture) -> float:
    return sum(weight for _, weight in mixture)


_FIRST: Mixture = (
    (geography.capital, 8.0),
    (geography.reverse, 3.5),
    (geography.where, 3.0),
    (geography.check, 1.5),
    (geography.list_countries, 3.0),
    (geography.attractions, 0.8),
    (geography.city, 1.5),
    (arithmetic.exercise, 8.0),
    (arithmetic.follow_up, 1.0),
    (arithmetic.drill, 10.0),
    (arithmetic.compare, 1.0),
    (functions.call, 6.0),
    (functions.answer, 3.0),
    (lambda rng: functions.not_needed(rng, functions.PLAIN_QUESTIONS), 0.8),
    (lambda rng: functions.not_needed(rng, (topics.identity, topics.knowledge)), 0.4),
    (copying.say, 4.0),
    (copying.letters, 3.0),
    (copying.reading, 3.0),
    (topics.identity, 4.0),
    (topics.unknown, 3.0),
    (topics.knowledge, 5.0),
    (topics.writing, 4.0),
    (topics.words, 4.0),
    (languages.answer, 6.0),
    (languages.translate, 1.0),
    (dialogue.follow_capitals, 2.5),
    (dialogue.follow_country, 2.0),
    (dialogue.memory, 3.5),
    (dialogue.persona, 2.5),
    (dialogue.named, 1.0),
    (dialogue.one_word, 2.0),
    (dialogue.history, 1.2),
    (dialogue.after_topic, 0.6),
    (dialogue.long_chat, 0.9),
    (structured.capital_info, 2.0),
    (structured.capital_answer, 2.5),
    (structured.lists, 1.5),
    (structured.person, 2.5),
    (structured.sums, 0.8),
    (structured.tips, 0.3),
    (structured.character, 0.5),
    (structured.plain_info, 1.2),
    (completion.beginnings, 1.2),
    (completion.capital, 2.5),
    (completion.article, 4.0),
    (completion.questions, 2.0),
    (completion.prefilled, 0.8),
    (completion.instruction, 2.0),
    (completion.tips, 0.4),
    (completion.tool_choice, 0.6),
    (completion.people, 0.5),
)


_CHANGED: dict[Maker, float] = {
    geography.capital: 5.5,
    geography.reverse: 2.5,
    geography.where: 2.5,
    arithmetic.exercise: 9.0,
    arithmetic.drill: 12.0,
    arithmetic.follow_up: 2.0,
    functions.call: 8.0,
    functions.answer: 4.0,
    copying.say: 5.0,
    copying.reading: 4.0,
    topics.unknown: 2.5,
    topics.words: 5.0,
    languages.answer: 8.0,
    dialogue.memory: 4.0,
    dialogue.persona: 3.0,
    dialogue.named: 1.8,
    dialogue.one_word: 3.0,
    dialogue.history: 1.6,
    structured.capital_info: 3.0,
    structured.capital_answer: 3.5,
    structured.lists: 2.0,
    structured.person: 3.5,
    completion.article: 1.5,
}
_ADDED: Mixture = (
    (copying.repeat_drill, 4.0),
    (copying.lookup_drill, 4.0),
    (copying.pronouns, 3.0),
)
_SECOND: Mixture = (
    *((maker, _CHANGED.get(maker, weight)) for maker, weight in _FIRST),
    *_ADDED,
)
_THIRD: Mixture = (
    *_SECOND,
    (arithmetic.drill, 14.0),
    (practice.sums, 7.0),
    (practice.say, 7.0),
    (practice.reading, 6.0),
    (practice.where, 4.0),
    (practice.word_facts, 3.0),
    (practice.named, 3.0),
    (practice.call, 4.0),
    (practice.result, 4.0),
    (languages.answer, 10.0),
    (topics.words, 2.0),
    (topics.knowledge, 2.0),
    (structured.person, 2.0),
)
_LAST: Mixture = (
    *((maker, weight * 0.75) for maker, weight in _THIRD),
    (arithmetic.drill, 10.0),
    (practice.say, 6.0),
    (practice.reading, 5.0),
    (practice.named, 3.0),
    (practice.call, 2.0),
    (practice.result, 3.0),
    (polish.languages, 10.0),
    (polish.stories, 8.0),
    (polish.chains, 8.0),
    (polish.echo, 8.0),
    (polish.extract, 4.0),
)
_OLD_SHARE = 0.45
_NEW: Mixture = (
    (fluency.say, 11.0),
    (fluency.echo, 6.0),
    (fluency.reading, 14.0),
    (fluency.small_talk, 6.0),
    (fluency.foreign_talk, 3.0),
    (fluency.countries, 5.0),
    (fluency.unknown, 3.0),
    (fluency.result, 5.0),
    (fluency.fields, 2.0),
)
_FIFTH: Mixture = (
    *((maker, weight * _OLD_SHARE / _sum(_LAST)) for maker, weight in _LAST),
    *((maker, weight * (1 - _OLD_SHARE) / _sum(_NEW)) for maker, weight in _NEW),
)
MIXTURES: tuple[Mixture, ...] = (_FIRST, _SECOND, _THIRD, _LAST, _FIFTH)
"""The mixtures of the phases of training: facts first, then more reading and copying."""


def samples(seed: int, count: int, phase: int = 0) -> Iterator[Sample]:
    """``count`` samples of a phase; the same seed gives the same corpus."""
    rng = random.Random(seed)
    makers = [maker for maker, _ in MIXTURES[phase]]
    weights = [weight for _, weight in MIXTURES[phase]]
    for maker in rng.choices(makers, weights, k=count):
        yield maker(rng)
