"""Writes where the notebooks are published: ``python -m lib.badges owner/name v1``.

Repository and tag go to pyproject.toml, the badge "Open in Colab" to every notebook's first cell
and to README's list of notebooks, the address to clone to the notebooks' second code cell. Without
arguments the values in pyproject.toml are written once more. Publish in this order: badges,
commit, tag, push.
"""

import re
import sys
import tomllib

import nbformat

from lib import paths, store
from lib.errors import UserError, command_line

PYPROJECT = "pyproject.toml"  # [tool.compendium]: the one place that keeps repository and tag
GITHUB = "https://github.com"
COLAB = "https://colab.research.google.com"
BADGE = r"\[!\[Open in Colab\]\([^)\s]*\)\]\([^)\s]*\)"
DOOR = re.compile(r'^url, tag = "[^"\n]*", "[^"\n]*"', re.M)  # a line of the second code cell


def stored() -> tuple[str, str]:
    """Repository (owner/name) and tag in pyproject.toml; both empty before they were written."""
    table = tomllib.loads((paths.ROOT / PYPROJECT).read_text())["tool"]["compendium"]
    return table["repository"], table["tag"]


def check(repository: str, tag: str) -> None:
    """UserError unless both have the form that GitHub and git give them."""
    if not repository or not tag:
        raise UserError("Name the repository and its tag: make badges REPO=owner/name TAG=v1")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*/(?!\.{1,2}$)[\w.-]+", repository, re.ASCII) \
            or repository.endswith(".git"):
        raise UserError(f"'{repository}' is no repository of GitHub; write REPO=owner/name, "
                        "without an address and without .git.")
    if not re.fullmatch(r"\w[\w.-]*", tag, re.ASCII) or ".." in tag or tag.endswith((".", ".lock")):
        raise UserError(f"'{tag}' is no tag that the badges can name; write letters, digits, '.', "
                        "'_' and '-', such as TAG=v1.")


def badge(repository: str, tag: str, notebook: str) -> str:
    """Markdown of the badge that opens a notebook (such as 04_evaluation) of the tag in Colab."""
    return (f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]"
            f"({COLAB}/github/{repository}/blob/{tag}/notebooks/{notebook}.ipynb)")


def in_notebook(text: str, repository: str, tag: str, notebook: str) -> str:
    """A notebook's JSON with the badge below its title and the address in its second code cell."""
    nb = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    title, _, rest = nb.cells[0].source.partition("\n\n")
    rest = re.sub(rf"\A{BADGE}\n\n", "", rest)
    nb.cells[0].source = f"{title}\n\n{badge(repository, tag, notebook)}\n\n{rest}"
    door = [cell for cell in nb.cells if cell.cell_type == "code"][1]
    door.source, count = DOOR.subn(f'url, tag = "{GITHUB}/{repository}", "{tag}"', door.source)
    if count != 1:
        raise UserError(f"The second code cell of notebooks/{notebook}.ipynb has no line "
                        "'url, tag = \"\", \"\"'; copy that cell from another notebook.")
    return nbformat.writes(nb) + "\n"


def in_readme(text: str, repository: str, tag: str) -> str:
    """README with the badge behind a notebook's first link, [04](notebooks/04_evaluation.ipynb)."""
    seen = set()

    def mark(link: re.Match) -> str:
        first = link[2] not in seen
        seen.add(link[2])
        return f"{link[1]} {badge(repository, tag, link[2])}" if first else link[1]

    return re.sub(rf"(\[\d\d\]\(notebooks/(\w+)\.ipynb\))( {BADGE})?", mark, text)


def in_pyproject(text: str, repository: str, tag: str) -> str:
    """pyproject.toml with both values in [tool.compendium]."""
    head, mark, rest = text.partition("[tool.compendium]\n")
    for name, value in (("repository", repository), ("tag", tag)):
        rest = re.sub(rf'^{name} = "[^"\n]*"', f'{name} = "{value}"', rest, count=1, flags=re.M)
    return head + mark + rest


def write(repository: str, tag: str) -> list[str]:
    """Write both everywhere; returns the files that this changed. UserError if their form is wrong.

    Every text is made before the first is written, so that a mistake leaves all as it was.
    """
    check(repository, tag)
    files = {paths.ROOT / PYPROJECT: in_pyproject, paths.ROOT / "README.md": in_readme}
    old = {path: path.read_text() for path in [*files, *sorted(paths.NOTEBOOKS.glob("*.ipynb"))]}
    new = {path: files[path](text, repository, tag) if path in files else
           in_notebook(text, repository, tag, path.stem) for path, text in old.items()}
    for path, text in new.items():
        store.write_text(path, text, keep_if_same=True)
    return [paths.shown(path) for path in new if new[path] != old[path]]


@command_line
def main(arguments: list[str] | None = None) -> None:
    """Command line: owner/name and tag, each empty for the one that is written now."""
    given = [*(sys.argv[1:] if arguments is None else arguments), "", ""]
    known = stored()
    repository, tag = given[0] or known[0], given[1] or known[1]
    changed = write(repository, tag)
    print(f"{len(changed)} files written: {', '.join(changed)}" if changed else "Nothing changed.")
    print(f"Badges open {GITHUB}/{repository} at {tag}: commit, tag and push.")


if __name__ == "__main__":
    main()
