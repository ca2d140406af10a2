"""The routes for requests in a table: who may use each, what it takes, and what it answers.

The application and its OpenAPI document are both made of it, and of ``server_routes``.
"""

from __future__ import annotations

from sglang.srt.entrypoints import embedding, native, parsing, sessions, tokenization
from sglang.srt.entrypoints.anthropic import protocol as messages_protocol
from sglang.srt.entrypoints.anthropic.routes import count_tokens, create_message
from sglang.srt.entrypoints.openai import (
    batches,
    embeddings,
    files,
    protocol,
    responses,
    responses_protocol,
    scoring,
)
from sglang.srt.entrypoints.openai.chat import chat_completions
from sglang.srt.entrypoints.openai.completions import completions
from sglang.srt.entrypoints.openai.extra_fields import EXTRA_FIELDS
from sglang.srt.entrypoints.openapi import answers, openai_answers
from sglang.srt.entrypoints.openapi.spec import Body, Spec
from sglang.srt.entrypoints.route import Route
from sglang.srt.managers.io_struct import GenerateReqInput

_GET = ("GET",)
_POST = ("POST",)
_DELETE = ("DELETE",)
_POST_PUT = ("POST", "PUT")

_OPENAI, _RESPONSES, _STORED = "OpenAI", "Responses", "Files and batches"
_ANTHROPIC, _NATIVE = "Anthropic", "Native"

_CHAT = Spec(
    tag=_OPENAI,
    body=Body(protocol.ChatRequest, ignored=protocol.HARMLESS),
    answer=openai_answers.ChatCompletion,
    streams=True,
    errors=(404,),
)
_RESPONSE = Spec(
    tag=_RESPONSES,
    body=Body(
        responses_protocol.ResponsesRequest,
        ignored=responses_protocol.HARMLESS,
        extras=protocol.ChatRequest,
        extra_names=EXTRA_FIELDS,
    ),
    answer=openai_answers.ResponseObject,
    streams=True,
    errors=(404,),
)
_MESSAGE = Spec(
    tag=_ANTHROPIC,
    body=Body(
        messages_protocol.MessagesRequest,
        ignored=messages_protocol.HARMLESS,
        extras=protocol.ChatRequest,
        extra_names=EXTRA_FIELDS,
    ),
    answer=answers.AnthropicMessage,
    streams=True,
    errors=(404,),
)
_COUNT = Spec(
    tag=_ANTHROPIC,
    body=Body(
        messages_protocol.PromptRequest,
        ignored=messages_protocol.HARMLESS,
        extras=protocol.ChatRequest,
        extra_names=EXTRA_FIELDS,
    ),
    answer=answers.TokenCount,
    errors=(404,),
)
_TOKENIZE = Spec(
    tag=_NATIVE,
    body=Body(
        tokenization.TokenizeRequest,
        ignored=protocol.HARMLESS,
        extras=protocol.ChatRequest,
        extra_names=tokenization.CHAT_FIELDS,
    ),
    answer=answers.Tokens,
    errors=(404,),
)
_DETOKENIZE = Spec(
    tag=_NATIVE,
    body=Body(tokenization.DetokenizeRequest, ignored=protocol.HARMLESS),
    answer=answers.Text,
    errors=(404,),
)
_ENCODE = Spec(
    tag=_NATIVE, body=Body(embedding.EncodeBody), answer=answers.Embeddings, errors=(404,)
)
_FILE = Spec(tag=_STORED, answer=openai_answers.File, errors=(404,))
_BATCH = Spec(tag=_STORED, answer=openai_answers.BatchObject, errors=(404, 409))

