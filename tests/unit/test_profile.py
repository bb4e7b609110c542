"""Profiles: what is wrong is said in one sentence, before anything starts."""

import pytest
import yaml

from lib import paths, profile
from lib.errors import UserError


@pytest.fixture
def edit(tmp_path):
    """Write a changed copy of smoke.yaml and parse it."""
    def parse(change):
        raw = yaml.safe_load((paths.PROFILES / "smoke.yaml").read_text())
        change(raw)
        path = tmp_path / "smoke.yaml"
        path.write_text(yaml.safe_dump(raw))
        return profile.parse(path)
    return parse


@pytest.mark.parametrize("name", profile.names())
def test_every_profile_is_valid(name):
    assert profile.load(name).name == name


@pytest.mark.parametrize(("change", "sentence"), [
    (lambda p: p.update(sead=1), "unknown key 'sead'; did you mean 'seed'?"),
    (lambda p: p["teacher"].update(shot=3), "unknown key 'teacher.shot'; did you mean 'shots'?"),
    (lambda p: p["students"][0].update(rank=3), "unknown key 'students.0.rank'"),
    (lambda p: p["training"].update(learning_rate="1e-5"), "training.learning_rate: .*number.*'1e-5'"),
    (lambda p: p["training"].update(steps=2.5), "training.steps: .*integer.*2.5"),
    (lambda p: p["training"].update(steps=0), "training.steps: .*greater than 0"),
    (lambda p: p.pop("task"), "task: Field required"),
    (lambda p: p.update(arms=["MT"]), "arms: 'MT' is not one of label-only, CF:Unrevised"),
    (lambda p: p.update(seeds=[0, 0]), "seeds: an entry stands twice"),
    (lambda p: p["evaluation"].update(also=[{"name": p["task"]["name"]}]), "name a task twice; name each"),
    (lambda p: p["training"].update(accumulation=3), "batch_size must be a multiple of accumulation"),
    (lambda p: p["students"][1].update(trainable_layers=1), "both lora_rank and trainable_layers"),
    (lambda p: p["students"][0].update(base="4bit"), "base 4bit, which needs a lora_rank"),
    (lambda p: p["training"].update(wrong_choice="random"), "random needs teacher.counterfactuals all"),
    (lambda p: p["training"].update(factual_from="counterfactual"), "needs teacher.counterfactuals all"),
    (lambda p: p.update(variants={"a": {"gama": 1}}), "variants: 'a': gama: Extra inputs"),
    (lambda p: p.update(variants={"a": {"gamma": 2}}), "variants: 'a': gamma: .*less than or equal to 1"),
    (lambda p: p.update(variants={"a, b": {}}), "variants: 'a, b': a name holds no comma"),
    (lambda p: p.update(name="other"), "name is 'other'; make it 'smoke'"),
])
def test_mistakes_are_sentences(edit, change, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        edit(change)
    assert "\n" not in str(error.value) and "smoke.yaml" in str(error.value)


def test_unknown_profile_suggests(tmp_path):
    with pytest.raises(UserError, match="no profile 'smok' .* did you mean 'smoke'"):
        profile.load("smok")
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: [")
    with pytest.raises(UserError, match="not valid YAML near line"):
        profile.parse(bad)


def test_a_profile_extends_another(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("extends: smoke\nname: mine\ndescription: d\nseeds: [5]\ntraining: {gamma: 0.9}\n")
    mine, smoke = profile.parse(path), profile.load("smoke")
    assert mine.seeds == [5] and mine.training.gamma == 0.9
    assert mine.training.model_copy(update={"gamma": smoke.training.gamma}) == smoke.training
    assert mine.students == smoke.students
    path.write_text("extends: smoky\nname: mine\n")
    with pytest.raises(UserError, match="extends: 'smoky' is no other profile; there are"):
        profile.parse(path)
    gamma = profile.load("ablation_gamma")
    assert [gamma.training_of(name).gamma for name in gamma.variants] == [0.1, 0.3, 0.5, 0.7, 0.9]
