"""GSM8K: word problems whose answer is a number, with worked examples in the prompt.

    python benchmarks/frontend/gsm8k.py --num-questions 200 --num-shots 8 --data-file test.jsonl
    python benchmarks/frontend/gsm8k.py --style boxed    # the prompt of Qwen2.5-Math, no examples

A line of the data has ``question`` and ``answer``, which ends with ``#### number``. The first lines
are the examples. See Cobbe et al. 2021, "Training Verifiers to Solve Math Word Problems".
"""

from __future__ import annotations

import re
from functools import partial

import harness

import sglang as sgl
from sglang.lang.program_state import ProgramState

STOP = ["Question", "Assistant:", "<|separator|>"]
BOXED_STOP = ["Question", "Assistant:", "</s>", "<|im_end|>", "<|endoftext|>"]


def get_one_example(lines: list[harness.Line], i: int, include_answer: bool) -> str:
    """A line as the prompt has it."""
    text = f"Question: {lines[i]['question']}\nAnswer:"
    return f"{text} {lines[i]['answer']}\n\n" if include_answer else text


def get_answer_value(answer: str) -> float | None:
    """The last number in a text; None if there is none."""
    numbers = re.findall(r"-?\d+(?:\.\d+)?", answer.replace(",", ""))
    return float(numbers[-1]) if numbers else None


@sgl.function
def few_shot_gsm8k(s, examples, question, is_chat):
    answer = sgl.gen("answer", max_tokens=512, stop=STOP)
    harness.ask(s, examples + question, answer, is_chat)


@sgl.function
def boxed_gsm8k(s, examples, question):
    s += sgl.system("Please reason step by step, and put your final answer within \\boxed{}.")
    s += examples + question
    s += sgl.gen("answer", max_tokens=2048, stop=BOXED_STOP)


def is_right(labels: list[float | None], state: ProgramState, index: int) -> bool:
    return get_answer_value(state["answer"]) == labels[index]


def main() -> None:
    parser = harness.parser(__doc__, "gsm8k.jsonl")
    parser.add_argument("--num-shots", type=int, default=5)
    parser.add_argument("--style", choices=["few-shot", "boxed"], default="few-shot")
    args = parser.parse_args()
    lines = harness.read_lines(args.data_file)
    num_shots = 0 if args.style == "boxed" else min(args.num_shots, len(lines) - 1)
    examples = "".join(get_one_example(lines, i, True) for i in range(num_shots))
    asked = range(num_shots, min(num_shots + args.num_questions, len(lines)))
    items = [{"examples": examples, "question": get_one_example(lines, i, False)} for i in asked]
    labels = [get_answer_value(lines[i]["answer"]) for i in asked]
    program = boxed_gsm8k if args.style == "boxed" else few_shot_gsm8k
    harness.run("gsm8k", program, items, partial(is_right, labels), args)


if __name__ == "__main__":
    main()
