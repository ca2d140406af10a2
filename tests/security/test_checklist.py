"""Which tests hold the server to which promise. A promise without a test fails here."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

PROMISES: dict[str, list[str]] = {
    "nothing that comes in is unpickled or evaluated": [
        "security/test_source_gate.py::test_a_source_file_runs_no_foreign_code",
        "entrypoints/test_hostile_clients.py::test_a_pickle_is_data_on_every_route",
        "model_loader/test_weight_reader.py::test_pickled_code_is_not_run",
    ],
    "the engine can be reached by its own server only, the server by its own machine only": [
        "e2e/test_security.py::test_the_engine_listens_nowhere",
        "entrypoints/test_hostile_clients.py::"
        "test_a_server_listens_on_this_machine_only_unless_told_otherwise",
        "entrypoints/test_server_limits.py::test_an_open_server_is_warned_about",
    ],
    "every route needs a key unless it is listed as public": [
        "entrypoints/test_access.py::test_every_route_wants_a_key_unless_it_is_listed_as_public",
        "entrypoints/test_hostile_clients.py::test_no_route_is_left_out_of_the_rule",
    ],
    "keys are compared in constant time and shown nowhere": [
        "entrypoints/test_hostile_clients.py::test_keys_are_compared_in_constant_time",
        "entrypoints/test_hostile_clients.py::test_keys_are_in_no_log_and_no_answer",
        "entrypoints/test_access.py::test_the_admin_key_is_a_secret",
        "entrypoints/test_access.py::test_a_refusal_says_what_would_help_and_tells_no_key",
    ],
    "every number is bounded": [
        "entrypoints/test_bad_input.py::test_native_fields",
        "entrypoints/test_bad_input.py::test_completion_fields",
        "entrypoints/test_bad_input.py::test_bodies_are_bounded",
        "entrypoints/test_hostile_clients.py::test_numbers_that_are_none_are_refused",
        "entrypoints/test_hostile_clients.py::test_a_body_of_100_mb_is_refused_before_it_comes",
        "entrypoints/test_hostile_clients.py::test_a_compressed_body_is_not_unpacked",
        "entrypoints/test_hostile_clients.py::test_a_thousand_stop_strings_are_too_many",
        "entrypoints/test_server_limits.py::test_a_head_without_end_closes_the_connection",
    ],
    "grammars are compiled elsewhere, within limits of time and memory": [
        "constrained/test_grammar_store.py::test_compiling_ends_when_its_time_is_up",
        "constrained/test_grammar_store.py::test_compiling_ends_when_its_memory_is_used_up",
        "constrained/test_grammar_store.py::test_grammars_used_long_ago_are_forgotten",
    ],
    "chat templates run in a sandbox with limits, and requests bring none": [
        "tokenizer/test_template_sandbox.py::test_nothing_leads_out",
        "tokenizer/test_template_sandbox.py::test_bombs_end_with_an_error",
    ],
    "slow work is not done on the event loop": [
        "entrypoints/test_server_limits.py::test_slow_tokenization_does_not_delay_others",
        "entrypoints/test_server_limits.py::test_a_slow_chat_template_does_not_delay_others",
        "e2e/test_server_faults.py::test_health_answers_while_a_long_prompt_is_computed",
        "e2e/test_security.py::test_health_answers_while_a_pathological_schema_is_compiled",
    ],
    "model files are hostile": [
        "model_loader/test_weight_reader.py::test_damaged_safetensors_are_refused",
        "model_loader/test_weight_reader.py::test_sizes_are_checked_before_memory_is_taken",
        "model_loader/test_weight_reader.py::test_index_may_name_plain_files_of_the_folder_only",
    ],
    "cached prefixes can be kept apart": [
        "e2e/test_security.py::test_prefixes_are_shared_within_a_salt_only",
    ],
    "no request can kill the engine": [
        "entrypoints/test_nested_fuzz.py::test_a_wrong_value_anywhere_is_no_defect",
        "entrypoints/test_server_limits.py::test_any_value_of_any_field_gets_an_answer",
        "entrypoints/test_disconnect_and_death.py::"
        "test_a_defect_while_decoding_ends_that_request_alone",
        "e2e/test_security.py::test_bad_input_of_every_kind_leaves_the_engine_as_it_was",
        "batches/test_engine_deaths.py::test_a_deadly_line_fails_and_all_others_are_answered",
    ],
    "dangerous routes need the admin key, or without any keys this machine": [
        "entrypoints/test_access.py::test_which_key_opens_what",
        "entrypoints/test_access.py::"
        "test_without_keys_dangerous_routes_answer_to_this_machine_only",
        "entrypoints/test_custom_processor_access.py::test_it_takes_the_admin_key",
    ],
    "web pages cannot use a server that their visitors run": [
        "entrypoints/test_access.py::test_pages_from_elsewhere_are_refused",
        "entrypoints/test_access.py::test_a_local_server_does_not_answer_to_other_names",
        "entrypoints/test_hostile_clients.py::test_no_route_has_cors_headers_by_default",
    ],
    "there are limits on requests, on waiting ones and on slow connections": [
        "entrypoints/test_queue_and_timeouts.py::"
        "test_a_full_queue_refuses_with_429_until_there_is_room",
        "entrypoints/test_server_limits.py::"
        "test_too_many_sequences_are_refused_until_there_is_room",
        "entrypoints/test_server_limits.py::test_a_head_that_does_not_come_closes_the_connection",
        "entrypoints/test_server_limits.py::test_a_body_that_does_not_come_is_an_error",
        "entrypoints/test_hostile_clients.py::test_drips_of_many_clients_hold_up_nobody",
        "entrypoints/test_hostile_clients.py::"
        "test_a_client_that_closes_its_half_still_gets_no_ghost",
    ],
    "files stay where they belong and do not fill the disk": [
        "entrypoints/test_files_api.py::test_names_are_labels",
        "entrypoints/test_files_api.py::test_only_files_of_the_api_can_be_read",
        "batches/test_engine_deaths.py::test_uploads_end_at_the_quota",
    ],
}


@cache
def functions_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_has_its_tests(promise: str) -> None:
    for test in PROMISES[promise]:
        path, _, name = test.partition("::")
        assert name in functions_of(TESTS / path), test
