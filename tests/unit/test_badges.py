"""lib.badges: repository and tag, written everywhere, once or anew."""

import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest

from lib import badges, paths

ROOT = Path(__file__).resolve().parents[2]
NAMES = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of all that badges writes, before they were written the first time."""
    (tmp_path / "notebooks").mkdir()
    for path in [ROOT / "pyproject.toml", ROOT / "README.md", *ROOT.glob("notebooks/*.ipynb")]:
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    for name, folder in {"ROOT": "", "BUILT": "", "NOTEBOOKS": "notebooks"}.items():
        monkeypatch.setattr(paths, name, tmp_path / folder)
    return tmp_path


def read(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.*")}


def test_everything_is_written_once_and_replaced(copy, capsys):
    assert badges.main(["first/one", "v1"]) is None
    assert capsys.readouterr().out.startswith("8 files written: pyproject.toml, README.md, ")
    assert badges.stored() == ("first/one", "v1")
    first = read(copy)
    times = {path: path.stat().st_mtime_ns for path in copy.rglob("*.*")}
    assert badges.main(["first/one", "v1"]) == badges.main([]) == badges.main(["", ""]) is None
    assert capsys.readouterr().out == 3 * (
        "Nothing changed.\nBadges open https://github.com/first/one at v1: commit, tag and push.\n")
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*.*")} == times
    assert badges.main(["Second/a.b_c", "2026.1-rc"]) is None
    second = read(copy)
    assert not any("first/one" in text for text in second.values())
    assert badges.main(["first/one", "v1"]) is None
    assert read(copy) == first


def test_what_is_written_where(copy):
    before = read(copy)
    badges.write("first/one", "v1")
    links = {name: "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
             "(https://colab.research.google.com/github/first/one/blob/v1/notebooks/"
             f"{name}.ipynb)" for name in NAMES}
    readme = (copy / "README.md").read_text()
    for name, link in links.items():
        path = copy / f"notebooks/{name}.ipynb"
        nb = nbformat.read(path, as_version=nbformat.NO_CONVERT)
        nbformat.validate(nb)
        title, badge, rest = nb.cells[0].source.split("\n\n", 2)
        assert title.startswith(f"# {name[:2]} ") and badge == link and rest.startswith("**Shows**")
        assert readme.count(link) == 1
        assert f"[{name[:2]}](notebooks/{name}.ipynb) {link}" in readme
        door = [cell.source for cell in nb.cells if cell.cell_type == "code"][1]
        assert 'url, tag = "https://github.com/first/one", "v1"  # of the repository' in door
        compile(door, name, "exec")
        old = json.loads(before[f"notebooks/{name}.ipynb"])
        new = json.loads(path.read_text())
        pairs = enumerate(zip(old["cells"], new["cells"], strict=True))
        assert [place for place, (one, other) in pairs if one != other] == [0, 4]
    lines = (copy / "pyproject.toml").read_text().splitlines()
    assert 'repository = "first/one"' in lines and 'tag = "v1"' in lines
    assert len(lines) == len(before["pyproject.toml"].splitlines())


@pytest.mark.parametrize("repository, tag, sentence", [
    ("", "v1", "Name the repository and its tag: make badges REPO=owner/name TAG=v1"),
    ("a/b", "", "Name the repository and its tag: make badges REPO=owner/name TAG=v1"),
    ("https://github.com/a/b", "v1", "'https://github.com/a/b' is no repository of GitHub; write "
     "REPO=owner/name, without an address and without .git."),
    ("a", "v1", "'a' is no repository"), ("a/b.git", "v1", "'a/b.git' is no repository"),
    ("a/..", "v1", "'a/..' is no repository"), ("-a/b", "v1", "'-a/b' is no repository"),
    ('a/b"', "v1", "'a/b\"' is no repository"), ("a/b\n", "v1", "'a/b\n' is no repository"),
    ("a/b", "v 1", "'v 1' is no tag that the badges can name; write letters, digits, '.', '_' and "
     "'-', such as TAG=v1."),
    ("a/b", "-v1", "'-v1' is no tag"), ("a/b", "v1/x", "'v1/x' is no tag"),
    ("a/b", "v1..2", "'v1..2' is no tag"), ("a/b", "v1.lock", "'v1.lock' is no tag")])
def test_a_wrong_form_is_one_sentence_and_changes_nothing(copy, repository, tag, sentence):
    if badges.stored()[0]:
        pytest.skip("badges were written: an empty argument stands for what is stored")
    before = read(copy)
    with pytest.raises(SystemExit, match=f"^{re.escape(sentence)}"):
        badges.main([repository, tag])
    assert read(copy) == before


def test_a_notebook_without_the_door_stops_before_anything_is_written(copy):
    path = copy / "notebooks/06_tradeoff.ipynb"
    path.write_text(path.read_text().replace("url, tag = ", "u, t = "))
    before = read(copy)
    with pytest.raises(SystemExit) as stopped:
        badges.main(["a/b", "v1"])
    assert stopped.value.code == (
        "The second code cell of notebooks/06_tradeoff.ipynb has no line 'url, tag = \"\", \"\"'; "
        "copy that cell from another notebook.")
    assert read(copy) == before
