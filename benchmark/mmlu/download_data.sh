#!/bin/sh
# Fetches the questions of MMLU; then: python3 bench_sglang.py --data-dir data --nsub 10
set -eu
cd "$(dirname "$0")"
curl --fail --location https://people.eecs.berkeley.edu/~hendrycks/data.tar | tar -x
