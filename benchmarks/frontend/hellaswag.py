"""HellaSwag: which of four endings goes on with a text, by their likelihood.

    python benchmarks/frontend/hellaswag.py --num-questions 200 --data-file hellaswag_val.jsonl

A line has ``ctx``, ``endings``, ``label`` (the index of the right one) and ``activity_label``. The
first lines are the examples. See Zellers et al. 2019, "HellaSwag: Can a Machine Really Finish Your
Sentence?".
"""

from __future__ import annotations

import harness

import sglang as sgl
from sglang.lang.program_state import ProgramState


def written(line: harness.Line, with_answer: bool) -> str:
    """A line as the prompt has it."""
    text = f"{line['activity_label']}: {line['ctx']}"
    return f"{text} {line['endings'][int(line['label'])]}\n\n" if with_answer else text


@sgl.function
def few_shot_hellaswag(s, examples, text, endings, is_chat):
    choices = endings if is_chat else [f" {ending}" for ending in endings]
    harness.ask(s, examples + text, sgl.select("ending", choices), is_chat)


def main() -> None:
    parser = harness.parser(__doc__, "hellaswag.jsonl")
    parser.add_argument("--num-shots", type=int, default=4)
    args = parser.parse_args()
    lines = harness.read_lines(args.data_file)
    num_shots = min(args.num_shots, len(lines) - 1)
    examples = "".join(written(line, True) for line in lines[:num_shots])
    asked = lines[num_shots:][: args.num_questions]
    items = [
        {"examples": examples, "text": written(line, False), "endings": line["endings"]}
        for line in asked
    ]

    def is_right(state: ProgramState, index: int) -> bool:
        line = asked[index]
        return bool(state["ending"].strip() == line["endings"][int(line["label"])].strip())

    harness.run("hellaswag", few_shot_hellaswag, items, is_right, args)


if __name__ == "__main__":
    main()
