"""The report of a run: ``python -m lib.runner.report cpu`` writes data/runs/cpu/report/index.html.

One page with the findings, every executed notebook (as HTML, beside it) and every figure with the
table behind it and where it comes from. Nothing is executed, nothing comes from a network, and what
is up to date is not written again: made.json, beside the page, has the hashes of what it shows.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from urllib.parse import quote

import jinja2
import pandas as pd

from lib.common import files, paths, profile
from lib.common.errors import UserError, command_line
from lib.common.profile import Profile
from lib.common.progress import duration

TEMPLATE = Path(__file__).with_name("report.html")
TABLES = ("statistics", "05_human_study/findings", "04_evaluation/students")  # that it shows


def build(settings: Profile) -> Path:
    """Write the report of a profile's run and return its index page; nothing if it is up to date.

    UserError if nothing has been run yet.
    """
    run = profile.run_folder(settings)
    folder = run / "report"
    index, kept = folder / "index.html", folder / "made.json"
    copies = sorted((run / "notebooks").glob("[0-9]*.ipynb"))
    pages = {
        path: folder / f"{path.stem}.html" for path in copies if not path.stem.endswith(".failed")
    }
    if not pages:
        raise UserError(
            f"Nothing has been run with profile '{settings.name}' yet; run "
            f"make reproduce PROFILE={settings.name} first."
        )
    shown = [Path(__file__), TEMPLATE, *copies, *(paths.FIGURES / settings.name).glob("*.*")]
    shown += [run / f"{name}.csv" for name in TABLES]
    made = {str(path): files.sha256_file(path) for path in sorted(shown) if path.is_file()}
    made["description"] = settings.description
    before = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    for path, page in pages.items():
        if not page.is_file() or before.get(str(path)) != made[str(path)]:
            convert(path, page)
    if before != made or not index.is_file():
        for page in set(folder.glob("*.html")) - {index, *pages.values()}:
            page.unlink()
        files.write_text(index, render(settings, copies, pages))
        files.write_json(kept, made)
    return index


def render(settings: Profile, copies: list[Path], pages: dict[Path, Path]) -> str:
    """The index page of executed notebooks (copies), of which those that succeeded have pages."""
    run = profile.run_folder(settings)
    statistics, findings, students = (run / f"{name}.csv" for name in TABLES)
    figures = sorted((paths.FIGURES / settings.name).glob("*.json"))
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), autoescape=True)
    return template.render(
        name=settings.name,
        description=settings.description,
        address=lambda path: quote(os.path.relpath(path, run / "report")),
        findings=as_html(findings),
        students=as_html(students),
        statistics=statistics if statistics.is_file() else None,
        notebooks=[describe(path) | {"page": page} for path, page in pages.items()],
        failed=[path for path in copies if path not in pages],
        figures=[read_figure(path) for path in figures],
    )


def convert(executed: Path, page: Path) -> None:
    """Write an executed notebook as one HTML file that loads nothing from elsewhere."""
    sys.modules.setdefault("rfc3987_syntax", None)  # as in lib.runner.run: saves 1 s
    import nbformat
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(mathjax_url="", require_js_url="", jquery_url="", mermaid_js_url="")
    html, _ = exporter.from_notebook_node(
        nbformat.read(executed, as_version=4), {"metadata": {"name": executed.stem}}
    )
    files.write_text(page, html)


def describe(executed: Path) -> dict[str, str]:
    """An executed notebook's title, and the time, memory and commit that it was run with."""
    nb = files.read_json(executed, "make reproduce")
    made = nb["metadata"].get("honey", {})
    text = "".join(nb["cells"][0]["source"]) if nb["cells"] else ""
    return {
        "name": executed.stem,
        "title": text.strip().split("\n")[0].lstrip("# ") or executed.stem,
        "time": duration(made["wall_seconds"]) if "wall_seconds" in made else "",
        "memory": f"{made['peak_memory_gb']} GB" if made.get("peak_memory_gb") else "",
        "commit": made.get("commit", ""),
    }


def read_figure(record: Path) -> dict:
    """What is said of a figure beside it, and where its files are."""
    made = files.read_json(record, "its notebook")
    png = record.with_suffix(".png")
    width = int.from_bytes(png.read_bytes()[16:20], "big")  # in pixels, 200 to the inch
    return made | {
        "by": Path(made["notebook"]).stem,
        "files": {kind: record.with_suffix(f".{kind}") for kind in ("png", "csv", "pdf", "json")},
        "width": round(0.55 * width),
    }


def as_html(path: Path) -> str:
    """A table as HTML with escaped cells; empty while it is not written."""
    if not path.is_file():
        return ""
    table = pd.read_csv(path)
    return table.to_html(index=False, border=0, float_format="{:.3f}".format, na_rep="")


@command_line
def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m lib.runner.report", description=__doc__)
    parser.add_argument("profile", nargs="?", default="cpu")
    index = build(profile.load(parser.parse_args(arguments).profile))
    print(f"Report:  {paths.shown(index)}")


if __name__ == "__main__":
    main()
