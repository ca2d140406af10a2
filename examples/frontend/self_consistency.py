"""Self-consistency: many sampled lines of thought, and the answer that most of them come to.

One request with ``n`` answers: the prompt is computed once. See Wang et al. 2022,
"Self-Consistency Improves Chain of Thought Reasoning in Language Models".
"""

import re
from collections import Counter

import sglang as sgl


@sgl.function
def self_consistency(s, question):
    s += sgl.user(question)
    s += sgl.assistant(sgl.gen("thoughts", n=8, max_tokens=32, temperature=0.8, seed=1))


def last_number(text):
    numbers = re.findall(r"-?\d+", text)
    return numbers[-1] if numbers else None


if __name__ == "__main__":
    sgl.set_default_backend(sgl.RuntimeEndpoint("http://127.0.0.1:30000"))

    thoughts = self_consistency.run("What is 17 + 25?")["thoughts"]
    votes = Counter(last_number(thought) for thought in thoughts)
    print("votes:", dict(votes))
    print("answer:", votes.most_common(1)[0][0])
