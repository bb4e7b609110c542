"""What JupyterLab saves when it is started by ``make lab``, without a browser."""

import re
import shutil
from pathlib import Path

import pytest
from jupyter_server.services.contents.largefilemanager import LargeFileManager

from lib.common import paths

MAKEFILE = (paths.ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Saves 03 in a folder as JupyterLab does once it was run and looked at, with a change if one
    is given; returns the file before and after."""
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "notebooks")
    hook = re.search(r"--FileContentsManager.pre_save_hook=(\S+)", MAKEFILE)[1]
    manager = LargeFileManager(root_dir=str(tmp_path), pre_save_hook=hook)

    def save(folder: str, change=None) -> tuple[bytes, bytes]:
        path = tmp_path / folder / "03_training.ipynb"
        path.parent.mkdir(parents=True)
        shutil.copy(Path(paths.ROOT, "notebooks", path.name), path)
        before, model = path.read_bytes(), manager.get(f"{folder}/{path.name}")
        notebook = model["content"]
        notebook["metadata"]["language_info"] |= {"version": "3.12.1", "mimetype": "text/x-python"}
        notebook["metadata"]["kernelspec"]["display_name"] = "Python 3 (ipykernel)"
        for cell in notebook["cells"]:
            cell["metadata"] |= {"scrolled": True, "trusted": True}
            if cell["cell_type"] == "code":
                output = {"output_type": "stream", "name": "stdout", "text": "hello\n"}
                cell |= {"execution_count": 7, "outputs": [output]}
        if change:
            change(notebook["cells"])
        manager.save(model, f"{folder}/{path.name}")
        return before, path.read_bytes()

    return save


def test_a_notebook_that_was_only_run_is_the_same_file(saved):
    before, after = saved("notebooks")
    assert before == after


def test_a_changed_cell_is_kept(saved):
    def change(cells):
        cells[2]["source"] = 'profile = "smoke"'

    before, after = saved("notebooks", change)
    lines = set(after.decode().splitlines()) - set(before.decode().splitlines())
    assert lines == {'    "profile = \\"smoke\\""'}


def test_executed_copies_keep_their_outputs(saved):
    _, after = saved("data/runs/cpu/notebooks")
    assert b"hello" in after and b"3.12.1" in after
