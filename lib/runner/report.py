"""The report of a run: ``python -m lib.runner.report cpu`` writes data/runs/cpu/report/index.html.

One page with every executed notebook (as HTML, beside it) and every figure with the table behind it
and where it comes from. Nothing is executed; what is up to date is not written again.
"""

import argparse
import itertools
import os
import sys
from html import escape
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from lib.common import files as store
from lib.common import paths, profile
from lib.common.errors import UserError, command_line
from lib.common.profile import Profile
from lib.common.progress import duration

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="inputs" content="{inputs}">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 70rem; margin: 2rem auto;
  padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; }} h2 {{ font-size: 1.15rem; margin-top: 2.5rem; }}
h3 {{ font-size: 1rem; margin: 2rem 0 .5rem; }} .table {{ overflow-x: auto; }}
table {{ border-collapse: collapse; }} td, th {{ padding: .3rem .8rem .3rem 0; text-align: left; }}
th {{ border-bottom: 1px solid #999; font-weight: 600; }}
.figures {{ display: flex; flex-wrap: wrap; gap: 2rem; align-items: start; }}
figure {{ margin: 0; max-width: 100%; }} figure img {{ max-width: 100%; border: 1px solid #ddd; }}
figcaption {{ font-size: .85rem; color: #555; overflow-wrap: anywhere; }}
figcaption b {{ color: #222; font-size: .95rem; }}
</style></head><body>
<h1>{title}</h1>
<p>{description}</p>
<h2>Notebooks</h2>
<div class="table"><table>
<tr><th>notebook</th><th>title</th><th>time</th><th>memory</th><th>commit</th></tr>
{notebooks}
</table></div>
{failed}{students}{statistics}
<h2>Figures</h2>
{figures}
</body></html>
"""


def build(settings: Profile) -> Path:
    """Write the report of a profile's run and return its index page; nothing if it is up to date.

    UserError if nothing has been run yet.
    """
    run, drawn = profile.run_folder(settings), paths.FIGURES / settings.name
    folder = run / "report"
    index = folder / "index.html"
    notebooks = sorted(
        path
        for path in (run / "notebooks").glob("[0-9]*.ipynb")
        if not path.name.endswith(".failed.ipynb")
    )
    failed = sorted((run / "notebooks").glob("[0-9]*.failed.ipynb"))
    if not notebooks:
        raise UserError(
            f"Nothing has been run with profile '{settings.name}' yet; run "
            f"make reproduce PROFILE={settings.name} first."
        )
    figures = sorted(drawn.glob("*.json"), key=lambda path: (_made_by(path), path.name))
    inputs = [Path(__file__), *notebooks, *failed, *sorted(drawn.glob("*"))]
    key = store.key_of([[path.name, path.stat().st_mtime_ns] for path in inputs])
    pages = [folder / f"{path.stem}.html" for path in notebooks]
    if (
        index.is_file()
        and f'content="{key}"' in index.read_text(encoding="utf-8")
        and all(page.is_file() for page in pages)
    ):
        return index
    rows = [_notebook(path, page) for path, page in zip(notebooks, pages, strict=True)]
    for page in set(folder.glob("*.html")) - {index, *pages}:
        page.unlink()
    statistics = run / "statistics.csv"
    store.write_text(
        index,
        PAGE.format(
            title=escape(f"Honey, I Shrunk the Language Model: run '{settings.name}'"),
            inputs=key,
            description=escape(settings.description),
            notebooks="\n".join(rows),
            failed="".join(
                f"<p>{escape(path.name.split('.')[0])} did not finish the last time: "
                f"{_link(path, folder)}</p>\n"
                for path in failed
            ),
            statistics=f"<p>All statistics of the run: {_link(statistics, folder)}</p>\n"
            if statistics.is_file()
            else "",
            students=_students(run / "04_evaluation" / "students.csv"),
            figures="\n".join(
                f'<h3>{escape(notebook)}</h3>\n<div class="figures">\n'
                + "\n".join(_figure(path, folder) for path in records)
                + "\n</div>"
                for notebook, records in itertools.groupby(figures, _made_by)
            ),
        ),
    )
    return index


def _notebook(executed: Path, page: Path) -> str:
    """One row of the table; the page is written if it is older than the executed notebook (whose
    own time lib.runner.run sets back)."""
    nb = store.read_json(executed, "make reproduce")
    if not page.is_file() or page.stat().st_mtime_ns < executed.stat().st_ctime_ns:
        _convert(executed, page)
    made = nb["metadata"].get("honey", {})
    text = "".join(nb["cells"][0]["source"]) if nb["cells"] else ""
    title = text.strip().split("\n")[0].lstrip("# ") or executed.stem
    memory = made.get("peak_memory_gb")
    cells = [
        f'<a href="{quote(page.name)}">{escape(executed.stem)}</a>',
        escape(title),
        duration(made["wall_seconds"]) if "wall_seconds" in made else "",
        f"{memory} GB" if memory else "",
        escape(str(made.get("commit", ""))),
    ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _convert(executed: Path, page: Path) -> None:
    """An executed notebook as one HTML file that loads nothing from elsewhere."""
    sys.modules.setdefault("rfc3987_syntax", None)  # as in lib.runner.run: saves 1 s
    import nbformat
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(mathjax_url="", require_js_url="", jquery_url="", mermaid_js_url="")
    html, _ = exporter.from_notebook_node(
        nbformat.read(executed, as_version=4), {"metadata": {"name": executed.stem}}
    )
    store.write_text(page, html)


def _figure(record: Path, folder: Path) -> str:
    """One figure with its caption, from the record that lies beside it."""
    made = store.read_json(record, "its notebook")
    files = {kind: record.with_suffix(f".{kind}") for kind in ("png", "pdf", "csv")}
    title = escape(str(made.get("title", record.stem)))
    notebook = _made_by(record)
    links = [f'<a href="{quote(notebook)}.html">{escape(notebook)}</a>']
    links += [
        _link(path, folder, name)
        for name, path in (("table", files["csv"]), ("PDF", files["pdf"]), ("provenance", record))
        if path.is_file()
    ]
    image, width = "", 400
    if files["png"].is_file():
        address = _href(files["png"], folder)
        image = f'<a href="{address}"><img src="{address}" alt="{title}" loading="lazy"></a>'
        width = round(0.55 * int.from_bytes(files["png"].read_bytes()[16:20], "big"))  # of 200 dpi
    return (
        f'<figure style="width: {width}px">{image}\n<figcaption><b>{title}</b><br>'
        f"{' · '.join(links)}<br>commit {escape(str(made.get('commit', 'unknown')))} · "
        f"<code>{escape(str(made.get('command', '')))}</code></figcaption></figure>"
    )


def _made_by(record: Path) -> str:
    """The notebook that drew the figure of a record."""
    return Path(str(store.read_json(record, "make reproduce").get("notebook"))).stem


def _students(path: Path) -> str:
    """The run's students and their accuracies as a table, once notebook 04 has written them."""
    if not path.is_file():
        return ""
    table = pd.read_csv(path).to_html(index=False, border=0, float_format="{:.3f}".format)
    return (
        f'<h2>Students</h2>\n<div class="table">{table}</div>\n<p>unanswered: no choice could be read '
        "from the answer; low, high: 95 % Wilson interval of the accuracy.</p>\n"
    )


def _href(path: Path, folder: Path) -> str:
    return quote(os.path.relpath(path, folder))


def _link(path: Path, folder: Path, text: str = "") -> str:
    return f'<a href="{_href(path, folder)}">{escape(text or path.name)}</a>'


@command_line
def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.runner.report", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("profile", nargs="?", default="cpu")
    build(profile.load(parser.parse_args(arguments).profile))


if __name__ == "__main__":
    main()
