"""Tree of thought: several plans, several solutions of each, and a vote of the model.

Forks share what is above them in the tree; the server computes each part of it once. See Yao et
al. 2023, "Tree of Thoughts: Deliberate Problem Solving with Large Language Models".
"""

import sglang as sgl

BRANCHES = 2


@sgl.function
def tree_of_thought(s, question):
    s += sgl.user(question)
    leaves = []
    plans = s.fork(BRANCHES)
    for number, plan in enumerate(plans):
        plan += sgl.assistant(sgl.gen("plan", max_tokens=32, temperature=0.7, seed=number))
        plan += sgl.user("Solve it by your plan: " + question)
        solutions = plan.fork(BRANCHES)
        for index, solution in enumerate(solutions):
            written = sgl.gen("solution", max_tokens=32, temperature=0.7, seed=index)
            solution += sgl.assistant(written)
            leaves.append(solution)

    # Nothing above waited for anything: all plans were written at once, then all solutions.
    candidates = [leaf["solution"] for leaf in leaves]
    listed = "\n".join(f"{number}. {text}" for number, text in enumerate(candidates, 1))
    s += sgl.assistant("I found these solutions:\n" + listed)
    s += sgl.user("Which is the best? Answer with its number.")
    numbers = [str(number) for number in range(1, len(candidates) + 1)]
    s += sgl.assistant("The best is number " + sgl.select("best", numbers))
    return candidates[int(s["best"]) - 1]


if __name__ == "__main__":
    sgl.set_default_backend(sgl.RuntimeEndpoint("http://127.0.0.1:30000"))

    state = tree_of_thought.run("What is 17 + 25?")
    print(state.messages()[1]["content"])
    print("chosen:", state.ret_value)
