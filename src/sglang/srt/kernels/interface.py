"""The operations a device must offer. Everything above this file is device-independent.

Each operation has a torch reference (``reference.py``), which is the oracle of its tests and
the fallback everywhere. Shapes: T tokens, H hidden size, D head_dim, Hq query heads, Hk
key/value heads, S slots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

    from sglang.srt.kernels.attention_variant import AttentionVariant
    from sglang.srt.kernels.kv_cache import KVCache
    from sglang.srt.kernels.quantization import QuantizedWeight, WeightScheme
    from sglang.srt.kernels.routing import Routing
    from sglang.srt.model_executor.forward_batch import AttentionMeta
    from sglang.srt.sampling.sampling_batch import DrawTokens


@dataclass(frozen=True, slots=True)
class PackedLinear:
    """A weight matrix [N, K] in the layout of the kernels that packed it, readable by them alone.

    Without a scheme its elements keep the weight's dtype, which must be that of the activations;
    with one it is quantized, and activations may have any dtype.
    """

    data: torch.Tensor
    out_features: int
    in_features: int
    scheme: WeightScheme | None = None
    scales: torch.Tensor | None = None
    """Of a quantized matrix, where they are not part of ``data``."""
    zeros: torch.Tensor | None = None
    """The same of its zero points."""


@dataclass(frozen=True, slots=True)
class PackedExperts:
    """A weight matrix [N, K] of each expert of a mixture; otherwise as ``PackedLinear``."""

    data: torch.Tensor
    """[E, ...]."""
    out_features: int
    in_features: int
    scheme: WeightScheme | None = None
    scales: torch.Tensor | None = None
    """[E, ...]."""
    bias: torch.Tensor | None = None
    """[E, N]."""
    zeros: torch.Tensor | None = None
    """[E, ...]."""


Activation = Literal["silu", "gelu", "gelu_tanh", "clamped_swiglu"]


class Kernels(Protocol):
    """One implementation for one device. Chosen once at start-up by ``select_kernels``."""

    name: str
    draw_tokens: DrawTokens | None
    """How to draw tokens by the rules of ``sampling.sampler``, where there is a way of its own."""

    def allocate(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Uninitialised memory on the device, for what lives long and is read often."""
        ...

    def rms_norm(self, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        """x[T, H] / rms(x) * weight[H]; computed in float32, returned in x's dtype.

        Here and below the weights of a norm have x's dtype or float32.
        """
        ...

    def add_rms_norm(
        self,
        x: torch.Tensor,
        residual: torch.Tensor,
        weight: torch.Tensor,
        eps: float,
        scale: float = 1.0,
    ) -> torch.Tensor:
        """residual[T, H] += scale * x[T, H] in place; returns rms_norm(residual)."""
        ...

    def layer_norm(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, eps: float
    ) -> torch.Tensor:
        """(x[T, H] - mean) / standard deviation * weight[H] + bias[H], in float32 as rms_norm."""
        ...

    def add_layer_norm(
        self,
        x: torch.Tensor,
        residual: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        eps: float,
        scale: float = 1.0,
    ) -> torch.Tensor:
        """residual[T, H] += scale * x[T, H] in place; returns layer_norm(residual)."""
        ...

    def norm_groups(
        self, x: torch.Tensor, weight: torch.Tensor, eps: float, *, centered: bool
    ) -> None:
        """Norm each of G consecutive parts of every row of x[T, G * W] alone, in place.

        ``weight`` [G, W]. ``centered``: the layer norm, else the RMS norm. Rows may be strided.
        """
        ...

    def add_scaled(self, x: torch.Tensor, residual: torch.Tensor, scale: float = 1.0) -> None:
        """residual[T, H] += scale * x[T, H] in place."""
        ...

    def silu_and_mul(self, x: torch.Tensor) -> torch.Tensor:
        """silu(x[:, :I]) * x[:, I:] for x[T, 2I]; returns [T, I]."""
        ...

    def gelu_and_mul(self, x: torch.Tensor, *, exact: bool) -> torch.Tensor:
        """The same with gelu: ``exact`` by the error function, else in its tanh form."""
        ...

    def gelu(self, x: torch.Tensor, *, exact: bool) -> torch.Tensor:
        """gelu(x[T, I]), with ``exact`` as above."""
        ...

    def clamped_swiglu(self, x: torch.Tensor, limit: float) -> torch.Tensor:
        """a * sigmoid(1.702 a) * (b + 1) for a = x[:, :I], b = x[:, I:]; returns [T, I].

        ``a`` is bounded from above by ``limit``, ``b`` to -limit .. limit (gpt-oss, Phi-3-small).
        """
        ...

    def scale_rows(self, x: torch.Tensor, positions: torch.Tensor, table: torch.Tensor) -> None:
        """x[t] *= table[positions[t]] in place, for x[T, N], whose rows may be strided.

        ``positions`` [T] int32, ``table`` [P] float32.
        """
        ...

    def clamp(self, x: torch.Tensor, limit: float) -> None:
        """Bound x[T, N] to -limit .. limit in place. Rows may be strided; a NaN stays."""
        ...

    def gather_rows(self, table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Rows ``index`` [M] int64 or int32 of ``table`` [N, H], as a new tensor [M, H].

        Raises IndexError for an index outside of the table.
        """
        ...

    def best_tokens(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Maximum [R] of each row of ``logits`` [R, V] float32 and its lowest index [R] int64.

        The maximum of a row that holds a NaN is NaN. Where the maximum is not finite there is
        nothing to choose, and the index is -1.
        """
        ...

    def mask_tokens(self, logits: torch.Tensor, rows: torch.Tensor, bits: torch.Tensor) -> None:
        """Set what may not come to -inf, in rows ``rows`` [R] int64 of ``logits`` [B, V] float32.

        Column c of row ``rows[i]`` stays where bit ``c % 32`` of ``bits[i, c // 32]`` is set;
        ``bits`` is [R, ceil(V / 32)] int32.
        """
        ...

    def rope_and_write_kv(
        self,
        qkv: torch.Tensor,
        positions: torch.Tensor,
        cos_sin: torch.Tensor,
        cache: KVCache,
        out_slots: torch.Tensor,
        *,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
        q_norm: torch.Tensor | None,
        k_norm: torch.Tensor | None,
        norm_eps: float,
        interleaved: bool,
    ) -> None:
        """Per-head norm (if given) and rotary embedding of q and k, then store k and v.

        ``qkv`` [T, (Hq + 2 Hk) * D] is the fused projection; its q part is rotated in place.
        ``positions`` [T] int32 index ``cos_sin`` [P, R] float32, whose first R/2 columns are
        cosines and the others sines (R = rotary dim <= D; R = 0: no rotation). The rotated k
        and the plain v go to ``cache`` at ``out_slots`` [T] int32, in its own element type.
        ``q_norm``/``k_norm`` [D] are RMS-norm weights applied per head before the rotation,
        of qkv's dtype or float32.
        ``interleaved``: pairs are (0, 1), (2, 3) ... instead of (i, i + R/2).
        """
        ...

    def attention(
        self,
        q: torch.Tensor,
        cache: KVCache,
        meta: AttentionMeta,
        *,
        scale: float,
        window: int,
        softcap: float,
        variant: AttentionVariant = ...,
    ) -> torch.Tensor:
        """Causal attention of the ragged batch over the paged cache.

        ``q`` [T, Hq, D] may be a strided view into the fused projection (last two dimensions
        contiguous). ``window`` > 0: a query sees only the last ``window`` positions, itself
        included; 0: all. ``softcap`` > 0: scores become softcap * tanh(score / softcap).
        ``variant``: what else some families have; plain attention unless it is given.
        Over a ``latent_cache`` there is one key head for all queries, and values have Dv <= D
        dimensions. Returns [T, Hq * Dv] in q's dtype. The order of summation of a query depends
        on its position alone, never on what else is in the batch or how its prompt was chunked.
        """
        ...

    def rope_and_write_latent(
        self,
        q: torch.Tensor,
        latent: torch.Tensor,
        positions: torch.Tensor,
        cos_sin: torch.Tensor,
        cache: KVCache,
        out_slots: torch.Tensor,
        *,
        num_heads: int,
        norm: torch.Tensor,
        norm_eps: float,
        interleaved: bool,
    ) -> None:
        """For multi-head latent attention: rotate the queries, norm, rotate and store the rest.

        ``q`` [T, Hq * Dq]: the last R dimensions of each head are rotated in place. ``latent``
        [T, L + R]: RMS norm of the first L with ``norm`` [L], rotation of the others; stored in
        ``cache``, a ``latent_cache``. The rows of both may be strided. Rotation, ``cos_sin``
        [P, R] and the rest as in rope_and_write_kv.
        """
        ...

    def linear_heads(
        self, x: torch.Tensor, packed: PackedExperts, beside: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Head g of x[T, G, K] times the transpose of matrix g: [T, G * N] in x's dtype.

        ``packed`` holds the matrices as ``pack_experts`` does, not quantized and without biases.

        With ``beside`` [T, G, R] its head g stands behind each product: [T, G * (N + R)]. Tokens
        and heads of both may be strided. No row of the result depends on another token.
        """
        ...

    def quantize_weight(self, weight: torch.Tensor, scheme: WeightScheme) -> QuantizedWeight:
        """weight[N, K] as integers. Raises ValueError if K is too large for exact sums."""
        ...

    def pack_linear(self, weight: torch.Tensor | QuantizedWeight) -> PackedLinear:
        """A copy of weight[N, K] for ``linear``, or the weight itself where none is needed."""
        ...

    def linear(
        self,
        x: torch.Tensor,
        packed: PackedLinear,
        bias: torch.Tensor | None = None,
        *,
        out_dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        """x[T, K] times the weight's transpose plus bias[N], as [T, N] in x's dtype.

        The rows of ``x`` may be strided. ``out_dtype`` float32 keeps the sums as they are (logits).
        A row of the result does not depend on the other rows of ``x``.
        """
        ...

    def route(
        self, logits: torch.Tensor, correction: torch.Tensor | None, routing: Routing
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Experts [T, k] int32 and their weights [T, k] float32 for logits[T, E] float32.

        ``correction`` [E] float32 is added to the scores to choose by, not to the weights. Of
        equal scores the one with the lower number is better. Raises ValueError if ``routing``
        does not fit E.
        """
        ...

    def pack_experts(
        self,
        weights: Iterable[torch.Tensor | QuantizedWeight],
        count: int,
        bias: torch.Tensor | None = None,
    ) -> PackedExperts:
        """The matrices [N, K] of ``count`` experts for ``expert_mlp``, asked for one by one.

        ``bias`` [E, N]. Raises ValueError if there are not as many, or they are not alike.
        """
        ...

    def expert_mlp(
        self,
        x: torch.Tensor,
        experts: torch.Tensor,
        weights: torch.Tensor,
        up: PackedExperts,
        down: PackedExperts,
        *,
        kind: Activation,
        limit: float = 0.0,
        scale_input: bool = False,
    ) -> torch.Tensor:
        """The weighted sum of gated MLPs, those of the experts that each token goes to.

        ``experts`` and ``weights`` [T, k] as from ``route``. ``up`` gives the gate and what it is
        multiplied with (2 I outputs). The result[T, H] is the sum over j, in the order of j, of
        weights[t, j] * down(act(up(x[t]))) with the matrices of expert experts[t, j]; with
        ``scale_input`` the weight is multiplied with x[t] instead. ``limit`` is that of
        ``clamped_swiglu``. A row of the result does not depend on the other rows.
        """
        ...

    def add_gated(self, x: torch.Tensor, gate: torch.Tensor, residual: torch.Tensor) -> None:
        """residual[T, H] += sigmoid(gate[T, 1]) * x[T, H] in place; ``gate`` float32."""
        ...
