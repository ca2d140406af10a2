"""MMLU: questions with four choices in many subjects, with examples of the same subject.

    python benchmarks/frontend/mmlu.py --nsub 10 --data-dir data

The data are lines with ``subject``, ``question``, ``choices`` and ``answer`` (a letter), or a
folder in the form that they are published in: ``dev/SUBJECT_dev.csv`` with examples and
``test/SUBJECT_test.csv``. Without such examples, the first lines of a subject are its examples.
See Hendrycks et al. 2020, "Measuring Massive Multitask Language Understanding".
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import harness

import sglang as sgl
from sglang.lang.program_state import ProgramState

LETTERS = ["A", "B", "C", "D"]

Lines = list[harness.Line]


def read_csv(path: Path) -> Lines:
    """A file of question, four choices, letter."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {"question": row[0], "choices": row[1:5], "answer": row[5]} for row in csv.reader(file)
        ]


def read_folder(folder: Path) -> dict[str, tuple[Lines, Lines]]:
    """Subject -> (examples, questions)."""
    return {
        subject: (read_csv(folder / "dev" / f"{subject}_dev.csv"), read_csv(path))
        for path in sorted((folder / "test").glob("*_test.csv"))
        for subject in [path.name.removesuffix("_test.csv")]
    }


def read_subjects(path: Path, num_shots: int) -> dict[str, tuple[Lines, Lines]]:
    """The same of lines; one in two of a subject's at most is an example."""
    subjects: dict[str, Lines] = defaultdict(list)
    for line in harness.read_lines(path):
        subjects[line["subject"]].append(line)
    shots = {subject: min(num_shots, len(lines) // 2) for subject, lines in subjects.items()}
    return {
        subject: (lines[: shots[subject]], lines[shots[subject] :])
        for subject, lines in subjects.items()
    }


def written(line: harness.Line, with_answer: bool) -> str:
    """A question as the prompt has it."""
    choices = "".join(
        f"\n{letter}. {text}" for letter, text in zip(LETTERS, line["choices"], strict=True)
    )
    return f"{line['question']}{choices}\nAnswer:" + (
        f" {line['answer']}\n\n" if with_answer else ""
    )


@sgl.function
def few_shot_mmlu(s, examples, question, is_chat):
    letters = LETTERS if is_chat else [f" {letter}" for letter in LETTERS]
    harness.ask(s, examples + question, sgl.select("answer", letters), is_chat)


def main() -> None:
    parser = harness.parser(__doc__, "mmlu.jsonl")
    parser.add_argument("--nsub", type=int, default=60, help="at most so many subjects")
    parser.add_argument("--num-shots", "--ntrain", type=int, default=5)
    parser.add_argument("--data-dir", type=Path, help="a folder of CSV files")
    args = parser.parse_args()
    if args.data_dir is not None:
        subjects = read_folder(args.data_dir)
    else:
        subjects = read_subjects(args.data_file, args.num_shots)
    items, labels = [], []
    for subject, (shots, lines) in list(subjects.items())[: args.nsub]:
        name = subject.replace("_", " ")
        examples = f"The following are multiple choice questions (with answers) about {name}.\n\n"
        examples += "".join(written(line, True) for line in shots[: args.num_shots])
        for line in lines:
            items.append({"examples": examples, "question": written(line, False)})
            labels.append(line["answer"])

    def is_right(state: ProgramState, index: int) -> bool:
        return bool(state["answer"].strip() == labels[index])

    harness.run("mmlu", few_shot_mmlu, items[: args.num_questions], is_right, args)


if __name__ == "__main__":
    main()
