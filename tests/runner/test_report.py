"""The report's page: what it shows and links, and that it is written only when that changed."""

import json
import re

import nbformat
import pandas as pd
import pytest
from PIL import Image

from lib.common import files, paths, profile
from lib.common.errors import UserError
from lib.runner import report

STAGE = "05_human_study"


def write_copy(name: str, text: str) -> None:
    """An executed notebook that printed a text."""
    nb = nbformat.v4.new_notebook(metadata={"honey": {"wall_seconds": 61, "commit": "abc"}})
    output = nbformat.v4.new_output("stream", name="stdout", text=text)
    code = nbformat.v4.new_code_cell("print()", outputs=[output])
    nb.cells = [nbformat.v4.new_markdown_cell("# Ratings & more\n\nText"), code]
    files.write_text(paths.RUNS / f"smoke/notebooks/{name}.ipynb", nbformat.writes(nb))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run with one notebook, one figure and the table of findings."""
    for name, folder in {"BUILT": "", "RUNS": "data/runs", "FIGURES": "figures"}.items():
        monkeypatch.setattr(paths, name, tmp_path / folder)
    write_copy(STAGE, "<b>bold</b>")
    findings = pd.DataFrame({"finding": ["a < b"], "value": [0.12345], "none": [None]})
    files.write_csv(paths.RUNS / f"smoke/{STAGE}/findings.csv", findings)
    figures = paths.FIGURES / "smoke"
    record = {"notebook": f"notebooks/{STAGE}.ipynb", "title": "Of <it>", "command": "make 05"}
    files.write_json(figures / "a figure.json", record)
    Image.new("RGB", (400, 300)).save(figures / "a figure.png")
    return paths.RUNS / "smoke"


def test_the_page(run):
    index = report.build(profile.load("smoke"))
    page = index.read_text(encoding="utf-8")
    assert f'<a href="{STAGE}.html">{STAGE}</a></td><td>Ratings &amp; more</td>' in page
    assert "<td>1m01s</td>" in page and "<b>Of &lt;it&gt;</b>" in page and "make 05" in page
    assert "<td>a &lt; b</td>\n      <td>0.123</td>\n      <td></td>" in page
    address = "../../../../figures/smoke/a%20figure.png"
    assert f'src="{address}"' in page and "width: 220px" in page
    assert (index.parent / address.replace("%20", " ")).is_file()
    copy = (index.parent / f"{STAGE}.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;bold&lt;/b&gt;" in copy and "<b>bold" not in copy
    assert not re.search(r'(src|href)="(https?:)?//', page + copy)


def test_nothing_is_written_twice_and_only_what_changed(run, monkeypatch):
    converted, convert = [], report.convert

    def note(executed, page):
        converted.append(executed.stem)
        convert(executed, page)

    monkeypatch.setattr(report, "convert", note)
    settings = profile.load("smoke")
    index = report.build(settings)
    before = index.stat().st_mtime_ns
    assert report.build(settings).stat().st_mtime_ns == before and converted == [STAGE]
    record = paths.FIGURES / "smoke/a figure.json"
    record.write_text(
        json.dumps(json.loads(record.read_text(encoding="utf-8")) | {"title": "Another"}),
        encoding="utf-8",
    )
    assert "Another" in report.build(settings).read_text(encoding="utf-8") and converted == [STAGE]
    write_copy("06_tradeoff", "x")
    write_copy(f"{STAGE}.failed", "x")
    page = report.build(settings).read_text(encoding="utf-8")
    assert converted == [STAGE, "06_tradeoff"] and f"{STAGE} did not finish the last time" in page
    for path in run.glob(f"notebooks/{STAGE}*"):
        path.unlink()
    report.build(settings)
    assert sorted(path.name for path in index.parent.glob("*.html")) == [
        "06_tradeoff.html",
        "index.html",
    ]


def test_without_a_run_there_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    with pytest.raises(UserError, match="run make reproduce PROFILE=smoke first"):
        report.build(profile.load("smoke"))
