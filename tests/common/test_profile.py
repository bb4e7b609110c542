"""Profiles: what is wrong is said in one sentence, before anything starts."""

import re

import pytest
import yaml

from lib.common import paths, profile
from lib.common.errors import UserError


@pytest.fixture
def edit(tmp_path):
    """Write a changed copy of smoke.yaml and parse it."""

    def parse(change):
        raw = yaml.safe_load((paths.PROFILES / "smoke.yaml").read_text(encoding="utf-8"))
        change(raw)
        path = tmp_path / "smoke.yaml"
        path.write_text(yaml.safe_dump(raw), encoding="utf-8")
        return profile.parse(path)

    return parse


@pytest.mark.parametrize("name", profile.names())
def test_every_profile_is_valid(name):
    assert profile.load(name).name == name


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda p: p.update(sead=1), "unknown key 'sead'; did you mean 'seed'?"),
        (
            lambda p: p["teacher"].update(shot=3),
            "unknown key 'teacher.shot'; did you mean 'shots'?",
        ),
        (lambda p: p["students"][0].update(rank=3), "unknown key 'students.0.rank'"),
        (
            lambda p: p["training"].update(learning_rate="1e-4"),
            r"training.learning_rate: .*number \(found '1e-4'\); write 1.0e-4\.$",
        ),
        (
            lambda p: p.update(variants={"a": {"learning_rate": "3E5"}}),
            r"'a': learning_rate: .*write 3.0e\+5\.$",
        ),
        (
            lambda p: p["training"].update(learning_rate="fast"),
            "found 'fast'.; correct it and try again",
        ),
        (
            lambda p: p["training"].update(learning_rate=float("inf")),
            "learning_rate: .*finite number",
        ),
        (lambda p: p["training"].update(steps=2.5), "training.steps: .*integer.*2.5"),
        (lambda p: p["training"].update(steps=0), "training.steps: .*greater than 0"),
        (lambda p: p.pop("task"), "'task' is missing; add it"),
        (lambda p: p.pop("name"), "'name' is missing; add it"),
        (lambda p: p.update({5: 1}), "unknown key '5'; known keys: name, description"),
        (lambda p: p["training"].update({5: 1}), "unknown key 'training.5'; known keys: steps"),
        (lambda p: p.update(variants={5: {"gamma": 0.3}}), "variants.5.*should be a valid string"),
        (lambda p: p.update(seed=2**32), "seed: .*less than 4294967296"),
        (lambda p: p.update(seeds=[0, -1]), "seeds.1: .*greater than or equal to 0"),
        (lambda p: p.update(seeds=[2**32]), "seeds.0: .*less than 4294967296"),
        (lambda p: p["students"][0].update(size="t5/small"), "students.0.size: .*pattern"),
        (lambda p: p["students"][0].update(size=""), "students.0.size: .*pattern"),
        (lambda p: p.update(arms=["MT"]), "arms: there is no 'MT'; there are label-only, CF:Un"),
        (lambda p: p.update(seeds=[0, 0]), "seeds: an entry stands twice"),
        (
            lambda p: p["evaluation"].update(also=[{"name": p["task"]["name"]}]),
            "name a task twice; name each",
        ),
        (
            lambda p: p["training"].update(accumulation=3),
            "batch_size must be a multiple of accumulation",
        ),
        (lambda p: p["training"].update(accumulation="some"), "training.accumulation"),
        (
            lambda p: p["students"][1].update(trainable_layers=1),
            "both lora_rank and trainable_layers",
        ),
        (lambda p: p["students"][0].update(base="4bit"), "base 4bit, which needs a lora_rank"),
        (
            lambda p: p["training"].update(rationales="none"),
            "training: rationales none changes nothing for these arms",
        ),
        (
            lambda p: p["training"].update(wrong_choice="random"),
            "random needs teacher.counterfactuals all",
        ),
        (
            lambda p: p.update(arms=["listwise:Unrevised"]),
            "listwise needs rationales of one prompt",
        ),
        (
            lambda p: p["training"].update(factual_from="counterfactual"),
            "needs teacher.counterfactuals all",
        ),
        (
            lambda p: p.update(variants={"a": {"gama": 1}}),
            "variants: 'a': unknown key 'gama'; did you mean 'gamma'.$",
        ),
        (
            lambda p: p.update(variants={"a": {"gamma": 2}}),
            "variants: 'a': gamma must be above 0 and below 1",
        ),
        (
            lambda p: (p["teacher"].update(source="written"), p["task"].update(name="yes")),
            "no task 'yes'",
        ),
        (
            lambda p: (p["teacher"].update(source="written"), p["task"].update(name="esnli")),
            "written takes a task that has written texts, .* 'esnli' from default has none",
        ),
        (
            lambda p: (
                p["teacher"].update(source="written", live=2, model=None),
                p["task"].update(source="folder:/x"),
            ),
            "teacher: a model is needed to generate texts",
        ),
        (lambda p: p["training"].update(alpha=0), "training: alpha must be above 0 and below 1"),
        (lambda p: p["training"].update(beta=1.0), "training: beta must be above 0 and below 1"),
        (lambda p: p.update(variants={"a, b": {}}), "variants: 'a, b': a name holds no comma"),
        (lambda p: p.update(name="other"), "name is 'other'; make it 'smoke'"),
    ],
)
def test_mistakes_are_sentences(edit, change, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        edit(change)
    assert "\n" not in str(error.value) and "smoke.yaml" in str(error.value)


def test_unknown_profile_suggests(tmp_path):
    with pytest.raises(UserError, match="no profile 'smok' .* did you mean 'smoke'"):
        profile.load("smok")
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: [", encoding="utf-8")
    with pytest.raises(UserError, match="not valid YAML near line"):
        profile.parse(bad)


@pytest.mark.parametrize("name, file", [("mine", "mine.yml"), ("mine.YAML", "mine.YAML")])
def test_a_file_with_another_ending_is_pointed_out(name, file, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PROFILES", tmp_path)
    (tmp_path / file).write_text("name: mine", encoding="utf-8")
    with pytest.raises(UserError, match=f"no profile '{name}' in .*; rename {file} to mine.yaml"):
        profile.load(name)


def test_a_profile_extends_another(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "extends: smoke\nname: mine\ndescription: d\nseeds: [5]\ntraining: {gamma: 0.9}\n",
        encoding="utf-8",
    )
    mine, smoke = profile.parse(path), profile.load("smoke")
    assert mine.seeds == [5] and mine.training.gamma == 0.9
    assert mine.training.model_copy(update={"gamma": smoke.training.gamma}) == smoke.training
    assert mine.students == smoke.students
    path.write_text("extends: smoky\nname: mine\n", encoding="utf-8")
    with pytest.raises(
        UserError, match="extends: 'smoky' is no other profile; did you mean 'smoke'"
    ):
        profile.parse(path)
    path.write_text("extends: smoke\ndescription: d\n", encoding="utf-8")
    with pytest.raises(UserError, match="mine.yaml: 'name' is missing; add it"):
        profile.parse(path)
    gamma = profile.load("ablation_gamma")
    assert [gamma.training_of(name).gamma for name in gamma.variants] == [0.1, 0.3, 0.5, 0.7, 0.9]


def test_sections_are_merged_however_deep(tmp_path, monkeypatch):
    def write(name, **more):
        (tmp_path / f"{name}.yaml").write_text(
            yaml.safe_dump({"name": name, **more}), encoding="utf-8"
        )

    smoke = yaml.safe_load((paths.PROFILES / "smoke.yaml").read_text(encoding="utf-8"))
    smoke["teacher"] |= {"engine": "server", "server": {"url": "http://a:1", "concurrency": 3}}
    smoke["variants"] = {"a": {"gamma": 0.3, "beta": 0.2}, "b": {"gamma": 0.4}}
    write("base", **{key: smoke[key] for key in smoke if key != "name"})
    write(
        "child",
        extends="base",
        arms=["label-only"],
        variants={"a": {"gamma": 0.7}},
        teacher={"max_new_tokens": {"revision": 12}, "server": {"url": "http://b:2"}},
    )
    monkeypatch.setattr(paths, "PROFILES", tmp_path)
    child = profile.load("child")
    assert child.teacher.max_new_tokens.model_dump() == {
        "explanation": 8,
        "counterfactual": 8,
        "critique": 8,
        "revision": 12,
    }
    assert (child.teacher.server.url, child.teacher.server.concurrency) == ("http://b:2", 3)
    assert child.teacher.shots == 2 and child.arms == ["label-only"]
    assert child.variants == {"a": {"gamma": 0.7}, "b": {"gamma": 0.4}}, (
        "a variant is replaced whole"
    )
    write("alone", extends="base", teacher={"engine": "local", "server": None})
    assert profile.load("alone").teacher.server is None


def test_a_file_that_is_not_utf8_is_a_sentence(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes("description: caf\u00e9".encode("latin-1"))
    with pytest.raises(UserError, match="mine.yaml is not UTF-8 .at byte 17.; save it as UTF-8"):
        profile.parse(path)
    path.write_text("\ufeffextends: smoke\nname: mine\n", encoding="utf-8")
    assert profile.parse(path).seeds == [0, 1]


def test_what_a_run_needs_is_inherited_and_in_no_key():
    subset = profile.load("smollm2_wrong_choice")
    assert (subset.needs.memory_gb, subset.needs.disk_gb, subset.needs.minutes) == (6.6, 3.2, 43)
    assert subset.needs.gpu_gb is None and profile.load("smollm2_rates").needs.gpu_gb == 40
    assert "needs" not in subset.model_dump() and profile.load("published").needs.memory_gb is None


def test_the_fast_path_is_a_setting_of_variants_too_and_in_no_key():
    settings = profile.load("ablation_gamma")
    off = settings.training.model_copy(update={"fast": False, "accumulation": "auto"})
    slow = settings.model_copy(update={"training": off})
    for name in settings.variants:
        found = slow.training_of(name)
        assert not found.fast and found.accumulation == "auto" and settings.training_of(name).fast
    assert "fast" not in slow.model_dump()["training"]


def test_profiles_in_a_folder_of_ones_own(tmp_path, monkeypatch):
    """They may extend the repository's, and each other; a name is only in one of the folders."""
    monkeypatch.setattr(paths, "OWN_PROFILES", tmp_path / "none")
    with pytest.raises(UserError, match="PROFILES=.*none is no folder"):
        profile.load("smoke")
    monkeypatch.setattr(paths, "OWN_PROFILES", tmp_path)
    for name, parent in (("mine", "smoke"), ("second", "mine")):
        text = f"name: {name}\nextends: {parent}\ndescription: my own\n"
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    assert {"mine", "second", "smoke", "cpu"} <= set(profile.names())
    assert profile.load("second").training == profile.load("smoke").training
    assert profile.ancestors("second") == ["mine", "smoke"]
    where = f"in notebooks/profiles or {tmp_path}; did you mean 'second'"
    with pytest.raises(UserError, match=re.escape(where)):
        profile.load("secnd")
    (tmp_path / "smoke.yaml").write_text("name: smoke\nextends: cpu\n", encoding="utf-8")
    with pytest.raises(UserError, match="has the name of notebooks/profiles/smoke.yaml; rename"):
        profile.load("smoke")
