"""Every notebook keeps the house rules: thin, without outputs, prose before each code cell."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROSE = re.compile(r"[A-Za-z]{2,}")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


@pytest.fixture
def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert {"05_human_study", "06_tradeoff"} <= {path.stem for path in NOTEBOOKS}


def test_format_kernel_and_ids(path, notebook):
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}  # no widgets, no machine
    assert [cell.id for cell in notebook.cells] == [
        f"cell-{number:02d}" for number in range(1, len(notebook.cells) + 1)
    ]
    assert path.read_text(encoding="utf-8").endswith("}\n")


def test_no_outputs(code):
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


def test_cells_are_short_and_hold_no_definitions_and_no_magic(code):
    for cell in code:
        lines = cell.source.strip().splitlines()
        assert 1 <= len(lines) <= 15, cell.source
        assert not any(line.lstrip().startswith(("!", "%")) for line in lines), cell.source
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        assert not any(isinstance(node, kinds) for node in ast.walk(ast.parse(cell.source)))


def test_a_few_words_stand_before_each_code_cell(notebook):
    first = next(i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    for i, (before, cell) in enumerate(zip(notebook.cells, notebook.cells[1:], strict=False)):
        if cell.cell_type == "code":
            assert before.cell_type == "markdown" and PROSE.search(before.source), cell.source
            assert i < first or len(before.source.split()) <= 40, before.source


def test_a_takeaway_and_a_link_to_the_next_stand_at_the_end(path, notebook):
    assert [cell.cell_type for cell in notebook.cells[-3:]] == ["markdown", "code", "markdown"]
    assert notebook.cells[-3].source == "**Takeaway**"
    following = next((other for other in NOTEBOOKS if other.name > path.name), None)
    assert (following or Path("../README.md")).name in notebook.cells[-1].source


def test_the_first_cell_says_what_is_shown_made_and_needed(path, notebook):
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith(f"# {path.stem[:2]} ")
    for word in ("figures", "inputs → outputs", "time and memory"):
        assert word in first.source


def test_parameters_come_first_then_the_door_and_the_stage(path, code):
    assert not any(cell.metadata.get("tags") for cell in code[1:])
    assert code[0].metadata.tags == ["parameters"]
    assert 'profile = "cpu"  # str: name of a file in notebooks/profiles' in code[0].source
    for line in code[0].source.splitlines():
        assert re.fullmatch(r"\w+ = .+  # (str|int|float|bool|list|dict): .+", line), line
    assert code[1].source.endswith('["prepare"](profile, drive=False)')
    assert 'sys.path.insert(0, "..")' in code[2].source
    assert f'stage = Stage("{path.stem}", profile)' in code[2].source


def test_the_door_is_the_same_in_all(code):
    first = nbformat.read(NOTEBOOKS[0], as_version=nbformat.NO_CONVERT)
    assert code[1].source == [cell for cell in first.cells if cell.cell_type == "code"][1].source


def test_every_figure_is_in_the_list_of_figures(path, notebook, code):
    listed = (ROOT / "figures" / "README.md").read_text(encoding="utf-8").splitlines()
    for cell in code:
        for name in re.findall(r'style\.save\(\s*\w+, "(\w+)"', cell.source):
            assert any(f"`{name}`" in row and f"| {path.stem[:2]} |" in row for row in listed)
            assert f"`{name}`" in notebook.cells[0].source
