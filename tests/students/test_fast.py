"""The fast path computes what the plain one does, and gives way where it does not."""

import functools

import pandas as pd
import pytest
import torch
import transformers

from lib.models.forward import BLOCK, blocks_seen, branches_seen
from lib.students import fast, model, train
from lib.students.data import Encoder
from tests.models.test_contract import FAMILIES, config_of
from tests.students.examples import SETTINGS, close, load, measured, run, steps


@pytest.fixture(params=["tiny:llama", "tiny:t5"])
def student(request):
    return load(request.param)


@pytest.fixture
def small(monkeypatch):
    """Chunks and passes of a few tokens, as the texts are short."""
    monkeypatch.setattr(fast, "CHUNK", 7)
    monkeypatch.setattr(fast, "FEWEST", 100)


def test_loss_in_chunks_is_the_whole(student, small):
    net, encoder = student
    data = steps(encoder)
    expected = measured(net, data[0]["passes"])
    batches = [fast.with_targets(batch) for batch in data[0]["passes"]]
    assert batches[0]["targets"].numel() > 3 * fast.CHUNK
    close(expected, measured(net, batches, fast.losses))


@pytest.mark.parametrize("parts", [1, 2])
def test_packed_rows_are_padded_rows(small, parts):
    """Also where they are longer than expected."""
    net, encoder = load("tiny:llama")
    data = steps(encoder)
    expected, tokens = measured(net, data[0]["passes"]), data[0]["tokens"]
    data.parts *= parts
    for sizes in ((tokens, 2 * tokens), (10, 20)):
        data.layout = fast.Packed(encoder, sizes)
        step = data[0]
        assert len(step["passes"]) == parts and step["tokens"] == tokens
        assert all(batch["input_ids"].shape[0] == 1 for batch in step["passes"])
        assert step["slots"] == sum(batch["branch"].numel() for batch in step["passes"])
        assert step["slots"] % BLOCK == 0 and step["slots"] < 1.1 * tokens + parts * BLOCK
        close(expected, measured(net, step["passes"], fast.losses))
        close(expected, measured(net, step["passes"]))  # and by the plain loss


@pytest.mark.parametrize("parts", [1, 3])
def test_rows_padded_to_round_lengths_are_the_step(student, small, parts):
    net, encoder = student
    data = steps(encoder)
    expected, tokens = measured(net, data[0]["passes"]), data[0]["tokens"]
    data.layout, data.parts = fast.Padded(encoder), data.parts * parts
    step = data[0]
    assert step["tokens"] == tokens and len(step["passes"]) >= parts
    widths = {batch[name].shape[1] for batch in step["passes"] for name in ("input_ids", "labels")}
    assert all(width in (16, 32) or width % 64 == 0 for width in widths)
    close(expected, measured(net, step["passes"], fast.losses))


def packed_batch(encoder, rows=12, length=6 * BLOCK):
    found = steps(encoder, batch_size=rows).rows_of(0)[0]
    while sum(len(row["input_ids"]) for row in found) > length:
        found.pop()
    return fast.Packed(encoder, (length, length)).collate(found[::-1], length)


def test_flex_attention_is_given_the_dense_rule():
    flex = pytest.importorskip("torch.nn.attention.flex_attention")
    encoder = load("tiny:llama")[1]
    batch = packed_batch(encoder)
    branch, document = batch["branch"], batch["document"]
    real = document[0] >= 0
    assert document.max() > 2 and branch.max() == 4 and 0 < real.sum() < len(real)
    dense = branches_seen(branch, document)[0]
    mask = blocks_seen(branch, document, batch["first"])
    size = branch.shape[1]
    rule = flex.create_mask(mask.mask_mod, 1, 1, size, size, device="cpu")[0, 0]
    assert torch.equal(rule[real], dense[real]) and rule.any(1).all()
    blocks = mask.to_dense()[0, 0].bool()
    covered = blocks.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
    assert covered[rule].all() and not blocks.triu(1).any()


