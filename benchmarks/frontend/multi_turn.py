"""Conversations of several turns: each turn finds the ones before it in the prefix cache.

    python benchmarks/frontend/multi_turn.py --max-tokens 64 --data-file conversations.jsonl

A line has ``turns``, a list of what the user says, and may have ``expected``: for each turn a text
that the answer must contain.
"""

from __future__ import annotations

import harness

import sglang as sgl
from sglang.lang.program_state import ProgramState


@sgl.function
def multi_turn(s, turns, max_answer):
    s += sgl.system("You are a helpful assistant.")
    for number, turn in enumerate(turns):
        s += sgl.user(turn)
        s += sgl.assistant(sgl.gen(f"answer_{number}", max_tokens=max_answer))


def main() -> None:
    parser = harness.parser(__doc__, "multi_turn.jsonl")
    parser.add_argument("--max-tokens", type=int, default=64, help="of an answer")
    args = parser.parse_args()
    lines = harness.read_lines(args.data_file)[: args.num_questions]
    items = [{"turns": line["turns"], "max_answer": args.max_tokens} for line in lines]

    def is_right(state: ProgramState, index: int) -> bool:
        expected = enumerate(lines[index]["expected"])
        return all(text.lower() in state[f"answer_{number}"].lower() for number, text in expected)

    has_labels = all("expected" in line for line in lines)
    harness.run("multi_turn", multi_turn, items, is_right if has_labels else None, args)


if __name__ == "__main__":
    main()
