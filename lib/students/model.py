"""The student model: what it sees, its loss at the targets, what is trained, and loading it."""

import functools
from pathlib import Path

import torch
from torch import nn

from lib.common.errors import UserError
from lib.common.methods import OBJECTIVES
from lib.common.profile import StudentModel
from lib.models import checkpoints
from lib.models.forward import blocks_seen, branches_seen, logits_at, mask
from lib.students.data import IGNORE, JUDGE, RIVAL


def inputs_of(model: nn.Module, batch: dict[str, torch.Tensor]) -> dict:
    """What the model is given of a batch: token ids, who sees whom, and at which position."""
    inner = getattr(model, "module", model)
    inputs = {"input_ids": batch["input_ids"], "use_cache": False}
    if "branch" not in batch:
        inputs["attention_mask"] = batch["attention_mask"]
    elif "first" in batch and "flex" in inner.config._attn_implementation:
        seen = blocks_seen(batch["branch"], batch["document"], batch["first"])
        inputs |= {"attention_mask": seen, "position_ids": batch["position"]}
    else:
        seen = mask(inner, branches_seen(batch["branch"], batch.get("document")))
        inputs |= {"attention_mask": seen, "position_ids": batch["position"]}
    if inner.config.is_encoder_decoder:
        padding = batch["labels"] == IGNORE
        labels = batch["labels"].masked_fill(padding, inner.config.pad_token_id or 0)
        start = labels.new_full((len(labels), 1), inner.config.decoder_start_token_id)
        inputs["decoder_input_ids"] = torch.cat([start, labels[:, :-1]], 1)
    return inputs


def target_logits(model: nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Logits only where there is a target: ([targets, vocabulary], [targets]), rows in order."""
    wanted = batch["labels"] != IGNORE
    return logits_at(model, wanted, **inputs_of(model, batch)), batch["labels"][wanted]


def losses(model: nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted loss of a pass; by objective its summed loss and target tokens [2, objectives]."""
    logits, labels = target_logits(model, batch)
    nll = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")
    where = batch["labels"] != IGNORE
    objective = batch["objective"][where]
    if (objective == JUDGE).any():
        nll = listwise(nll, objective, questions_of(batch)[where])
    return weighted(nll, objective, batch["weight"])


def questions_of(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """To which question of the pass each token belongs: its row, or its part of a packed row."""
    rows = torch.arange(len(batch["labels"]), device=batch["labels"].device)[:, None]
    return batch.get("document", rows.expand_as(batch["labels"]))


def listwise(nll: torch.Tensor, objective: torch.Tensor, question: torch.Tensor) -> torch.Tensor:
    """The losses [targets] with the judge's: a verdict's log-probability is its choice's score, and
    the right choice's verdict gets the cross-entropy of the softmax over all scores of its
    question (ListNet's top-one loss, Cao et al. 2007); those of the others count for nothing."""
    right, other = objective == JUDGE, objective == RIVAL
    odds = torch.where(right | other, torch.exp(-nll.clamp(max=60)), 0.0)
    sums = torch.zeros_like(nll).index_add(0, question, odds)[question]
    judged = nll + torch.log(torch.where(right, sums, 1.0))
    return torch.where(right, judged, torch.where(other, 0.0, nll))


def weighted(
    nll: torch.Tensor, objective: torch.Tensor, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """``losses`` from the loss and the objective of each target; nothing waits for the device."""
    zeros, nlls = torch.zeros(len(OBJECTIVES), device=nll.device), nll.detach()
    totals = [zeros.index_add(0, objective, each) for each in (nlls, torch.ones_like(nlls))]
    return (nll * weight[objective]).sum(), torch.stack(totals)


def blocks_of(model: nn.Module) -> list[tuple[nn.Module, list[nn.Module]]]:
    """The stacks of a model (encoder and decoder, or the one) with their blocks: the longest
    ModuleList among a stack's parts."""
    both = model.config.is_encoder_decoder
    stacks = (model.get_encoder(), model.get_decoder()) if both else (model.get_decoder(),)
    lists = [[p for p in stack.children() if isinstance(p, nn.ModuleList)] for stack in stacks]
    return [
        (stack, list(max(found, key=len, default=[])))
        for stack, found in zip(stacks, lists, strict=True)
    ]


def freeze_below(model: nn.Module, layers: int) -> None:
    """Train only the top ``layers`` blocks (of encoder and of decoder), the final norms and the
    output layer, unless it is the embedding.

    A frozen lower half saves a third of a step's arithmetic: nothing flows back through it.
    UserError if there are fewer blocks, or if none are found (in a stack's ModuleList).
    """
    model.get_input_embeddings().weight.requires_grad_(False)
    kind = model.config.model_type
    for stack, blocks in blocks_of(model):
        if layers > len(blocks):
            raise UserError(
                f"trainable_layers is {layers}, but in the student ({kind}) {len(blocks)} layers "
                "are found; lower it, or leave it out and set lora_rank instead."
            )
        for name, part in stack.named_children():  # positions' embedding and their norm, too
            if isinstance(part, nn.Embedding) or "emb" in name:
                part.requires_grad_(False)
        for block in blocks[: len(blocks) - layers]:
            block.requires_grad_(False)


def adapt(model: nn.Module, settings: StudentModel) -> nn.Module:
    """The model with what its settings train: all weights, the top layers, or LoRA adapters.

    LoRA (Hu et al. 2021) through peft, on all linear layers, alpha = 2 x rank; on a 4-bit
    checkpoint that is QLoRA (Dettmers et al. 2023).
    """
    if settings.trainable_layers:
        freeze_below(model, settings.trainable_layers)
    if settings.lora_rank:
        from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

        if settings.base == "4bit":
            model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
        kind = "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM"
        model = get_peft_model(
            model,
            LoraConfig(
                task_type=kind,
                r=settings.lora_rank,
                lora_alpha=2 * settings.lora_rank,
                target_modules="all-linear",
            ),
        )
    return model


@functools.lru_cache(maxsize=1)
def load_student(settings: StudentModel, folder: Path):
    """A finished student in eval mode and its tokenizer; an adapter is merged, into the dequantised
    base for QLoRA. The last one stays loaded."""
    if not (folder / "adapter_config.json").is_file():
        return checkpoints.load(folder, "auto")
    from peft import PeftModel

    base = base_precision(settings)
    model, tokenizer = checkpoints.load(checkpoints.fetch(settings.model), base)
    if base == "4bit":
        model = model.dequantize()
    return PeftModel.from_pretrained(model, folder).merge_and_unload().eval(), tokenizer


def base_precision(settings: StudentModel) -> str:
    """In which precision the checkpoint under a student is loaded."""
    return "4bit" if settings.base == "4bit" else "float32"