@pytest.fixture
def gradients_on_a_cpu(monkeypatch):
    """FlexAttention refuses them; what a compiler's trace runs instead of a kernel has them."""
    flex = pytest.importorskip("torch.nn.attention.flex_attention")
    monkeypatch.setattr(flex, "_validate_device", lambda *_: None)
    torch._dynamo.reset()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_packed_compiled_blocks_with_flex_attention_are_the_plain_way(
    gradients_on_a_cpu, precision
):
    """And blocks are compiled once, for all of them and for all batches of a length."""
    net, encoder = load("tiny:llama")
    data = steps(encoder, steps=3)
    with fast.autocast(net, precision):
        expected = [measured(net, data[i]["passes"]) for i in range(3)]
    compiled = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    way = fast.prepare(net, data, precision, True, True, backend=compiled)
    data.layout = fast.Packed(encoder, (5 * BLOCK, 8 * BLOCK))
    for i in range(3):
        (batch,) = data[i]["passes"]
        found = measured(net, [batch], way)
        close(expected[i], found, 1e-5 if precision == "float32" else 1e-2)
    # one graph for the blocks, two (for some number of targets, for any) for the chunk
    assert compiled.frame_count == 3


@pytest.mark.parametrize(
    ("reference", "backend"), [("tiny:llama", "aot_eager"), ("tiny:t5", "eager")]
)
def test_compiled_blocks_are_the_plain_ones(reference, backend):
    torch._dynamo.reset()
    net, encoder = load(reference)
    data = steps(encoder)
    expected = [measured(net, data[i]["passes"]) for i in range(2)]
    way = fast.prepare(net, data, "float32", packed=False, backend=backend)
    for i in range(2):
        close(expected[i], measured(net, data[i]["passes"], way))
    fast.restore(net, data, "sdpa")
    close(expected[0], measured(net, data[0]["passes"]), 0)


WAYS = ((True, True), (False, False))


def test_the_check_changes_nothing_and_says_what_it_leaves_out(student, small):
    """FlexAttention has no gradients on a CPU."""
    net, encoder = student
    data = steps(encoder)
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    random = torch.get_rng_state()
    way, reason = fast.choose(net, data, "float32", WAYS, backend="eager")
    assert isinstance(data.layout, fast.Padded) and way.keywords["nll"] is fast.chunk_nll
    if encoder.seq2seq:
        assert reason == ""
    else:
        assert reason.startswith("no packed rows and compiled blocks (")
    assert net.config._attn_implementation == "sdpa" and net.training
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(random, torch.get_rng_state())
    close(weights, net.state_dict(), 0)


def test_a_way_that_computes_something_else_is_left_out(student, small, monkeypatch):
    net, encoder = student
    data = steps(encoder)
    monkeypatch.setattr(fast, "chunk_nll", lambda *chunk: 1.02 * fast._nll(*chunk))
    way, reason = fast.choose(net, data, "bfloat16", ((False, False),))
    assert way is None and data.layout is None
    assert "loss off by 2.0" in reason and "more than rounding" in reason


@pytest.mark.parametrize("name", ["granite", "cohere"])
def test_families_that_change_their_logits_take_the_plain_path(name):
    tokenizer = load("tiny:llama")[1].tokenizer
    torch.manual_seed(0)
    assert name in FAMILIES
    net = transformers.AutoModelForCausalLM.from_config(config_of(name))
    way, reason = fast.choose(net, steps(Encoder(tokenizer, False)), "float32", WAYS)
    assert way is None and reason.endswith("logits are not what its output layer gives")


def test_memory_that_runs_out_in_the_check_doubles_the_parts(student, small, monkeypatch):
    net, encoder = student
    data, plain = steps(encoder), fast.losses

    def scarce(net, batch, **options):
        if len(batch["input_ids"]) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(net, batch, **options)

    monkeypatch.setattr(fast, "losses", scarce)
    monkeypatch.setattr(fast, "FEWEST", 10**6)
    way, reason = fast.choose(net, data, "float32", ((False, False),))
    assert way and not reason and int(data.parts) in (2, 4)


def scarce(monkeypatch, rows):
    """Memory runs out in a pass of more than so many rows."""
    plain = model.losses

    def losses(net, batch):
        found = plain(net, batch)
        if net.training and len(batch["input_ids"]) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GB.")
        return found

    monkeypatch.setattr(train, "losses", losses)


