"""What JupyterLab saves of a source notebook (``make lab``): its cells, not their outputs."""

from pathlib import Path

from lib.common import paths


def before_saving(model: dict, path: str, contents_manager, **_) -> None:
    """Jupyter's ``pre_save_hook``: takes outputs, counts and traces of the machine out of a
    notebook of the folder notebooks, so that one whose cells are as before is the same file.

    ``path``: below the folder that the server shows.
    """
    place = Path(contents_manager.root_dir, path).resolve()
    if model["type"] != "notebook" or place.parent != paths.NOTEBOOKS.resolve():
        return
    notebook = model["content"]
    notebook["metadata"] = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags")
        cell["metadata"] = {"tags": tags} if tags else {}
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
