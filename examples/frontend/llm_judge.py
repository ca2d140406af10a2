"""An essay judged on several dimensions at once, then summarised: forks and a join.

The essay is computed once for all judges.
"""

import sglang as sgl

DIMENSIONS = ["clarity", "originality", "evidence"]
ESSAY = "The sun rises in the east. It gives light and warmth, so that plants grow and we can live."


@sgl.function
def judge(s, essay):
    s += sgl.system("You judge essays.")
    s += sgl.user("The essay:\n" + essay)

    with s.fork(len(DIMENSIONS)) as judges:
        for dimension, one in zip(DIMENSIONS, judges, strict=True):
            one += sgl.user(f"Judge its {dimension} in one sentence, then give a grade.")
            one += sgl.assistant(
                sgl.gen("opinion", max_tokens=32, stop="\n")
                + "\nGrade: "
                + sgl.gen("grade", choices=["A", "B", "C", "D"])
            )

    # The values of the forks are lists now.
    grades = ", ".join(map(": ".join, zip(DIMENSIONS, s["grade"], strict=True)))
    s += sgl.user(f"The grades are: {grades}. What is the grade of the whole?")
    s += sgl.assistant("The grade is " + sgl.gen("final", choices=["A", "B", "C", "D"]))


if __name__ == "__main__":
    sgl.set_default_backend(sgl.RuntimeEndpoint("http://127.0.0.1:30000"))
    state = judge.run(ESSAY, temperature=0)
    for index, dimension in enumerate(DIMENSIONS):
        print(f"{dimension}: {state['grade'][index]} ({state['opinion'][index].strip()})")
    print("final:", state["final"])
