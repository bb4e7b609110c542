"""A model's own forward pass: logits only where they are wanted, and who sees whom.

The output layer and whatever a family does to its logits (scaling, soft-capping) are the model's.
"""

import torch


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


def mask(model, allowed: torch.Tensor) -> torch.Tensor:
    """Which token sees which (boolean [rows, new, seen]) in the form that the attention in force
    takes: boolean for PyTorch's (sdpa), for others what is added to the scores. A token that is to
    see nothing (padding) sees all, since no attention is defined for it."""
    allowed = allowed[:, None]
    if model.config._attn_implementation == "sdpa":
        return allowed | ~allowed.any(-1, keepdim=True)
    added = torch.zeros(allowed.shape, dtype=model.dtype, device=allowed.device)
    return added.masked_fill_(~allowed, torch.finfo(model.dtype).min)


def branches_seen(branch: torch.Tensor) -> torch.Tensor:
    """Which token sees which, boolean [rows, tokens, tokens], where rows share a beginning.

    ``branch`` [rows, tokens]: 0 in the shared part, 1, 2, ... in what follows it, -1 in padding. A
    token sees what stands before it in the shared part and in its own branch; padding itself alone.
    """
    size = branch.shape[1]
    before = torch.ones(size, size, dtype=torch.bool, device=branch.device).tril()
    seen = (branch[:, None] == 0) | (branch[:, None] == branch[:, :, None])
    seen = seen & before & (branch >= 0)[:, None] & (branch >= 0)[:, :, None]
    return seen | torch.eye(size, dtype=torch.bool, device=branch.device)
