"""A recording replays the same operations on other inputs, at other sizes."""

from __future__ import annotations

import pytest
import torch

from sglang.srt.kernels.cpu.kernels import CpuKernels
from sglang.srt.kernels.cpu.recording import Counts, NotRecordable
from sglang.srt.kernels.reference import ReferenceKernels

HIDDEN, INNER, VOCABULARY = 48, 80, 31
LARGEST = Counts(tokens=12, logits_rows=11, sequences=4)


@pytest.fixture(scope="module")
def kernels() -> CpuKernels:
    return CpuKernels()


class Model:
    """Embedding, a gated layer with residual, a choice of rows, a final norm."""

    def __init__(self, kernels: CpuKernels, dtype: torch.dtype) -> None:
        generator = torch.Generator().manual_seed(0)

        def random(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator).to(dtype)

        self.kernels = kernels
        self.table = random(VOCABULARY, HIDDEN)
        self.norm = random(HIDDEN)
        self.up = kernels.pack_linear(random(2 * INNER, HIDDEN))
        self.down = kernels.pack_linear(random(HIDDEN, INNER))

    def forward(self, ids: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        kernels = self.kernels
        residual = kernels.gather_rows(self.table, ids)
        x = kernels.rms_norm(residual, self.norm, 1e-5)
        for _ in range(3):
            x = kernels.linear(kernels.silu_and_mul(kernels.linear(x, self.up)), self.down)
            x = kernels.add_rms_norm(x, residual, self.norm, 1e-5)
        return kernels.gather_rows(x, rows)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_replay_equals_a_run_at_every_size(kernels, dtype, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        model = Model(kernels, dtype)
        ids, rows = torch.zeros(12, dtype=torch.int64), torch.zeros(11, dtype=torch.int64)
        recording = kernels.record(lambda: model.forward(ids, rows), LARGEST)
        for tokens, wanted in [(12, 11), (1, 1), (5, 2), (7, 0), (2, 2)]:
            new_ids = torch.randint(0, VOCABULARY, (tokens,))
            new_rows = torch.randint(0, tokens, (wanted,))
            ids[:tokens], rows[:wanted] = new_ids, new_rows
            result = recording.run(Counts(tokens, wanted, 1))
            assert torch.equal(result, model.forward(new_ids, new_rows))
    finally:
        torch.set_num_threads(before)


def test_recording_does_nothing_yet(kernels):
    model = Model(kernels, torch.float32)
    ids = torch.full((12,), 10**6)  # out of range: an error if it were looked up
    kernels.record(lambda: model.forward(ids, torch.zeros(11, dtype=torch.int64)), LARGEST)


def test_counts_that_cannot_be_told_apart_are_refused(kernels):
    with pytest.raises(ValueError, match="must differ"):
        kernels.record(lambda: torch.empty(0), Counts(4, 4, 2))


def test_what_has_no_path_in_c_cannot_be_recorded(kernels):
    x = torch.zeros(12, 8, dtype=torch.float64)
    with pytest.raises(NotRecordable):
        kernels.record(lambda: kernels.rms_norm(x, x[0], 1e-5), LARGEST)


def test_after_a_failed_recording_operations_run_again(kernels):
    x = torch.ones(12, 8, dtype=torch.float64)
    with pytest.raises(NotRecordable):
        kernels.record(lambda: kernels.rms_norm(x, x[0], 1e-5), LARGEST)
    expected = ReferenceKernels().rms_norm(x, x[0], 1e-5)
    assert torch.equal(kernels.rms_norm(x, x[0], 1e-5), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gather_rows_takes_rows_of_a_strided_table(kernels, dtype):
    table = torch.randn(9, 20).to(dtype)[:, :13]
    index = torch.tensor([8, 0, 3, 3])
    assert torch.equal(kernels.gather_rows(table, index), table[index])


@pytest.mark.parametrize("index", [-1, 9])
def test_gather_rows_refuses_an_index_outside_of_the_table(kernels, index):
    with pytest.raises(IndexError, match="9 rows"):
        kernels.gather_rows(torch.zeros(9, 4), torch.tensor([0, index]))


def test_a_replay_with_an_index_outside_of_the_table_says_so(kernels):
    model = Model(kernels, torch.float32)
    ids, rows = torch.zeros(12, dtype=torch.int64), torch.zeros(11, dtype=torch.int64)
    recording = kernels.record(lambda: model.forward(ids, rows), LARGEST)
    ids[0] = VOCABULARY
    with pytest.raises(RuntimeError, match="operation 1 of a step of 1 tokens"):
        recording.run(Counts(1, 1, 2))
