"""Scores of options: one pass over a prompt gives what separate passes give."""

import pytest
import torch

from lib.models import checkpoints, likelihood

PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12, 13], [20]]
OPTIONS = [
    [[30, 31], [32], [33, 34, 35]],
    [[40], [41, 42]],
    [[50, 51, 52, 53], [50, 51, 54], [50, 51, 52]],
]


@pytest.fixture(params=["tiny:llama", "tiny:t5"])
def model(request):
    return checkpoints.load(checkpoints.fetch(request.param), "float32", "cpu")[0]


def one_by_one(model, prompt, option):
    if model.config.is_encoder_decoder:
        logits = model(input_ids=torch.tensor([prompt]), labels=torch.tensor([option])).logits[0]
    else:
        logits = model(input_ids=torch.tensor([prompt + option])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits, -1)[range(len(option)), option].sum().item()


@pytest.mark.parametrize("batch_size", [1, 3])
def test_scores_are_those_of_separate_passes(model, batch_size):
    found = likelihood.option_scores(model, PROMPTS, OPTIONS, batch_size=batch_size)
    with torch.no_grad():
        for prompt, options, scores in zip(PROMPTS, OPTIONS, found, strict=True):
            assert scores == pytest.approx(
                [one_by_one(model, prompt, o) for o in options], abs=1e-4
            )


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["tiny:llama", "tiny:t5"])
def test_scores_on_the_gpu_are_those_of_the_cpu(name):
    found = [
        likelihood.option_scores(
            checkpoints.load(checkpoints.fetch(name), "float32", device)[0],
            PROMPTS * 100,
            OPTIONS * 100,
        )
        for device in ("cpu", "cuda")
    ]
    for on_cpu, on_gpu in zip(*found, strict=True):
        assert on_gpu == pytest.approx(on_cpu, abs=1e-3)


def test_best_is_the_first_of_equals():
    assert likelihood.best([[-2.0, -1.0], [-1.0, -1.0], [-3.0, -4.0]]) == [1, 0, 0]
