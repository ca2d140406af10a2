"""Server options from a command line and from a configuration file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NoReturn

from sglang.srt.server_args.args import OPTIONS, ServerArgs
from sglang.srt.server_args.option import Option, ServerArgsError, did_you_mean

_EPILOG = (
    "Flags may be shortened while they stay unambiguous, and every switch has a --no- form "
    "that overrides a configuration file."
)
_BY_KEY = {key: option for option in OPTIONS for key in option.keys}


class ServerArgumentParser(argparse.ArgumentParser):
    """Knows every server option; takes underscores for dashes and unambiguous prefixes.

    Values end up in the namespace only if they were given, so that a configuration file can
    provide the others.
    """

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=_EPILOG,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
            formatter_class=_Formatter,
        )
        self.add_argument(
            "--config",
            metavar="FILE",
            help="YAML file of options; the command line overrides it",
        )
        for title, options in groupby(OPTIONS, key=lambda option: option.facts.section):
            group = self.add_argument_group(title)
            for option in options:
                _add(group, option)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Like argparse, after every flag has been given its full spelling."""
        tokens = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args([self._spell_out(token) for token in tokens], namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        known, extra = self.parse_known_args(args, namespace)
        if extra:
            hint = did_you_mean(extra[0], self.long_flags())
            self.error(f"unknown argument {extra[0]}{hint}")
        return known

    def long_flags(self) -> list[str]:
        return [flag for flag in self._option_string_actions if flag.startswith("--")]

    def _spell_out(self, token: str) -> str:
        name, equals, value = token.partition("=")
        name = name.replace("_", "-")
        known = self._option_string_actions
        if not name.startswith("--") or name == "--":
            return token
        if name not in known:
            matches = [flag for flag in known if flag.startswith(name)]
            if len({id(known[flag]) for flag in matches}) > 1:
                self.error(f"{name} is ambiguous: it could be {', '.join(matches)}")
            name = matches[0] if matches else name
        return name + equals + value


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34)

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: Any = None) -> None:
        """One line instead of a screenful of flags."""
        super().add_usage(f"{self._prog} [options]", actions, groups, prefix)


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    # Every flag may be written with a prefix; list the aliases first only where they are short.
    common: dict[str, Any] = {"dest": option.name, "help": _help(option)}
    if option.type is bool:
        group.add_argument(*option.flags, action="store_true", **common)
        common["help"] = argparse.SUPPRESS
        group.add_argument("--no-" + option.flag[2:], action="store_false", **common)
        return
    metavar = "|".join(option.facts.choices) or option.name.rpartition("_")[2].upper()
    nargs = "+" if option.is_list else None
    group.add_argument(*option.flags, type=_Reader(option), metavar=metavar, nargs=nargs, **common)


class _Reader:
    """Turns an argument's text into the option's value, with argparse's kind of error."""

    def __init__(self, option: Option) -> None:
        self.option = option

    def __call__(self, text: str) -> Any:
        try:
            return self.option.parse(text)
        except ServerArgsError as error:
            raise argparse.ArgumentTypeError(error.problem) from None


def _help(option: Option) -> str:
    notes = []
    if default := default_text(option):
        notes.append(f"default: {default}")
    if option.facts.env:
        notes.append(f"environment: {option.facts.env}")
    if not option.facts.implemented:
        notes.append("not implemented yet")
    text = option.facts.help + (f" ({'; '.join(notes)})" if notes else "")
    return text.replace("%", "%%")


def default_text(option: Option) -> str:
    """The default as people read it; empty where there is none to speak of."""
    if option.facts.default_text:
        return option.facts.default_text
    if option.default is None or option.default is False or option.default == "":
        return ""
    return str(option.default)


def parse_command_line(argv: Sequence[str], prog: str) -> ServerArgs:
    """See :meth:`ServerArgs.from_cli`."""
    parser = ServerArgumentParser(prog, "Serve a model over HTTP.")
    return server_args_from(parser, vars(parser.parse_args(argv)))


def server_args_from(parser: ServerArgumentParser, given: dict[str, Any]) -> ServerArgs:
    """The options that ``parser`` has found, over those of the file that ``config`` names.

    Tools with options of their own add them to a parser and take them out of ``given`` first.
    Exits like argparse if a value cannot be taken.
    """
    config = given.pop("config", None)
    try:
        defaults = read_config(Path(config)) if config is not None else {}
        return ServerArgs(**{**defaults, **given})
    except ServerArgsError as error:
        _fail(parser, error)


def _fail(parser: argparse.ArgumentParser, error: ServerArgsError) -> NoReturn:
    name = _BY_KEY[error.option].flag if error.option in _BY_KEY else error.option
    parser.error(f"{name}: {error.problem}")


def read_config(path: Path) -> dict[str, Any]:
    """Options in a YAML file, by their names; keys may be any long flag without its dashes.

    Raises :class:`ServerArgsError` for a file that cannot be read and for unknown or repeated
    keys. A key without a value keeps the option's default.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ServerArgsError("--config", f"cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ServerArgsError("--config", f"{path} is not valid YAML: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ServerArgsError("--config", f"{path} must hold a mapping of options")
    return _named(content.items(), path)


def _named(items: Iterable[tuple[Any, Any]], path: Path) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for key, value in items:
        option = _BY_KEY.get(str(key).replace("-", "_"))
        if option is None:
            hint = did_you_mean(str(key).replace("-", "_"), _BY_KEY)
            raise ServerArgsError("--config", f"{path}: there is no option {key!r}{hint}")
        if option.name in options:
            raise ServerArgsError("--config", f"{path}: {option.name} is given twice")
        if value is not None:
            options[option.name] = value
    return options
