"""JSON by a schema: every answer is valid; whether it is also true is another question.

    python benchmarks/frontend/json_decode.py --data-file countries.jsonl

A line has ``request``, ``schema``, and ``expected``: properties that the answer must have.
"""

from __future__ import annotations

import json

import harness

import sglang as sgl
from sglang.lang.program_state import ProgramState


@sgl.function
def json_decode(s, request, schema):
    s += sgl.user(request)
    s += sgl.assistant(sgl.gen("json", json_schema=schema, max_tokens=128))


def main() -> None:
    args = harness.parser(__doc__, "json_decode.jsonl").parse_args()
    lines = harness.read_lines(args.data_file)[: args.num_questions]
    items = [{"request": line["request"], "schema": line["schema"]} for line in lines]

    def is_right(state: ProgramState, index: int) -> bool:
        answer = json.loads(state["json"])
        return bool(answer.items() >= lines[index]["expected"].items())

    harness.run("json_decode", json_decode, items, is_right, args)


if __name__ == "__main__":
    main()
