"""A model as judge: several dimensions of a text in parallel, then a verdict.

    python benchmarks/frontend/llm_judge.py --data-file essays.jsonl

A line has ``text`` and may have ``grade``, that of a person (A to D). The text is computed once for
all judges. See Zheng et al. 2023, "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena".
"""

from __future__ import annotations

import harness

import sglang as sgl
from sglang.lang.program_state import ProgramState

DIMENSIONS = ("clarity", "originality", "evidence", "style")
GRADES = ["A", "B", "C", "D"]


@sgl.function
def llm_judge(s, text):
    s += sgl.system("You judge texts.")
    s += sgl.user("The text:\n" + text)
    s += sgl.assistant("I have read it.")
    with s.fork(len(DIMENSIONS)) as judges:
        for dimension, judge in zip(DIMENSIONS, judges, strict=True):
            judge += sgl.user(f"Judge its {dimension} in one sentence.")
            judge += sgl.assistant(sgl.gen("opinion", max_tokens=32, stop="\n"))
    opinions = "\n".join(map(": ".join, zip(DIMENSIONS, s["opinion"], strict=True)))
    s += sgl.user(f"The judges say:\n{opinions}\nWhich grade does the text get, A to D?")
    s += sgl.assistant(sgl.select("grade", GRADES))


def main() -> None:
    args = harness.parser(__doc__, "llm_judge.jsonl").parse_args()
    lines = harness.read_lines(args.data_file)[: args.num_questions]
    items = [{"text": line["text"]} for line in lines]

    def is_right(state: ProgramState, index: int) -> bool:
        return bool(state["grade"] == lines[index]["grade"])

    has_labels = all("grade" in line for line in lines)
    harness.run("llm_judge", llm_judge, items, is_right if has_labels else None, args)


if __name__ == "__main__":
    main()