ROUTES = (
    Route(
        "/generate",
        _POST_PUT,
        native.generate,
        Spec(tag=_NATIVE, body=Body(GenerateReqInput), answer=answers.Generation, streams=True),
    ),
    Route("/v1/chat/completions", _POST, chat_completions, _CHAT),
    Route(
        "/v1/completions",
        _POST,
        completions,
        Spec(
            tag=_OPENAI,
            body=Body(protocol.CompletionRequest, ignored=protocol.HARMLESS),
            answer=openai_answers.Completion,
            streams=True,
            errors=(404,),
        ),
    ),
    Route("/v1/responses", _POST, responses.create_response, _RESPONSE),
    Route(
        "/v1/responses/input_tokens",
        _POST,
        responses.count_input_tokens,
        Spec(
            tag=_RESPONSES,
            body=_RESPONSE.body,
            answer=openai_answers.InputTokens,
            errors=(404,),
        ),
    ),
    Route(
        "/v1/responses/{response_id}",
        _GET,
        responses.get_response,
        Spec(
            tag=_RESPONSES,
            query=responses.GET,
            answer=openai_answers.ResponseObject,
            errors=(404,),
        ),
    ),
    Route(
        "/v1/responses/{response_id}",
        _DELETE,
        responses.delete_response,
        Spec(tag=_RESPONSES, answer=openai_answers.Deleted, errors=(404,)),
    ),
    Route(
        "/v1/responses/{response_id}/cancel",
        _POST,
        responses.cancel_response,
        Spec(tag=_RESPONSES, answer=openai_answers.ResponseObject, errors=(404,)),
    ),
    Route(
        "/v1/responses/{response_id}/input_items",
        _GET,
        responses.list_input_items,
        Spec(
            tag=_RESPONSES,
            query=responses.LIST_ITEMS,
            answer=openai_answers.ItemList,
            errors=(404,),
        ),
    ),
    Route("/v1/messages", _POST, create_message, _MESSAGE),
    Route("/v1/messages/count_tokens", _POST, count_tokens, _COUNT),
    Route("/tokenize", _POST, tokenization.tokenize, _TOKENIZE),
    Route("/detokenize", _POST, tokenization.detokenize, _DETOKENIZE),
    Route("/v1/tokenize", _POST, tokenization.tokenize, _TOKENIZE),
    Route("/v1/detokenize", _POST, tokenization.detokenize, _DETOKENIZE),
    Route(
        "/v1/embeddings",
        _POST,
        embeddings.embeddings,
        Spec(
            tag=_OPENAI,
            body=Body(embeddings.EmbeddingRequest, ignored=protocol.HARMLESS),
            answer=openai_answers.EmbeddingList,
            errors=(404,),
        ),
    ),
    Route(
        "/v1/rerank",
        _POST,
        scoring.rerank,
        Spec(
            tag=_OPENAI,
            body=Body(scoring.RerankRequest, ignored=protocol.HARMLESS),
            answer=openai_answers.Ranking,
            errors=(404,),
        ),
    ),
    Route(
        "/v1/score",
        _POST,
        scoring.score,
        Spec(
            tag=_OPENAI,
            body=Body(scoring.ScoreRequest, ignored=protocol.HARMLESS),
            answer=openai_answers.ScoreList,
            errors=(404,),
        ),
    ),
    Route("/encode", _POST_PUT, embedding.encode, _ENCODE),
    Route("/classify", _POST_PUT, embedding.classify, _ENCODE),
    Route(
        "/v1/files",
        _GET,
        files.list_files,
        Spec(tag=_STORED, query=files.LIST, answer=openai_answers.FileList),
    ),
    Route(
        "/v1/files",
        _POST,
        files.upload_file,
        Spec(tag=_STORED, body=files.UPLOAD, answer=openai_answers.File, errors=(507,)),
    ),
    Route("/v1/files/{file_id}", _GET, files.get_file, _FILE),
    Route(
        "/v1/files/{file_id}",
        _DELETE,
        files.delete_file,
        Spec(tag=_STORED, answer=openai_answers.Deleted, errors=(404, 409)),
    ),
    Route(
        "/v1/files/{file_id}/content",
        _GET,
        files.file_content,
        Spec(tag=_STORED, answer=bytes, media_type="application/octet-stream", errors=(404,)),
    ),
    Route(
        "/v1/batches",
        _GET,
        batches.list_batches,
        Spec(tag=_STORED, query=batches.LIST, answer=openai_answers.BatchList),
    ),
    Route(
        "/v1/batches",
        _POST,
        batches.create_batch,
        Spec(
            tag=_STORED,
            body=Body(batches.BatchRequest),
            answer=openai_answers.BatchObject,
            errors=(404,),
        ),
    ),
    Route("/v1/batches/{batch_id}", _GET, batches.get_batch, _BATCH),
    Route("/v1/batches/{batch_id}/cancel", _POST, batches.cancel_batch, _BATCH),
    Route(
        "/open_session",
        _POST,
        sessions.open_session,
        Spec(tag=_NATIVE, body=Body(sessions.OpenSessionBody), answer=str),
    ),
    Route(
        "/close_session",
        _POST,
        sessions.close_session,
        Spec(tag=_NATIVE, body=Body(sessions.CloseSessionBody)),
    ),
    Route(
        "/function_call",
        _POST,
        parsing.function_call,
        Spec(tag=_NATIVE, body=Body(parsing.FunctionCallBody), answer=answers.ParsedCalls),
    ),
    Route(
        "/separate_reasoning",
        _POST,
        parsing.separate_reasoning,
        Spec(tag=_NATIVE, body=Body(parsing.SeparateReasoningBody), answer=answers.ParsedReasoning),
    ),
)
"""Requests proper; a server that is about to end refuses them."""
