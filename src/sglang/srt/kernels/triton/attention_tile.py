"""Attention of one tile of queries over the paged cache, after FlashAttention (arXiv:2307.08691).

A tile is some tokens of one sequence in all query heads that share a key/value head: its rows are
(token, head) pairs, so that what is read of the cache serves them all. Scores are kept in units of
log2, which is what the hardware exponentiates in.

Of latent rows (see ``kv_cache.latent_cache``) the first ``value_dim`` numbers are read once, as
keys and as values; the ``rest_dim`` others only add to the scores.
"""

from __future__ import annotations

import triton
import triton.language as tl

from sglang.srt.kernels.triton.launch import product


@triton.jit
def sequence_of_tile(
    tile: tl.tensor, q_indptr: tl.tensor, batch: int, tokens: tl.constexpr
) -> tuple[tl.tensor, tl.tensor]:
    """The sequence that tile number ``tile`` belongs to, and the tile's number in it.

    Sequence b begins at tile ``q_indptr[b] // tokens + b``, which leaves room for all of its
    tokens; where that is more than it needs, tiles stay empty.
    """
    low, high = tile * 0, tile * 0 + batch
    while high - low > 1:
        middle = (low + high) // 2
        here = tl.load(q_indptr + middle) // tokens + middle <= tile
        low, high = tl.where(here, middle, low), tl.where(here, high, middle)
    return low, tile - (tl.load(q_indptr + low) // tokens + low)


@triton.jit
def first_visible(
    position: tl.tensor,
    window: int,
    chunk: int,
    windowed: tl.constexpr,
    chunked: tl.constexpr,
) -> tl.tensor:
    """The first key that a query at ``position`` sees."""
    first = position * 0
    if windowed:
        first = tl.maximum(position - window + 1, first)
    if chunked:
        first = tl.maximum(position - position % chunk, first)
    return first


@triton.jit
def part_of_range(
    first: tl.tensor,
    end: tl.tensor,
    part: tl.tensor,
    parts: tl.constexpr,
    least: tl.constexpr,
    block_n: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:
    """Begin and end of part number ``part`` of the keys [first, end), cut at whole blocks.

    Depends on this range alone, whatever else is in the batch. Late parts may be empty.
    """
    begin = first // block_n * block_n
    size = tl.maximum(tl.cdiv(end - begin, parts), least)
    size = tl.cdiv(size, block_n) * block_n
    begin += part * size
    return begin, tl.minimum(begin + size, end)


@triton.jit
def _add_keys(
    q_tile: tl.tensor,
    q_rest: tl.tensor,
    total: tl.tensor,
    weight_sum: tl.tensor,
    peak: tl.tensor,
    begin: tl.tensor,
    end: tl.tensor,
    position: tl.tensor,
    first_seen: tl.tensor,
    slots: tl.tensor,
    k: tl.tensor,
    v: tl.tensor,
    k_scale: tl.tensor,
    v_scale: tl.tensor,
    kv_stride: tl.constexpr,
    scale_stride: tl.constexpr,
    scale: float,
    softcap: float,
    visible: tl.tensor,
    slope: tl.tensor,
    masked: tl.constexpr,
    limited: tl.constexpr,
    sloped: tl.constexpr,
    capped: tl.constexpr,
    scaled: tl.constexpr,
    value_dim: tl.constexpr,
    rest_dim: tl.constexpr,
    block_n: tl.constexpr,
    block_d: tl.constexpr,
    block_r: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """Go on over the keys [begin, end); not ``masked``: all rows see all of them.

    ``limited``: a row sees none before its ``visible``. ``sloped``: see ``AttentionVariant``.
    """
    dim = tl.arange(0, block_d)
    for start in range(begin, end, block_n):
        index = start + tl.arange(0, block_n)
        key_mask, value_mask = (dim < value_dim)[:, None], (dim < value_dim)[None, :]
        if masked:
            present = (index >= first_seen) & (index < end)
            slot = tl.load(slots + index, mask=present, other=0).to(tl.int64)
            key_mask, value_mask = key_mask & present[None, :], value_mask & present[:, None]
        else:
            slot = tl.load(slots + index).to(tl.int64)
        key = tl.load(k + slot[None, :] * kv_stride + dim[:, None], mask=key_mask, other=0.0)
        zeros = tl.zeros([q_tile.shape[0], block_n], dtype=tl.float32)
        if scaled:  # by way of float32, because the interpreter knows no other
            key = key.to(tl.float32)
        key = key.to(q_tile.dtype)
        scores = product(q_tile, key, zeros)
        if rest_dim > 0:
            beyond = tl.arange(0, block_r)
            rest_mask = (beyond < rest_dim)[:, None]
            if masked:
                rest_mask = rest_mask & present[None, :]
            place = k + slot[None, :] * kv_stride + (value_dim + beyond)[:, None]
            rest = tl.load(place, mask=rest_mask, other=0.0)
            if scaled:
                rest = rest.to(tl.float32)
            scores = product(q_rest, rest.to(q_tile.dtype), scores)
        if scaled:
            found = slot * scale_stride
            if masked:
                scores *= tl.load(k_scale + found, mask=present, other=0.0)[None, :]
            else:
                scores *= tl.load(k_scale + found)[None, :]
        if capped:  # softcap * tanh(score / softcap), where tanh(x) = 2 sigmoid(2 x) - 1
            bounded = 2.0 * tl.sigmoid(scores * (2.0 * scale / softcap)) - 1.0
            scores = bounded * (softcap * 1.4426950408889634)
        else:
            scores *= scale * 1.4426950408889634
        if sloped:
            scores += slope[:, None] * (index[None, :] - position[:, None]).to(tl.float32)
        if masked:
            seen = (index[None, :] <= position[:, None]) & present[None, :]
            if limited:
                seen &= index[None, :] >= visible[:, None]
            scores = tl.where(seen, scores, -float("inf"))
        above = tl.maximum(peak, tl.max(scores, axis=1))
        # A row that has seen nothing yet: any finite number does.
        base = tl.where(above == -float("inf"), 0.0, above)
        weights = tl.exp2(scores - base[:, None])
        kept = tl.exp2(peak - base)
        weight_sum = weight_sum * kept + tl.sum(weights, axis=1)
        if scaled:
            if masked:
                weights *= tl.load(v_scale + found, mask=present, other=0.0)[None, :]
            else:
                weights *= tl.load(v_scale + found)[None, :]
        if rest_dim > 0:
            value = tl.trans(key)
        else:
            place = v + slot[:, None] * kv_stride + dim[None, :]
            value = tl.load(place, mask=value_mask, other=0.0)
            if scaled:
                value = value.to(tl.float32)
            value = value.to(q_tile.dtype)
        total = product(weights.to(value.dtype), value, total * kept[:, None])
        peak = above
    return total, weight_sum, peak


@triton.jit(do_not_specialize=["batch"])
def attend_tile(
    q: tl.tensor,
    k: tl.tensor,
    v: tl.tensor,
    k_scale: tl.tensor,
    v_scale: tl.tensor,
    out: tl.tensor,
    log_sums: tl.tensor,
    slopes: tl.tensor,
    sinks: tl.tensor,
    q_indptr: tl.tensor,
    kv_slots: tl.tensor,
    kv_start: tl.tensor,
    kv_len: tl.tensor,
    batch: int,
    q_stride: int,
    scale: float,
    softcap: float,
    window: int,
    chunk: int,
    num_kv_heads: tl.constexpr,
    group: tl.constexpr,
    heads: tl.constexpr,
    value_dim: tl.constexpr,
    rest_dim: tl.constexpr,
    tokens: tl.constexpr,
    one_tile: tl.constexpr,
    shortest: tl.constexpr,
    parts: tl.constexpr,
    least: tl.constexpr,
    windowed: tl.constexpr,
    chunked: tl.constexpr,
    sloped: tl.constexpr,
    sunk: tl.constexpr,
    capped: tl.constexpr,
    scaled: tl.constexpr,
    block_m: tl.constexpr,
    block_n: tl.constexpr,
    block_d: tl.constexpr,
    block_r: tl.constexpr,
) -> None:
    """Grid: tiles, key/value heads times tiles for the query heads of one, parts of the keys.

    A tile has ``tokens`` query tokens in ``heads`` of the ``group`` query heads that share a
    key/value head. ``rest_dim`` > 0: the rows are latent. ``one_tile``: tile b is sequence b, if
    that has so many tokens at most; otherwise sequences of fewer than ``shortest`` tokens are left
    out. With more than one part, ``out`` is [B, Hq, parts, D] and ``log_sums`` [B, Hq, parts] gets
    log2 of the sums of weights; such tiles are of one token.
    """
    tile, part = tl.program_id(0), tl.program_id(2)
    head_tiles: tl.constexpr = (group + heads - 1) // heads
    kv_head, head_tile = tl.program_id(1) // head_tiles, tl.program_id(1) % head_tiles
    if one_tile:
        sequence, tile = tile, tile * 0
    else:
        sequence, tile = sequence_of_tile(tile, q_indptr, batch, tokens)
    first_query = tl.load(q_indptr + sequence)
    count = tl.load(q_indptr + sequence + 1) - first_query
    if one_tile:
        if (count == 0) | (count > tokens):
            return
    elif (count < shortest) | (tile * tokens >= count):
        return
    length = tl.load(kv_len + sequence)
    row = tl.arange(0, block_m)
    token, sharer = tile * tokens + row // heads, head_tile * heads + row % heads
    head = kv_head * group + sharer
    valid = (row < tokens * heads) & (token < count) & (sharer < group)
    position = length - count + token
    lowest = length - count + tile * tokens
    end = tl.minimum(lowest + tokens, length)
    first_seen = first_visible(lowest, window, chunk, windowed, chunked)
    begin, end = part_of_range(first_seen, end, part, parts, least, block_n)
    if begin >= end:
        return
    dim = tl.arange(0, block_d)
    inside = valid[:, None] & (dim < value_dim)[None, :]
    query = (first_query + token).to(tl.int64)
    width: tl.constexpr = value_dim + rest_dim
    source = q + query[:, None] * q_stride + head[:, None] * width
    q_tile = tl.load(source + dim[None, :], mask=inside, other=0.0)
    q_rest = q_tile
    if rest_dim > 0:
        beyond = tl.arange(0, block_r)
        there = valid[:, None] & (beyond < rest_dim)[None, :]
        q_rest = tl.load(source + value_dim + beyond[None, :], mask=there, other=0.0)
    total = tl.zeros([block_m, block_d], dtype=tl.float32)
    weight_sum = tl.zeros([block_m], dtype=tl.float32)
    peak = tl.full([block_m], -float("inf"), dtype=tl.float32)
    slots = kv_slots + tl.load(kv_start + sequence)
    kv_stride: tl.constexpr = num_kv_heads * width
    k += kv_head * width
    v += kv_head * width
    k_scale += kv_head
    v_scale += kv_head
    visible = first_visible(position, window, chunk, windowed, chunked)
    slope = tl.zeros([block_m], dtype=tl.float32)
    if sloped:
        slope = tl.load(slopes + head, mask=valid, other=0.0) * 1.4426950408889634
    limited: tl.constexpr = windowed or chunked
    if not limited:
        # Up to here all rows see everything.
        common = tl.minimum((lowest + 1) // block_n * block_n, end // block_n * block_n)
        common = tl.maximum(common, begin)
        total, weight_sum, peak = _add_keys(
            q_tile, q_rest, total, weight_sum, peak, begin, common, position, first_seen, slots,
            k, v, k_scale, v_scale, kv_stride, num_kv_heads, scale, softcap, visible, slope,
            False, False, sloped, capped, scaled, value_dim, rest_dim, block_n, block_d, block_r,
        )  # fmt: skip
        begin = common
    total, weight_sum, peak = _add_keys(
        q_tile, q_rest, total, weight_sum, peak, begin, end, position, first_seen, slots,
        k, v, k_scale, v_scale, kv_stride, num_kv_heads, scale, softcap, visible, slope,
        True, limited, sloped, capped, scaled, value_dim, rest_dim, block_n, block_d, block_r,
    )  # fmt: skip
    if sunk and parts == 1:
        sink = tl.load(sinks + head, mask=valid, other=0.0) * 1.4426950408889634
        top = tl.maximum(peak, sink)
        total *= tl.exp2(peak - top)[:, None]
        weight_sum = weight_sum * tl.exp2(peak - top) + tl.exp2(sink - top)
    total = total / weight_sum[:, None]
    if parts == 1:
        place = query * (num_kv_heads * group) + head
    else:
        place = (sequence.to(tl.int64) * (num_kv_heads * group) + head) * parts + part
        tl.store(log_sums + place, peak + tl.log2(weight_sum), mask=valid)
    target = out + place[:, None] * value_dim + dim[None, :]
    tl.store(target, total.to(out.dtype.element_ty), mask=inside)


@triton.jit
def join_parts(
    partial: tl.tensor,
    log_sums: tl.tensor,
    out: tl.tensor,
    sinks: tl.tensor,
    q_indptr: tl.tensor,
    kv_len: tl.tensor,
    window: int,
    chunk: int,
    num_heads: tl.constexpr,
    value_dim: tl.constexpr,
    parts: tl.constexpr,
    least: tl.constexpr,
    windowed: tl.constexpr,
    chunked: tl.constexpr,
    sunk: tl.constexpr,
    block_n: tl.constexpr,
    block_p: tl.constexpr,
    block_d: tl.constexpr,
) -> None:
    """The attention of one token in one head from what was found in the parts of its keys."""
    sequence, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    query = tl.load(q_indptr + sequence).to(tl.int64)
    if tl.load(q_indptr + sequence + 1) - query != 1:
        return
    end = tl.load(kv_len + sequence)
    first_seen = first_visible(end - 1, window, chunk, windowed, chunked)
    part = tl.arange(0, block_p)
    begins, ends = part_of_range(first_seen, end, part, parts, least, block_n)
    filled = (part < parts) & (begins < ends)
    dim = tl.arange(0, block_d)
    place = (sequence * num_heads + head) * parts + part
    log_sum = tl.load(log_sums + place, mask=filled, other=-float("inf"))
    inside = filled[:, None] & (dim < value_dim)[None, :]
    source = partial + place[:, None] * value_dim + dim[None, :]
    values = tl.load(source, mask=inside, other=0.0).to(tl.float32)
    top = tl.max(log_sum, axis=0)
    if sunk:
        sink = tl.load(sinks + head) * 1.4426950408889634
        top = tl.maximum(top, sink)
    weights = tl.exp2(log_sum - top)
    weight_sum = tl.sum(weights, axis=0)
    if sunk:
        weight_sum += tl.exp2(sink - top)
    total = tl.sum(weights[:, None] * values, axis=0) / weight_sum
    target = out + (query * num_heads + head) * value_dim + dim
    tl.store(target, total.to(out.dtype.element_ty), mask=dim < value_dim)
