"""A model's own forward pass: logits only where they are wanted, and who sees whom.

The output layer and whatever a family does to its logits (scaling, soft-capping) are the model's.
"""

import torch

BLOCK = 128  # tokens that FlexAttention treats together


def logits_at(model, where, **inputs) -> torch.Tensor:
    """The model's logits at ``where``, any index of hidden states [rows, tokens, size].

    A hook picks these positions before the output layer, so that the large vocabulary product is
    not computed for the others; works through wrappers (PEFT, data parallel), too.
    """
    head = getattr(model, "module", model).get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, args: (args[0][where],))
    try:
        return model(**inputs).logits
    finally:
        hook.remove()


def hidden_at(model, where: torch.Tensor, **inputs) -> torch.Tensor:
    """What the model's output layer is to be given at ``where``, indices of all its tokens in a row
    (rows one after the other); [places, size]. No logits are computed."""
    found, inner = [], getattr(model, "module", model)

    def take(_, args):
        found.append(args[0].flatten(0, 1).index_select(0, where))
        return (args[0][:0],)

    hook = inner.get_output_embeddings().register_forward_pre_hook(take)
    try:
        model(**inputs)
    finally:
        hook.remove()
    return found[0]


def mask(model, allowed: torch.Tensor) -> torch.Tensor:
    """Which token sees which (boolean [rows, new, seen]) in the form that the attention in force
    takes: boolean for PyTorch's (sdpa), for others what is added to the scores. A token that is to
    see nothing (padding) sees all, since no attention is defined for it."""
    allowed = allowed[:, None]
    if model.config._attn_implementation == "sdpa":
        return allowed | ~allowed.any(-1, keepdim=True)
    added = torch.zeros(allowed.shape, dtype=model.dtype, device=allowed.device)
    return added.masked_fill_(~allowed, torch.finfo(model.dtype).min)


def branches_seen(branch: torch.Tensor, document: torch.Tensor | None = None) -> torch.Tensor:
    """Which token sees which, boolean [rows, tokens, tokens], where rows share a beginning.

    ``branch`` [rows, tokens]: 0 in the shared part, 1, 2, ... in what follows it, -1 in padding. A
    token sees what stands before it in the shared part and in its own branch; padding itself alone.
    With ``document`` [rows, tokens] it sees those of its own document only.
    """
    size = branch.shape[1]
    before = torch.ones(size, size, dtype=torch.bool, device=branch.device).tril()
    seen = (branch[:, None] == 0) | (branch[:, None] == branch[:, :, None])
    seen = seen & before & (branch >= 0)[:, None] & (branch >= 0)[:, :, None]
    if document is not None:
        seen = seen & (document[:, None] == document[:, :, None])
    return seen | torch.eye(size, dtype=torch.bool, device=branch.device)


def blocks_seen(branch: torch.Tensor, document: torch.Tensor, first: torch.Tensor):
    """``branches_seen`` with ``document`` for one row as FlexAttention takes it: a BlockMask.

    ``first`` [tokens / BLOCK]: the first block of tokens that a block's tokens may see, so that
    nothing of the size tokens x tokens is ever made. (Padding sees the padding before it.)
    """
    from torch.nn.attention.flex_attention import BlockMask

    def seen(_row, _head, q, k):
        own = (branch[0, k] == 0) | (branch[0, k] == branch[0, q])
        return (q >= k) & (document[0, k] == document[0, q]) & own

    size = branch.shape[1]
    block = torch.arange(len(first), device=first.device)
    columns = (first[:, None] + block).clamp(max=len(first) - 1)  # those after the last count not
    return BlockMask.from_kv_blocks(
        (block - first + 1).int()[None, None],
        columns.int()[None, None],
        BLOCK_SIZE=BLOCK,
        mask_mod=seen,
        seq_lengths=(size, size),
    )
