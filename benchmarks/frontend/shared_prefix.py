"""Programs that share prefixes, beside the same written with plain requests to an OpenAI API.

    python benchmarks/frontend/shared_prefix.py --url http://127.0.0.1:30000 \
        --plain-url http://127.0.0.1:8000/v1 --plain-model NAME

Four workloads: a few-shot batch, trees of thought, conversations, JSON. The programs run on a
server of this project, the plain requests on any server with the OpenAI API (without --plain-url
on the same one). Both sides send the same prompts, want the same numbers of tokens, and have as
many requests under way at a time: items in parallel, and the branches of a tree, too. Each round
has fresh prompts; rounds of both sides alternate.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import sglang as sgl
from sglang.lang.backend.base import Backend
from sglang.lang.backend.http import HttpClient
from sglang.lang.function import Function

NUM_EXAMPLES, BRANCHES, TURNS = 24, 4, 4
SHORT, LONG = 16, 32
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "city": {"enum": ["Paris", "London", "Tokyo", "Nairobi"]},
    },
    "required": ["name", "age", "city"],
    "additionalProperties": False,
}
INSTRUCTIONS = "Answer with facts that you are sure of, in the form that is asked for. " * 12


def examples(salt: int) -> str:
    """The same for all items of a round, and for no other round."""
    lines = [f"Q: What is {salt} + {i}?\nA: {salt + i}\n" for i in range(NUM_EXAMPLES)]
    return "".join(lines)


def question(salt: int, item: int) -> str:
    return f"What is {salt} + {item} + 7, and why?"


# ---- as programs


@sgl.function
def few_shot(s, salt, item):
    s += examples(salt) + "Q: " + question(salt, item) + "\nA:"
    s += sgl.gen("answer", max_tokens=SHORT, ignore_eos=True)


@sgl.function
def tree_of_thought(s, salt, item):
    s += sgl.system(f"{salt}. {INSTRUCTIONS}")
    s += sgl.user(question(salt, item))
    leaves = []
    for number, plan in enumerate(s.fork(BRANCHES)):
        plan += sgl.assistant(f"{number}. " + sgl.gen("plan", max_tokens=SHORT, ignore_eos=True))
        for index, leaf in enumerate(plan.fork(BRANCHES)):
            leaf += sgl.user(f"Solve it in the way {index}.")
            leaf += sgl.assistant(sgl.gen("solution", max_tokens=SHORT, ignore_eos=True))
            leaves.append(leaf)
    return [leaf["solution"] for leaf in leaves]


@sgl.function
def multi_turn(s, salt, item):
    s += sgl.system(f"{salt}. {INSTRUCTIONS}")
    for turn in range(TURNS):
        s += sgl.user(question(salt, item + turn))
        s += sgl.assistant(sgl.gen("answer", max_tokens=LONG, ignore_eos=True))


@sgl.function
def json_decode(s, salt, item):
    s += sgl.system(f"{salt}. {INSTRUCTIONS}")
    s += sgl.user(f"Describe person {item} as JSON.")
    s += sgl.assistant(sgl.gen("json", json_schema=SCHEMA, max_tokens=64))


# ---- as plain requests


@dataclass(frozen=True)
class Plain:
    """A client of the OpenAI API."""

    client: HttpClient
    model: str

    def complete(self, prompt: str, max_tokens: int) -> str:
        body = {"prompt": prompt, "max_tokens": max_tokens, "ignore_eos": True}
        answer = self.client.post("/completions", {"model": self.model, "temperature": 0, **body})
        return str(answer["choices"][0]["text"])

    def chat(self, messages: Sequence[dict[str, str]], **fields: Any) -> dict[str, str]:
        body = {"messages": list(messages), "temperature": 0, **fields}
        answer = self.client.post("/chat/completions", {"model": self.model, **body})
        return {"role": "assistant", "content": answer["choices"][0]["message"]["content"] or ""}


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def plain_few_shot(plain: Plain, salt: int, item: int) -> None:
    plain.complete(examples(salt) + "Q: " + question(salt, item) + "\nA:", SHORT)


def plain_tree_of_thought(plain: Plain, salt: int, item: int) -> None:
    root = [said("system", f"{salt}. {INSTRUCTIONS}"), said("user", question(salt, item))]

    def branch(number: int) -> None:
        plan = plain.chat(root, max_tokens=SHORT, ignore_eos=True)
        plan["content"] = f"{number}. {plan['content']}"

        def solve(index: int) -> None:
            task = said("user", f"Solve it in the way {index}.")
            plain.chat([*root, plan, task], max_tokens=SHORT, ignore_eos=True)

        at_once(solve, BRANCHES)

    at_once(branch, BRANCHES)


def plain_multi_turn(plain: Plain, salt: int, item: int) -> None:
    messages = [said("system", f"{salt}. {INSTRUCTIONS}")]
    for turn in range(TURNS):
        messages.append(said("user", question(salt, item + turn)))
        messages.append(plain.chat(messages, max_tokens=LONG, ignore_eos=True))


def plain_json_decode(plain: Plain, salt: int, item: int) -> None:
    messages = [
        said("system", f"{salt}. {INSTRUCTIONS}"),
        said("user", f"Describe person {item} as JSON."),
    ]
    schema = {"name": "person", "schema": SCHEMA, "strict": True}
    form = {"type": "json_schema", "json_schema": schema}
    json.loads(plain.chat(messages, max_tokens=64, response_format=form)["content"])


def at_once(work: Callable[[int], None], count: int) -> None:
    """Do the work for all numbers below count, each in a thread."""
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, range(count)))


# ---- the comparison

ByHand = Callable[[Plain, int, int], None]

WORKLOADS: tuple[tuple[Function, ByHand], ...] = (
    (few_shot, plain_few_shot),
    (tree_of_thought, plain_tree_of_thought),
    (multi_turn, plain_multi_turn),
    (json_decode, plain_json_decode),
)


def seconds_of(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def compare(
    program: Function, by_hand: ByHand, backend: Backend, plain: Plain, args: argparse.Namespace
) -> None:
    """Print the median seconds of both sides for one workload."""

    def as_program(salt: int) -> None:
        items = [{"salt": salt, "item": item} for item in range(args.items)]
        check(program.run_batch(items, backend=backend, temperature=0))

    def as_requests(salt: int) -> None:
        at_once(lambda item: by_hand(plain, salt, item), args.items)

    ours, theirs = [], []
    for number in range(args.rounds + 1):
        salt = (args.salt + number) * 1000
        program_s = seconds_of(partial(as_program, salt))
        # Plain requests to the same server must find nothing of the program's.
        plain_s = seconds_of(partial(as_requests, salt + 500))
        if number > 0:  # the first is to warm up
            ours.append(program_s)
            theirs.append(plain_s)
    mine, other = statistics.median(ours), statistics.median(theirs)
    print(
        f"{program.name:16} program {mine:.3f} s, plain requests {other:.3f} s, "
        f"{other / mine:.2f} times as fast",
        flush=True,
    )


def check(states: Sequence[Any]) -> None:
    """A comparison with failures compares nothing."""
    for state in states:
        if state.error() is not None:
            raise state.error()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:30000", help="for the programs")
    parser.add_argument("--plain-url", help="for the plain requests, with /v1")
    parser.add_argument("--plain-model", default="default")
    parser.add_argument("--api-key", help="for the plain requests")
    parser.add_argument("--items", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--salt", type=int, default=int(time.time()) % 1000)
    args = parser.parse_args()
    plain_url = args.plain_url or args.url + "/v1"
    plain = Plain(HttpClient(plain_url, args.api_key), args.plain_model)
    backend = sgl.RuntimeEndpoint(args.url)
    for program, by_hand in WORKLOADS:
        compare(program, by_hand, backend, plain, args)


if __name__ == "__main__":
    main()
