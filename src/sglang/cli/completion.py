"""Tab completion: ``eval "$(sglang --print-completion bash)"`` (or zsh).

The scripts are written from the declaration of the options; nothing of ours runs when a key is
pressed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from sglang.cli.bench import TOOLS as BENCH_TOOLS
from sglang.cli.models import FLAGS as MODELS_FLAGS
from sglang.srt.server_args import OPTIONS

_CHAT_FLAGS = ("--url", "--api-key", "--system", "--temperature", "--max-tokens")

_BASH = """\
_sglang() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W {commands} -- "$word"))
    return
  fi
  if [ "${{COMP_WORDS[1]}}" = bench ] && [ "$COMP_CWORD" -eq 2 ]; then
    COMPREPLY=($(compgen -W {bench_tools} -- "$word"))
    return
  fi
  case "$before" in
{choices}
    *)
      local flags={serve_flags}
      case "${{COMP_WORDS[1]}}" in
        serve) ;;
        chat) flags="$flags "{chat_flags} ;;
        models) flags={models_flags} ;;
        *) flags="--help" ;;
      esac
      case "$word" in
        -*) COMPREPLY=($(compgen -W "$flags" -- "$word")) ;;
        *) COMPREPLY=($(compgen -f -- "$word")) ;;
      esac ;;
  esac
}}
complete -o filenames -F _sglang sglang"""

_ZSH_PREFIX = "autoload -U +X bashcompinit && bashcompinit\n"


def completion_script(shell: str, commands: Iterable[str]) -> str:
    """The script for ``shell`` ("bash" or "zsh")."""
    choices = [
        f"    {'|'.join(option.flags)})\n"
        f'      COMPREPLY=($(compgen -W {_words(option.facts.choices)} -- "$word")) ;;'
        for option in OPTIONS
        if option.facts.choices
    ]
    flags = (flag for option in OPTIONS for flag in option.flags if option.facts.implemented)
    script = _BASH.format(
        commands=_words([*commands, "--help", "--version"]),
        choices="\n".join(choices),
        serve_flags=_words([*flags, "--config", "--help"]),
        chat_flags=_words(_CHAT_FLAGS),
        models_flags=_words([*MODELS_FLAGS, "--help"]),
        bench_tools=_words(BENCH_TOOLS),
    )
    return (_ZSH_PREFIX if shell == "zsh" else "") + script


def _words(words: Iterable[str]) -> str:
    return shlex.quote(" ".join(words))
