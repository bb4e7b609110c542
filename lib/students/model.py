"""The student model: encoding of examples, batches, target logits, what is trained."""

import re

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from lib.common.errors import UserError
from lib.models.batching import common_prefix

IGNORE = -100
LONGEST = 512  # tokens of input (as T5 was trained) and of target


class Encoder:
    """Turns (input, target) texts into token ids for one student, counting what was cut."""

    def __init__(self, tokenizer, seq2seq: bool):
        self.tokenizer, self.seq2seq = tokenizer, seq2seq
        self.cut = 0
        if tokenizer.eos_token_id is None:
            raise UserError("The student's tokenizer has no end-of-sequence token; choose another.")
        self.pad = tokenizer.pad_token_id or 0

    def prompt(self, text: str) -> list[int]:
        """Input ids; an over-long input is cut (its question is kept) and counted.

        A decoder-only student reads its task's tag last, right before it writes: what stands before
        is then the same for all tasks of a question (see ``rows``), and with the tag at the far
        end it takes far more steps to tell the tasks apart.
        """
        if self.seq2seq:
            ids, end = self.tokenizer(text)["input_ids"], []
        else:
            tag = re.match(r"(\[\w+\] )?", text)[0]
            ids = self.tokenizer(text[len(tag) :], add_special_tokens=False)["input_ids"]
            end = f"\n{tag.strip()}\n" if tag else "\n"
            end = self.tokenizer(end, add_special_tokens=False)["input_ids"]
        self.cut += len(ids) + len(end) > LONGEST
        return ids[: LONGEST - len(end)] + end

    def target(self, text: str) -> list[int]:
        """Target ids, always closed by end-of-sequence."""
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        self.cut += len(ids) >= LONGEST
        return ids[: LONGEST - 1] + [self.tokenizer.eos_token_id]

    def example(self, source: str, target: str) -> dict[str, list[int]]:
        """Ids and labels of one example; a label stands where its token is predicted."""
        prompt, wanted = self.prompt(source), self.target(target)
        if self.seq2seq:
            return {"input_ids": prompt, "labels": wanted}
        labels = [IGNORE] * (len(prompt) - 1) + wanted
        return {"input_ids": prompt + wanted[:-1], "labels": labels}

    def rows(self, examples: dict[int, dict]) -> list[dict[str, list[int]]]:
        """The examples of one question (task number -> example) as rows of a batch.

        Encoder-decoder: a row each. Decoder-only: one row, in which the tokens that all prompts
        begin with are read once (branch 0) and each task goes on from there (branches 1, 2, ...)
        without seeing the others; ``position`` counts along each branch.
        """
        if self.seq2seq:
            return [e | {"task": [task] * len(e["labels"])} for task, e in examples.items()]
        shared = min(e["labels"].count(IGNORE) for e in examples.values())
        shared = common_prefix([e["input_ids"][:shared] for e in examples.values()])
        row = {
            "input_ids": next(iter(examples.values()))["input_ids"][:shared],
            "labels": [IGNORE] * shared,
            "task": [-1] * shared,
            "branch": [0] * shared,
            "position": list(range(shared)),
        }
        for number, (task, e) in enumerate(examples.items(), 1):
            size = len(e["input_ids"]) - shared
            row["input_ids"] += e["input_ids"][shared:]
            row["labels"] += e["labels"][shared:]
            row["task"] += [task] * size
            row["branch"] += [number] * size
            row["position"] += range(shared, shared + size)
        return [row]

    def collate(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        """Pad to the longest of the batch: [rows, tokens]; padding is masked and never a label."""
        padding = {"input_ids": self.pad, "labels": IGNORE, "task": -1, "branch": -1, "position": 0}
        batch = {
            name: pad_sequence([torch.tensor(row[name]) for row in rows], True, padding[name])
            for name in rows[0]
        }
        lengths = torch.tensor([len(row["input_ids"]) for row in rows])
        width = batch["input_ids"].shape[1]
        batch["attention_mask"] = (torch.arange(width)[None] < lengths[:, None]).long()
        return batch


def branch_mask(branch: torch.Tensor) -> torch.Tensor:
    """Which position sees which, [rows, 1, tokens, tokens] boolean, from ``Encoder.rows``' branches:
    what stands before it in the shared part and in its own branch; padding sees itself alone."""
    size = branch.shape[1]
    before = torch.ones(size, size, dtype=torch.bool, device=branch.device).tril()
    seen = (branch[:, None] == 0) | (branch[:, None] == branch[:, :, None])
    seen = seen & before & (branch >= 0)[:, None] & (branch >= 0)[:, :, None]
    return (seen | torch.eye(size, dtype=torch.bool, device=branch.device))[:, None]


def target_logits(model: nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Logits only where there is a target: ([targets, vocabulary], [targets]), rows in order.

    A hook picks the target positions before the output layer, so that the large vocabulary product
    is not computed for prompt and padding; works for both architectures and through wrappers
    (PEFT, data parallel), since the model's own forward is called.
    """
    wanted = batch["labels"] != IGNORE
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    if "branch" in batch:
        inputs |= {
            "attention_mask": branch_mask(batch["branch"]),
            "position_ids": batch["position"],
        }
    inner = getattr(model, "module", model)
    if inner.config.is_encoder_decoder:
        labels = batch["labels"].masked_fill(~wanted, inner.config.pad_token_id or 0)
        start = labels.new_full((len(labels), 1), inner.config.decoder_start_token_id)
        inputs["decoder_input_ids"] = torch.cat([start, labels[:, :-1]], 1)
    head = inner.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, args: (args[0][wanted],))
    try:
        logits = model(**inputs, use_cache=False).logits
    finally:
        hook.remove()
    return logits, batch["labels"][wanted]


def freeze_below(model: nn.Module, layers: int) -> None:
    """Train only the top ``layers`` blocks (of encoder and of decoder), the final norms and the
    output layer, unless it is the embedding.

    A frozen lower half saves a third of a step's arithmetic: nothing flows back through it.
    UserError if there are fewer blocks, or if they are not found (in a stack's ModuleList).
    """
    model.get_input_embeddings().weight.requires_grad_(False)
    kind, both = model.config.model_type, model.config.is_encoder_decoder
    for stack in (model.get_encoder(), model.get_decoder()) if both else (model.get_decoder(),):
        lists = [part for part in stack.children() if isinstance(part, nn.ModuleList)]
        if not lists:
            raise UserError(
                f"trainable_layers: the layers of a {kind} student are not found; leave "
                "it out, or set lora_rank instead."
            )
        blocks = max(lists, key=len)
        if layers > len(blocks):
            raise UserError(
                f"trainable_layers is {layers}, but the student ({kind}) has {len(blocks)} layers."
            )
        for name, part in stack.named_children():  # positions' embedding and their norm, too
            if isinstance(part, nn.Embedding) or "emb" in name:
                part.requires_grad_(False)
        for block in blocks[: len(blocks) - layers]:
            block.requires_grad_(False)


def adapt(model: nn.Module, settings) -> nn.Module:
    """The model with what a StudentModel trains: all weights, the top layers, or LoRA adapters.

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
