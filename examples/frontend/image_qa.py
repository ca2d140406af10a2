"""A question about an image, for models that can look at one.

export OPENAI_API_KEY=sk-...
python examples/frontend/image_qa.py picture.png
"""

import sys

import sglang as sgl


@sgl.function
def image_qa(s, image_file, question):
    s += sgl.user(sgl.image(image_file) + question)
    s += sgl.assistant(sgl.gen("answer", max_tokens=256))


if __name__ == "__main__":
    # A file name, a URL, base64 text or the bytes of a file.
    image_file = sys.argv[1] if len(sys.argv) > 1 else "https://example.org/cat.png"
    sgl.set_default_backend(sgl.OpenAI("gpt-4o-mini"))
    print(image_qa.run(image_file, "What is in this picture?")["answer"])
