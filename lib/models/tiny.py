"""Tiny models with random weights, tiny:llama and tiny:t5: they show that everything runs."""

from pathlib import Path

from lib.common import paths

NAMES = ("llama", "t5")
SHAPE = {"hidden_size": 64, "layers": 2, "heads": 4, "kv_heads": 2, "vocabulary": 600}


def make(name: str, folder: Path) -> None:
    """A LLaMA or T5 of the real architecture with random weights and a MiniCQA tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

    tokenizer = _tokenizer()
    shape, tokens = SHAPE, len(tokenizer)
    special = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name == "llama":
            model = LlamaForCausalLM(
                LlamaConfig(
                    vocab_size=tokens,
                    hidden_size=shape["hidden_size"],
                    intermediate_size=128,
                    num_hidden_layers=shape["layers"],
                    num_attention_heads=shape["heads"],
                    num_key_value_heads=shape["kv_heads"],
                    max_position_embeddings=4096,
                    bos_token_id=tokenizer.bos_token_id,
                    initializer_range=0.1,
                    **special,
                )
            )
        else:
            model = T5ForConditionalGeneration(
                T5Config(
                    vocab_size=tokens,
                    d_model=shape["hidden_size"],
                    d_ff=128,
                    d_kv=16,
                    num_layers=shape["layers"],
                    num_heads=shape["heads"],
                    feed_forward_proj="gated-gelu",
                    tie_word_embeddings=False,
                    dropout_rate=0.0,
                    decoder_start_token_id=tokenizer.pad_token_id,
                    **special,
                )
            )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tokenizer():
    """A byte-level BPE trained on MiniCQA's questions and worked examples (deterministic)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    text = [
        path.read_text() for path in (paths.MINICQA / "train.jsonl", paths.PROMPTS / "minicqa.yaml")
    ]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        text,
        trainers.BpeTrainer(
            vocab_size=SHAPE["vocabulary"],
            special_tokens=["<pad>", "<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
