"""Options from a command line and a configuration file, and the page of the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from sglang.srt.server_args import OPTIONS, ServerArgs, documentation

ROOT = Path(__file__).resolve().parents[2]


def refusal(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as leaving:
        ServerArgs.from_cli(argv)
    assert leaving.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--model-path", "--model", "-m", "--model_path"])
def test_spellings_of_the_model(flag: str) -> None:
    assert ServerArgs.from_cli([flag, "org/model"]).model_path == "org/model"


@pytest.mark.parametrize("flag", ["--context-length", "--max-model-len", "--context_length"])
def test_spellings_of_the_context_length(flag: str) -> None:
    assert ServerArgs.from_cli([flag, "512"]).context_length == 512


@pytest.mark.parametrize("flag", ["--tp", "--tp-size", "--tensor-parallel-size"])
def test_spellings_of_tensor_parallelism(flag: str) -> None:
    assert ServerArgs.from_cli([flag, "1"]).tp_size == 1


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        ("--nccl-init-addr", "dist-init-addr"),
        ("--speculative-algo", "speculative-algorithm"),
        ("--speculative-draft", "speculative-draft-model-path"),
    ],
)
def test_documented_spellings_are_understood(
    flag: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refusal([flag, "EAGLE"], capsys)
    assert f"--{name}: not implemented yet" in message


@pytest.mark.parametrize("flag", ["--file-storage-pth", "--file-storage-path"])
def test_spellings_of_the_storage_folder(flag: str) -> None:
    assert ServerArgs.from_cli([flag, "/srv/files"]).file_storage_pth == "/srv/files"


@pytest.mark.parametrize("argv", [["--mem-fraction", "0.6"], ["--mem-frac=0.6"]])
def test_unambiguous_prefixes(argv: list[str]) -> None:
    assert ServerArgs.from_cli(argv).mem_fraction_static == 0.6


def test_ambiguous_prefix_lists_what_it_could_be(capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(["--max", "3"], capsys)
    assert "--max is ambiguous" in message
    assert "--max-running-requests" in message


def test_unknown_argument_names_the_closest(capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(["--max-runing-requests", "3"], capsys)
    assert "did you mean --max-running-requests?" in message


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["--port", "x"], ("--port", "'x'", "whole number")),
        (["--port", "70000"], ("--port", "70000", "65535")),
        (["--dtype", "int3"], ("--dtype", "'int3'", "bfloat16")),
        (["--tp", "2"], ("--tp-size", "not implemented yet", "2")),
    ],
)
def test_bad_values_name_the_flag(
    argv: list[str], parts: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    message = refusal(argv, capsys)
    assert all(part in message for part in parts), message


def test_negative_values_are_no_flags() -> None:
    assert ServerArgs.from_cli(["--chunked-prefill-size", "-1"]).chunked_prefill_size == -1


def test_help_shows_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        ServerArgs.from_cli(["--help"])
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    assert [option.flag for option in OPTIONS if option.flag not in text] == []


def test_config_file(tmp_path: Path) -> None:
    path = tmp_path / "server.yaml"
    path.write_text(
        "model: org/model\nmax-model-len: 512\nmax_running_requests: 4\napi-key: null\n"
    )
    args = ServerArgs.from_cli(["--config", str(path)])
    assert (args.model_path, args.context_length) == ("org/model", 512)
    assert args.max_running_requests == 4


def test_command_line_overrides_the_config_file(tmp_path: Path) -> None:
    path = tmp_path / "server.yaml"
    path.write_text("port: 1234\ndisable-radix-cache: true\nlog-requests: true\n")
    args = ServerArgs.from_cli(
        ["--port", "5678", "--no-disable-radix-cache", "--config", str(path)]
    )
    assert (args.port, args.disable_radix_cache, args.log_requests) == (5678, False, True)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("prot: 1", ("'prot'", "did you mean port?")),
        ("model: a\nmodel-path: b", ("model_path", "twice")),
        ("[1, 2]", ("mapping",)),
        ("a: [", ("not valid YAML",)),
        ("port: many", ("--port", "'many'")),
        ("!!python/object/apply:os.system ['true']", ("not valid YAML",)),
    ],
)
def test_bad_config_files(
    text: str, parts: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "server.yaml"
    path.write_text(text)
    message = refusal(["--config", str(path)], capsys)
    assert all(part in message for part in parts), message


def test_missing_config_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert "/no/such/file.yaml" in refusal(["--config", "/no/such/file.yaml"], capsys)


def test_documentation_is_current() -> None:
    page = (ROOT / "docs" / "server-arguments.md").read_text(encoding="utf-8")
    assert page == documentation.render()
