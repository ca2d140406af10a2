"""``docs/server-arguments.md``, written from the declaration.

``python -m sglang.srt.server_args.documentation docs/server-arguments.md`` renews it.
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

from sglang.srt.server_args.args import OPTIONS
from sglang.srt.server_args.command_line import default_text
from sglang.srt.server_args.option import Option

_INTRODUCTION = """\
# Server arguments

*Written by `python -m sglang.srt.server_args.documentation`: change the declaration in
`src/sglang/srt/server_args/`, not this page.*

The options of `sglang serve`, of its older spellings `python -m sglang.launch_server` and
`python -m sglang.launcher`, and, under the same names, of `sglang.Engine(...)`.

* Flags take dashes or underscores (`--model-path`, `--model_path`) and may be shortened while they
  stay unambiguous (`--mem-frac 0.8`).
* `--config FILE.yaml` reads options from a file. Keys are flags without the leading dashes; the
  command line overrides the file, and every switch has a `--no-` form for that.
* An option marked *planned* belongs to a feature that is not built yet. It is refused unless it
  keeps its default; nothing is ever silently ignored.

```yaml
# server.yaml: sglang serve --config server.yaml
model: Qwen/Qwen3-0.6B
port: 8000
max-running-requests: 64
enable-cache-report: true
```
"""


def render() -> str:
    """The whole page in Markdown."""
    parts = [_INTRODUCTION]
    for title, options in groupby(OPTIONS, key=lambda option: option.facts.section):
        rows = "\n".join(_row(option) for option in options)
        parts.append(f"## {title}\n\n| option | default | meaning |\n|---|---|---|\n{rows}\n")
    return "\n".join(parts)


def _row(option: Option) -> str:
    facts = option.facts
    flags = ", ".join(f"`{flag}`" for flag in option.flags)
    meaning = [facts.help if facts.implemented else f"*Planned.* {facts.help}"]
    if facts.choices:
        meaning.append("One of " + ", ".join(f"`{choice}`" for choice in facts.choices) + ".")
    if facts.planned:
        meaning.append("Planned: " + ", ".join(f"`{choice}`" for choice in facts.planned) + ".")
    if facts.env:
        meaning.append(f"Environment: `{facts.env}`.")
    cells = (flags, _default(option), " ".join(meaning))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(option: Option) -> str:
    if option.facts.default_text:
        return option.facts.default_text
    if option.type is bool:
        return "off"
    return f"`{text}`" if (text := default_text(option)) else "none"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
