"""The student model: what it sees, its logits at the targets, what is trained, and loading it."""

import functools
from pathlib import Path

import torch
from torch import nn

from lib.common.errors import UserError
from lib.common.profile import StudentModel
from lib.models import checkpoints
from lib.models.forward import branches_seen, logits_at, mask
from lib.students.data import IGNORE


def target_logits(model: nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Logits only where there is a target: ([targets, vocabulary], [targets]), rows in order."""
    wanted = batch["labels"] != IGNORE
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    inner = getattr(model, "module", model)
    if "branch" in batch:
        inputs |= {
            "attention_mask": mask(inner, branches_seen(batch["branch"])),
            "position_ids": batch["position"],
        }
    if inner.config.is_encoder_decoder:
        labels = batch["labels"].masked_fill(~wanted, inner.config.pad_token_id or 0)
        start = labels.new_full((len(labels), 1), inner.config.decoder_start_token_id)
        inputs["decoder_input_ids"] = torch.cat([start, labels[:, :-1]], 1)
    return logits_at(model, wanted, **inputs, use_cache=False), batch["labels"][wanted]


def freeze_below(model: nn.Module, layers: int) -> None:
    """Train only the top ``layers`` blocks (of encoder and of decoder), the final norms and the
    output layer, unless it is the embedding.

    A frozen lower half saves a third of a step's arithmetic: nothing flows back through it.
    UserError if there are fewer blocks, or if none are found (in a stack's ModuleList).
    """
    model.get_input_embeddings().weight.requires_grad_(False)
    kind, both = model.config.model_type, model.config.is_encoder_decoder
    for stack in (model.get_encoder(), model.get_decoder()) if both else (model.get_decoder(),):
        lists = [part for part in stack.children() if isinstance(part, nn.ModuleList)]
        blocks = max(lists, key=len, default=[])
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
