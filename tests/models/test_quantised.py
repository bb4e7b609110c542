"""The embedded teacher in 4 and 8 bits through bitsandbytes, on a CPU."""

import pytest

from lib.models import checkpoints, decoding

bitsandbytes = pytest.importorskip("bitsandbytes")

PROMPT = "Question: What is the capital of France?\nReply: The capital of France is"


@pytest.mark.parametrize("precision, layer", [("4bit", "Linear4bit"), ("8bit", "Linear8bitLt")])
def test_embedded_teacher_generates(precision, layer):
    """Weights are stored in the small type, and the text is still the right one."""
    folder = checkpoints.fetch("embedded:smollm2-135m-instruct")
    model, tokenizer = checkpoints.load(folder, precision, "cpu")
    found = [
        module for module in model.modules() if isinstance(module, getattr(bitsandbytes.nn, layer))
    ]
    assert len(found) == 30 * 7, "all linear layers of the 30 blocks"
    if precision == "4bit":
        assert {module.weight.quant_type for module in found} == {"nf4"}
    texts = decoding.Decoder(model, tokenizer).texts([PROMPT, PROMPT.replace("France", "Italy")], 3)
    assert texts[0].startswith(" Paris") and texts[1].strip()
