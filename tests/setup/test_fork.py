"""A profile of one's own: what is written into it, and what is not."""

import re

import pytest
import yaml

from lib.common import paths, profile
from lib.common.errors import UserError
from lib.setup import fork

SETTING = re.compile(r"# (  )?[a-z_]+:( |$)")


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "OWN_PROFILES", tmp_path)
    return tmp_path


@pytest.mark.parametrize("parent", profile.names())
def test_every_comment_is_a_setting_of_the_parent(own, parent):
    """With all its comments taken away the new profile is still the same as the other."""
    path = fork.write("mine", profile.load(parent))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert path == own / "mine.yaml"
    assert sum(bool(SETTING.match(line)) for line in lines) > 25
    same = profile.load(parent).model_dump(exclude={"name", "description"})
    assert profile.load("mine").model_dump(exclude={"name", "description"}) == same
    lines = [line.removeprefix("# ") if SETTING.match(line) else line for line in lines]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert profile.load("mine").model_dump(exclude={"name", "description"}) == same


def test_what_the_comments_say(own):
    text = fork.write("mine", profile.load("cpu")).read_text(encoding="utf-8")
    assert "\n#   source: written   # generate | published | written\n" in text
    assert "\n#   accumulation: 1   # auto | a number\n" in text
    assert "# Which questions, and how many of each split (null = all).\n# task:\n" in text


@pytest.mark.parametrize("name", ["", "../x", "my profile", "1e5", "-x", "a.b", "é"])
def test_a_name_that_cannot_be_one(own, name):
    with pytest.raises(UserError, match="cannot name a profile"):
        fork.write(name, profile.load("cpu"))
    assert not list(own.iterdir())


def test_nothing_is_overwritten(own, capsys):
    """A name of the repository is taken, too; names that YAML reads as other things are texts."""
    for name in ("null", "mine"):
        fork.main([name, "--from", "smoke"])
        assert yaml.safe_load((own / f"{name}.yaml").read_text(encoding="utf-8"))["name"] == name
    assert f"Profile:  {own / 'mine.yaml'}" in capsys.readouterr().out
    for name, where in (("mine", own / "mine.yaml"), ("cpu", "notebooks/profiles/cpu.yaml")):
        with pytest.raises(SystemExit, match=f"{where} is there already"):
            fork.main([name])
    with pytest.raises(SystemExit, match="There is no profile 'cpux'"):
        fork.main(["other", "--from", "cpux"])