def test_a_step_that_memory_does_not_hold_is_done_in_more_passes(tmp_path, monkeypatch, capsys):
    settings = SETTINGS.model_copy(update={"accumulation": "auto"})
    whole, expected = run(tmp_path / "whole", settings=settings)
    assert whole["passes"] == 1 and whole["path"] == "plain"
    scarce(monkeypatch, 2)
    record, found = run(tmp_path / "scarce", settings=settings)
    assert record["passes"] == 2 and record["tokens"] == whole["tokens"]
    assert capsys.readouterr().out.count("memory runs out: a step in 2 parts from here on") == 1
    close(expected, found, 1e-4)
    a, b = (pd.read_csv(tmp_path / name / "history.csv")["loss"] for name in ("whole", "scarce"))
    assert a.tolist() == pytest.approx(b.tolist(), abs=1e-4)


def test_memory_that_holds_no_row_is_an_error(tmp_path, monkeypatch):
    scarce(monkeypatch, 0)
    with pytest.raises(torch.OutOfMemoryError):
        run(tmp_path)


def test_training_on_the_fast_path_is_training(tmp_path, monkeypatch, capsys):
    """And a stopped one goes on as an uninterrupted one."""
    reference = "tiny:llama"
    plain, expected = run(tmp_path / "plain", reference)
    choose = functools.partial(fast.choose, ways=((False, False),))
    monkeypatch.setattr(fast, "choose", choose)
    record, found = run(tmp_path / "fast", reference)
    assert record["path"] == "fast" and record["path_reason"] == ""
    assert record["tokens"] == plain["tokens"] and record["peak_share"] is None
    assert 0 < record["padding_share"] < 0.9
    close(expected, found, 1e-3)
    assert record["dev_loss"] == pytest.approx(plain["dev_loss"], abs=1e-3)
    said = capsys.readouterr().out
    assert " tokens/s | " in said and "% padding" in said

    stopped_as_uninterrupted(reference, tmp_path / "broken", found, monkeypatch)


def stopped_as_uninterrupted(reference, folder, expected, monkeypatch, tolerance=0, **options):
    class Killed(Exception):
        pass

    def stop(self, args, state, control, **_):
        if state.global_step == 5:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(train.Diary, "on_step_end", stop)
        with pytest.raises(Killed):
            run(folder, reference, **options)
    assert (folder / "checkpoint-4").is_dir()
    close(expected, run(folder, reference, **options)[1], tolerance)


def test_the_fast_path_can_be_switched_off(tmp_path, monkeypatch):
    monkeypatch.setattr(fast, "choose", None)
    off = SETTINGS.model_copy(update={"fast": False, "steps": 1, "checkpoint_every": None})
    assert run(tmp_path, settings=off)[0]["path"] == "plain"


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("reference", ["tiny:llama", "tiny:t5"])
def test_fast_is_plain_on_a_gpu(reference, precision, small):
    """Packed rows with FlexAttention (LLaMA), compiled blocks, the loss in chunks."""
    net, encoder = load(reference)
    net = net.cuda()
    net.config.dropout_rate = 0.0
    data = steps(encoder)
    way, reason = fast.choose(net, data, precision)
    assert way and not reason
    assert isinstance(data.layout, fast.Padded if encoder.seq2seq else fast.Packed)


@pytest.mark.gpu
@pytest.mark.parametrize("reference", ["tiny:llama", "tiny:t5"])
def test_training_on_a_gpu_fast_and_plain_and_stopped(reference, tmp_path, monkeypatch):
    record, found = run(tmp_path / "fast", reference)
    assert record["path"] == "fast", record["path_reason"]
    off = SETTINGS.model_copy(update={"fast": False})
    plain, expected = run(tmp_path / "plain", reference, settings=off)
    assert record["dev_loss"] == pytest.approx(plain["dev_loss"], rel=0.02)
    # sums of gradients may be taken in another order each time
    stopped_as_uninterrupted(reference, tmp_path / "broken", found, monkeypatch, 1e-3)


@pytest.mark.gpu
def test_a_gpu_whose_memory_runs_out_does_a_step_in_more_passes(tmp_path, monkeypatch):
    settings = SETTINGS.model_copy(update={"accumulation": "auto", "fast": False})
    expected = run(tmp_path / "whole", settings=settings)[1]
    scarce(monkeypatch, 2)
    record, found = run(tmp_path / "scarce", settings=settings)
    assert record["passes"] == 2
    close(expected, found, 1e-3)
