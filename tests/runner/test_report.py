"""The report's page: what it shows and links, and that it is written only when that changed."""

import json
import re
from html.parser import HTMLParser

import nbformat
import pandas as pd
import pytest
from PIL import Image

from lib.common import files, paths, profile
from lib.common.errors import UserError
from lib.runner import report, summary

STAGE = "05_human_study"
EVIL = "<script>alert(1)</script>"


def write_copy(name: str, text: str) -> None:
    """An executed notebook that printed a text."""
    made = {"wall_seconds": 61, "commit": "abc", "cpu": "A cpu", "cores": 2}
    nb = nbformat.v4.new_notebook(metadata={"honey": made})
    output = nbformat.v4.new_output("stream", name="stdout", text=text)
    code = nbformat.v4.new_code_cell("print()", outputs=[output])
    text = "# Ratings & more\n\n[a module](../lib/__init__.py), [06](06_tradeoff.ipynb)"
    nb.cells = [nbformat.v4.new_markdown_cell(text), code]
    files.write_text(paths.RUNS / f"smoke/notebooks/{name}.ipynb", nbformat.writes(nb))


def draw(name: str, title: str) -> None:
    """A figure with its record."""
    figures = paths.FIGURES / "smoke"
    record = {"notebook": f"notebooks/{STAGE}.ipynb", "title": title, "command": "make 05"}
    files.write_json(figures / f"{name}.json", record)
    Image.new("RGB", (400, 300)).save(figures / f"{name}.png")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run with one notebook, three figures, findings and students' texts with markup in them."""
    for name, folder in {"BUILT": "", "RUNS": "data/runs", "FIGURES": "figures"}.items():
        monkeypatch.setattr(paths, name, tmp_path / folder)
    monkeypatch.setattr(report, "READING", tmp_path / "README.md")
    table = f"| `power` | 05 | a curve |\n| `a_figure`, `another` | 05 | of `x` {EVIL} |\n"
    files.write_text(report.READING, table)
    write_copy(STAGE, "<b>bold</b>")
    home = paths.RUNS / "smoke"
    findings = pd.DataFrame({"finding": [EVIL], "number": ["a < b"], "holds": ["open"]})
    files.write_csv(home / summary.TABLES["ratings"], findings)
    answers = pd.DataFrame(
        {"id": ["1", "1", "2"], "arm": ["label-only", "MT", "MT"], "size": "1M", "seed": 0}
        | {"question": f"Why {EVIL}?", "choices": [["a", EVIL]] * 3, "gold": 1}
        | {"answered": pd.array([1, None, 0], "Int64"), "correct": [True, False, False]}
        | {"explanation": [None, EVIL, "Because."]}
    )
    (home / "04_evaluation").mkdir()
    answers.to_parquet(home / summary.TABLES["predictions"])
    for name, title in {"a_figure": f"Of {EVIL}", "b": "B", "power": "SIMULATED: power"}.items():
        draw(name, title)
    return home


def build() -> str:
    return report.build(profile.load("smoke")).read_text(encoding="utf-8")


def test_what_is_found_stands_first_and_all_is_linked(run):
    page = build()
    heads = re.findall(r"<section id=\"(\w+)\"", page)
    assert heads == ["found", "paper", "explanations", "figures", "notebooks", "made"]
    assert re.findall(r'href="#(\w+)"', page) == heads
    assert "<td>a &lt; b</td>" in page and "○ open" in page
    assert f'<a href="{STAGE}.html">Ratings &amp; more</a>' in page and "1m01s" in page
    assert "<dt>Commit</dt><dd>abc</dd>" in page and "<dd>A cpu</dd>" in page
    assert "make reproduce PROFILE=smoke" in page and "numbers of this run mean nothing" in page
    address = "../../../../figures/smoke/a_figure.png"
    assert f'src="{address}" width="220" height="165"' in page
    assert (run / "report" / address).is_file()
    copy = (run / "report" / f"{STAGE}.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;bold&lt;/b&gt;" in copy and "<b>bold" not in copy
    assert not re.search(r'(src|href)="(https?:)?//', page + copy)


def test_no_text_of_models_or_people_becomes_markup(run):
    """And no tag is left open or closed twice."""

    class Tags(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.scripts = [], 0

        def handle_starttag(self, tag, attrs):
            self.scripts += tag == "script"
            if tag not in ("meta", "img", "br", "line", "circle"):
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

        def handle_startendtag(self, tag, attrs):
            pass

    page, tags = build(), Tags()
    tags.feed(page)
    assert tags.scripts == 1 and not tags.open and EVIL not in page
    assert page.count("&lt;script&gt;alert(1)") > 5


def test_figures_in_reading_order_with_their_sentence(run):
    page = build()
    assert re.findall(r'<figure id="(\w+)"', page) == ["power", "a_figure", "b"]
    assert '<figure id="power" class="simulated">' in page
    assert "of x &lt;script&gt;" in page and 'alt="SIMULATED: power. a curve"' in page


def test_explanations_can_be_read_and_filtered_by_arm_and_by_right_and_wrong(run):
    page = build()
    assert page.count('<article class="card">') == 2 and "<option>MT</option>" in page
    replies = re.findall(r'class="reply" data-arm="(.*?)" data-correct="(.*?)"', page)
    assert replies == [("label-only", "right"), ("MT", "wrong"), ("MT", "wrong")]
    assert "no answer read ✗" in page and "– Because." in page


def test_questions_of_others_are_not_shown(run):
    settings = profile.load("smoke")
    others = profile.TaskSettings(name="strategyqa", source="published")
    found = report.cards(settings.model_copy(update={"task": others}))
    assert found == [] and not report.why_private(settings)
    sentence = report.why_private(settings.model_copy(update={"task": others}))
    assert sentence.startswith("The questions of strategyqa are not ours to copy")


def test_notebooks_lead_to_the_index_and_to_their_neighbours(run):
    build()
    page = run / "report" / f"{STAGE}.html"
    assert re.findall(r'<a href="(\w+).html">', page.read_text(encoding="utf-8")) == ["index"]
    write_copy("06_tradeoff", "x")
    build()
    text = page.read_text(encoding="utf-8")
    assert '<a href="06_tradeoff.html">06_tradeoff →</a>' in text
    assert '<a href="06_tradeoff.html">06</a>' in text
    (module,) = re.findall(r'<a href="([^"]+)">a module</a>', text)
    assert (page.parent / module).resolve() == paths.LIB / "__init__.py"
    after = page.with_name("06_tradeoff.html").read_text(encoding="utf-8")
    assert f'<a href="{STAGE}.html">← {STAGE}</a>' in after and 'href="index.html"' in after


def test_nothing_is_written_twice_and_only_what_changed(run, monkeypatch):
    converted, convert = [], report.convert

    def note(executed, *more):
        converted.append(executed.stem)
        convert(executed, *more)

    monkeypatch.setattr(report, "convert", note)
    settings = profile.load("smoke")
    index = report.build(settings)
    before = index.stat().st_mtime_ns
    assert report.build(settings).stat().st_mtime_ns == before and converted == [STAGE]
    record = paths.FIGURES / "smoke/b.json"
    record.write_text(
        json.dumps(json.loads(record.read_text(encoding="utf-8")) | {"title": "Another"}),
        encoding="utf-8",
    )
    assert "Another" in build() and converted == [STAGE]
    write_copy("06_tradeoff", "x")
    write_copy(f"{STAGE}.failed", "x")
    page = build()
    assert converted == [STAGE, STAGE, "06_tradeoff"]  # its link to the next one is new
    assert f"{STAGE} did not finish the last time" in page
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
