"""Token ids of examples, and the order of steps."""

import pytest
import torch
from transformers import AutoTokenizer

from lib.common.errors import UserError
from lib.models import checkpoints
from lib.students import objectives
from lib.students.data import IGNORE, Encoder
from tests.students.examples import PAIRS, QUESTIONS, WEIGHTS, load, steps


@pytest.fixture(params=["tiny:llama", "tiny:t5"])
def encoder(request):
    return load(request.param)[1]


@pytest.fixture
def decoder_only():
    return load("tiny:llama")[1]


def test_labels_are_the_target_with_eos_and_nothing_else(encoder):
    example = encoder.example("[predict] a? Choices: (A) b", "So the answer is b.")
    wanted = [label for label in example["labels"] if label != IGNORE]
    assert wanted[-1] == encoder.tokenizer.eos_token_id
    assert encoder.tokenizer.decode(wanted[:-1]) == "So the answer is b."
    if not encoder.seq2seq:  # each label stands where the token before it is read
        start = example["labels"].index(wanted[0])
        assert example["input_ids"][start + 1 :] == wanted[:-1]
        assert len(example["input_ids"]) == len(example["labels"])


def test_padding_is_never_a_label_even_if_pad_is_eos(encoder):
    encoder.pad = encoder.tokenizer.eos_token_id
    rows = [encoder.example("a", "b"), encoder.example("a longer one", "c d e f")]
    batch = encoder.collate(rows)
    assert (batch["labels"] == encoder.tokenizer.eos_token_id).sum(1).tolist() == [1, 1]
    assert batch["attention_mask"].sum(1).tolist() == [len(row["input_ids"]) for row in rows]


def test_what_is_too_long_is_cut_and_counted(encoder):
    example = encoder.example(f"[predict] {'why ' * 600}", "because " * 600)
    assert encoder.cut == 2
    assert max(map(len, example.values())) <= (512 if encoder.seq2seq else 1023)
    assert example["labels"][-1] == encoder.tokenizer.eos_token_id
    if not encoder.seq2seq:
        prompt = encoder.tokenizer.decode(encoder.prompts([f"[predict] {'why ' * 600}"])[0])
        assert prompt.endswith("\n[predict]\n")


@pytest.mark.parametrize("reference", ["tiny:llama", "tiny:t5", "embedded:smollm2-135m-instruct"])
def test_encoding_all_at_once_is_encoding_one_by_one(reference):
    folder = checkpoints.fetch(reference)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    both = [Encoder(tokenizer, reference == "tiny:t5") for _ in range(2)]
    long = [("[explain] " + "why so? " * 600, "So be it. " * n) for n in (200, 300, 600)]
    pairs = PAIRS | {"dev": {"explain": [("no tag", ""), *long, *long[:1]], "factual": long}}
    found = both[0].encode(pairs)
    for split, part in pairs.items():
        for name, rows in part.items():
            assert found[split][name] == [both[1].example(*pair) for pair in rows]
    assert both[0].cut == both[1].cut > 7
    source, target = "[explain] Why? Choices: (A) naïve", "½ of it, 日本 <b>."
    (ids,), (label,) = both[0].prompts([source]), both[0].targets([target])
    plain = tokenizer(target, add_special_tokens=False)["input_ids"]
    assert label == [*plain, tokenizer.eos_token_id]
    asked = source if both[0].seq2seq else source.removeprefix("[explain] ")
    end = (
        [] if both[0].seq2seq else tokenizer("\n[explain]\n", add_special_tokens=False)["input_ids"]
    )
    assert ids == tokenizer(asked, add_special_tokens=both[0].seq2seq)["input_ids"] + end


def test_objectives_of_a_question_share_its_prompt(decoder_only):
    """A decoder-only student reads question and choices once for all objectives."""
    alone = {name: decoder_only.example(*PAIRS["train"][name][0]) for name in WEIGHTS}
    (row,) = decoder_only.rows(enumerate(alone.values()))
    shared = row["branch"].count(0)
    text = objectives.source("predict", QUESTIONS[0], tags="none")
    question = decoder_only.tokenizer(text)["input_ids"]
    assert row["input_ids"][:shared] == question[:shared] and shared >= len(question) - 1
    assert len(row["input_ids"]) == sum(len(e["input_ids"]) for e in alone.values()) - 3 * shared
    for number, example in enumerate(alone.values(), 1):
        own = [i for i, branch in enumerate(row["branch"]) if branch in (0, number)]
        assert [row["input_ids"][i] for i in own] == example["input_ids"]
        assert [row["position"][i] for i in own] == list(range(len(own)))


@pytest.mark.parametrize(("tags", "front"), [("words", ""), ("twice", "[explain] ")])
def test_the_tag_stands_at_the_end_and_one_asked_for_twice_in_front_too(decoder_only, tags, front):
    text = objectives.source("explain", QUESTIONS[0], tags=tags)
    asked = f"{QUESTIONS[0].question} Choices: {QUESTIONS[0].lettered()}"
    said = decoder_only.tokenizer.decode(decoder_only.prompts([text])[0])
    assert said == f"{front}{asked}\n[explain]\n"


def test_every_epoch_uses_every_question_once(encoder):
    data = steps(encoder, steps=4, seed=3)
    first, second, third, fourth = map(data.questions_of, range(4))
    assert sorted(first + second) == sorted(third + fourth) == list(range(8))
    assert first != third
    late = steps(encoder, steps=4, seed=3, start=2)
    assert len(late) == 2 and late[1]["tokens"] == data[3]["tokens"]
    (a,), (b,) = late[1]["passes"], data[3]["passes"]
    assert all(torch.equal(a[name], b[name]) for name in a)
    once = steps(encoder, batch_size=5, once=True)
    assert sorted(once.questions_of(0) + once.questions_of(1)) == list(range(8))


def test_a_step_too_small_to_be_split_is_said(decoder_only):
    with pytest.raises(UserError, match="A step has 4 rows, too few for 5 parts; lower"):
        steps(decoder_only, accumulation=5)[0]


def test_a_tokenizer_needs_an_end(encoder):
    encoder.tokenizer.eos_token = None
    with pytest.raises(UserError, match="no end-of-sequence token"):
        type(encoder)(encoder.tokenizer, encoder.seq2seq)
