"""Tree of thought on word problems: plans, solutions of each, a vote. Forks share their tree.

    python benchmarks/frontend/tree_of_thought.py --branches 2 --data-file test.jsonl

The data are those of GSM8K. A solution is drawn, so the answer is what most solutions come to.
"""

from __future__ import annotations

from collections import Counter

import harness
from gsm8k import get_answer_value

import sglang as sgl
from sglang.lang.program_state import ProgramState

PLAN = "Make a plan to solve it in one sentence."
SOLVE = "Now solve it by this plan, and end with the number."


@sgl.function
def tree_of_thought(s, question, branches):
    solutions = []
    for number, plan in enumerate(s.fork(branches)):
        plan += sgl.user(f"{question}\n{PLAN}")
        plan += sgl.assistant(sgl.gen("plan", max_tokens=48, temperature=0.7, seed=number))
        for index, solution in enumerate(plan.fork(branches)):
            solution += sgl.user(f"{SOLVE} {question}")
            solution += sgl.assistant(
                sgl.gen("solution", max_tokens=96, temperature=0.7, seed=index)
            )
            solutions.append(solution)
    s["solutions"] = [solution["solution"] for solution in solutions]


def main() -> None:
    parser = harness.parser(__doc__, "gsm8k.jsonl")
    parser.add_argument("--branches", type=int, default=2, help="at each of the two levels")
    args = parser.parse_args()
    lines = harness.read_lines(args.data_file)[: args.num_questions]
    items = [{"question": line["question"], "branches": args.branches} for line in lines]

    def is_right(state: ProgramState, index: int) -> bool:
        votes = Counter(map(get_answer_value, state["solutions"]))
        return votes.most_common(1)[0][0] == get_answer_value(lines[index]["answer"])

    harness.run("tree_of_thought", tree_of_thought, items, is_right, args)


if __name__ == "__main__":
    main()
