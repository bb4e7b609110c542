"""Tiny models with random weights, tiny:llama and tiny:t5: they show that everything runs."""

from pathlib import Path

from lib.common import paths

NAMES = ("llama", "t5")
TEXT = paths.MINICQA / "train.jsonl"  # what their tokenizer is trained on
SHAPE = {"width": 64, "feed_forward": 128, "layers": 2, "heads": 4, "kv_heads": 2, "tokens": 600}


def make(name: str, folder: Path) -> None:
    """A LLaMA or T5 of the real architecture with random weights; it depends on TEXT and SHAPE."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

    tokenizer = _train_tokenizer()
    special = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name == "llama":
            config = LlamaConfig(
                hidden_size=SHAPE["width"],
                intermediate_size=SHAPE["feed_forward"],
                num_hidden_layers=SHAPE["layers"],
                num_attention_heads=SHAPE["heads"],
                num_key_value_heads=SHAPE["kv_heads"],
                max_position_embeddings=4096,
                bos_token_id=tokenizer.bos_token_id,
                initializer_range=0.1,
                **special,
            )
            model = LlamaForCausalLM(config)
        else:
            config = T5Config(
                d_model=SHAPE["width"],
                d_ff=SHAPE["feed_forward"],
                d_kv=SHAPE["width"] // SHAPE["heads"],
                num_layers=SHAPE["layers"],
                num_heads=SHAPE["heads"],
                feed_forward_proj="gated-gelu",
                tie_word_embeddings=False,
                dropout_rate=0.0,
                decoder_start_token_id=tokenizer.pad_token_id,
                **special,
            )
            model = T5ForConditionalGeneration(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _train_tokenizer():
    """A byte-level BPE trained on MiniCQA's train questions (deterministic)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SHAPE["tokens"],
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT.read_text(encoding="utf-8")], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
