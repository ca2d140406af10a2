#!/bin/sh
# Fetches the questions of GSM8K; then: python3 bench_sglang.py --data-file test.jsonl
set -eu
cd "$(dirname "$0")"
curl --fail --location --output test.jsonl \
    https://raw.githubusercontent.com/openai/grade-school-math/master/grade_school_math/data/test.jsonl
