"""The report of a run: ``python -m lib.runner.report cpu`` writes data/runs/cpu/report/index.html.

One page: what was found, the students, the paper, explanations to read, every figure with its table
and where it comes from, and every executed notebook (as HTML, beside it). Nothing is executed,
nothing comes from a network, and what is up to date is not written again: made.json, beside the
page, has the hashes of what it shows.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path
from urllib.parse import quote

import jinja2
import pandas as pd

from lib.common import files, paths, profile
from lib.common.errors import UserError, command_line
from lib.common.profile import Profile
from lib.common.progress import duration
from lib.questions import splits
from lib.runner import plan, summary

TEMPLATE = Path(__file__).with_name("report.html")
READING = paths.ROOT / "figures" / "README.md"  # a line a figure, in reading order
ASKED = ("Questions", "Teacher", "Students", "Arms", "Downloads")  # lines of the plan
CARDS = 20  # questions whose explanations are shown
BAR = """<nav style="font: 15px system-ui, sans-serif; padding: 8px 16px; display: flex; gap: 16px;
flex-wrap: wrap; border-bottom: 1px solid #999">{}</nav>\n"""


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
    shown = [Path(__file__), Path(summary.__file__), TEMPLATE, READING, *copies]
    shown += (paths.FIGURES / settings.name).glob("*.*")
    shown += [run / name for name in (*summary.TABLES.values(), "statistics.csv")]
    made = {str(path): files.sha256_file(path) for path in sorted(shown) if path.is_file()}
    made |= {"description": settings.description, "order": [path.stem for path in pages]}
    before = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    names = made["order"]
    for path, page in pages.items():
        moved = before.get("order") != names  # so its links to its neighbours may have changed
        if moved or not page.is_file() or before.get(str(path)) != made[str(path)]:
            convert(path, page, names)
    if before != made or not index.is_file():
        for page in set(folder.glob("*.html")) - {index, *pages.values()}:
            page.unlink()
        files.write_text(index, render(settings, copies, pages))
        files.write_json(kept, made)
    return index


def render(settings: Profile, copies: list[Path], pages: dict[Path, Path]) -> str:
    """The index page of executed notebooks (copies), of which those that succeeded have pages."""
    run = profile.run_folder(settings)
    notebooks = [describe(path) | {"page": page} for path, page in pages.items()]
    figures = read_figures(settings)
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), autoescape=True)
    return template.render(
        name=settings.name,
        description=settings.description,
        tiny=summary.is_tiny(settings),
        address=lambda path: quote(os.path.relpath(path, run / "report")),
        points=summary.points,
        found=summary.findings(settings),
        claims=summary.claims(settings),
        ratings=summary.ratings(settings),
        standings=summary.rows(summary.read(settings, "standings")),
        students=summary.students(settings),
        chance=summary.chance(settings),
        agreement=summary.agreement(settings),
        cards=cards(settings),
        private=why_private(settings),
        figures=figures,
        lead=[made for made in figures if made["name"] in ("paper_tradeoff", "ratings")],
        notebooks=notebooks,
        failed=[path for path in copies if path not in pages],
        tables=sorted(run.glob("*.csv")) + sorted(run.glob("[0-9]*/*.csv")),
        made=provenance(settings, notebooks),
    )


def convert(executed: Path, page: Path, names: list[str]) -> None:
    """Write an executed notebook as one HTML file that loads nothing from elsewhere, with links to
    the index and to its neighbours among ``names``; its own links lead where they led before."""
    sys.modules.setdefault("rfc3987_syntax", None)  # as in lib.runner.run: saves 1 s
    import nbformat
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(mathjax_url="", require_js_url="", jquery_url="", mermaid_js_url="")
    html, _ = exporter.from_notebook_node(
        nbformat.read(executed, as_version=4), {"metadata": {"name": executed.stem}}
    )
    top = quote(os.path.relpath(paths.ROOT, page.parent))
    html = html.replace('href="../', f'href="{top}/')
    html = re.sub(rf'href="({"|".join(names)})\.ipynb"', r'href="\1.html"', html)
    here = names.index(executed.stem)
    links = {"index": "Report"}
    links |= {names[here - 1]: f"← {names[here - 1]}"} if here else {}
    links |= {name: f"{name} →" for name in names[here + 1 : here + 2]}
    bar = BAR.format(" ".join(f'<a href="{to}.html">{text}</a>' for to, text in links.items()))
    files.write_text(page, re.sub(r"(<body[^>]*>)", lambda body: body[1] + bar, html, count=1))


def describe(executed: Path) -> dict:
    """An executed notebook's title, and the time, memory and provenance that it was run with."""
    nb = files.read_json(executed, "make reproduce")
    made = nb["metadata"].get("honey", {})
    text = "".join(nb["cells"][0]["source"]) if nb["cells"] else ""
    return {
        "name": executed.stem,
        "title": text.strip().split("\n")[0].lstrip("# ") or executed.stem,
        "time": duration(made["wall_seconds"]) if "wall_seconds" in made else "",
        "memory": f"{made['peak_memory_gb']} GB" if made.get("peak_memory_gb") else "",
        "made": made,
    }


def read_figures(settings: Profile) -> list[dict]:
    """A run's figures in reading order, each with what is said of it and where its files are."""
    order = reading()
    found = [read_figure(path, order) for path in (paths.FIGURES / settings.name).glob("*.json")]
    places = {name: place for place, name in enumerate(order)}
    return sorted(found, key=lambda made: (made["by"], places.get(made["name"], 999), made["name"]))


def reading() -> dict[str, str]:
    """Figure -> its sentence in figures/README.md, in the order of its table."""
    told = {}
    text = READING.read_text(encoding="utf-8") if READING.is_file() else ""
    for line in re.findall(r"^\| *(`.*) \|$", text, re.M):
        names, *_, sentence = line.split(" | ")
        told |= dict.fromkeys(re.findall(r"`(\w+)`", names), sentence.replace("`", ""))
    return told


def read_figure(record: Path, order: dict[str, str]) -> dict:
    """What is said of a figure beside it, and where its files are."""
    made = files.read_json(record, "its notebook")
    png = record.with_suffix(".png")
    header = png.read_bytes()[16:24]  # width and height in pixels, 200 to the inch
    return made | {
        "name": record.stem,
        "by": Path(made["notebook"]).stem,
        "reading": order.get(record.stem, ""),
        "simulated": "SIMULATED" in made["title"] + order.get(record.stem, ""),
        "files": {kind: record.with_suffix(f".{kind}") for kind in ("png", "csv", "pdf", "json")},
        "width": round(0.55 * int.from_bytes(header[:4], "big")),
        "height": round(0.55 * int.from_bytes(header[4:], "big")),
    }


def why_private(settings: Profile) -> str:
    """Why a report does not show questions and explanations; empty for our own (CC0)."""
    task = settings.task
    held = splits.files_of(task.name, task.source).values()
    if held and task.source == "default" and all(paths.MINICQA in path.parents for path in held):
        return ""
    return (
        f"The questions of {task.name} are not ours to copy, so a report that may be passed on "
        "shows no texts of them; on this machine they are in 04_evaluation/explanations.parquet."
    )


def cards(settings: Profile) -> list[dict]:
    """The first ``CARDS`` questions that students explain: question, choices, gold (an index), and
    what each arm and size (of the first seed) answered and wrote. None where texts are private."""
    predictions = summary.read(settings, "predictions")
    if why_private(settings) or predictions.empty:
        return []
    first = predictions[predictions["seed"] == predictions["seed"].min()]
    explained = first.loc[first["explanation"].notna(), "id"].drop_duplicates()[:CARDS]
    found, sizes = [], first["size"].nunique() > 1
    for _, group in first[first["id"].isin(explained)].groupby("id", sort=False):
        one = group.iloc[0]
        choices = list(one["choices"])
        replies = []
        for row in group.itertuples():
            replies.append(
                {
                    "arm": f"{row.arm} ({row.size})" if sizes else row.arm,
                    "answer": "" if pd.isna(row.answered) else choices[row.answered],
                    "correct": bool(row.correct),
                    "explanation": row.explanation if isinstance(row.explanation, str) else "",
                }
            )
        found.append(
            {"question": one["question"], "choices": choices, "gold": one["gold"]}
            | {"replies": replies}
        )
    return found


def provenance(settings: Profile, notebooks: list[dict]) -> dict[str, str]:
    """What the run was made from, with what, and how it is made again."""
    asked = (line.partition(" ") for line in plan.describe(settings))
    told = {name: text.strip() for name, _, text in asked if name in ASKED}
    made = pd.DataFrame([one["made"] for one in notebooks])
    columns = {"Commit": "commit", "Processor": "cpu", "Cores": "cores", "Python": "python"}
    told |= {name: values(made, column) for name, column in columns.items()}
    told["Trained on"] = values(summary.read(settings, "trained"), "device")
    packages = notebooks[-1]["made"].get("packages", {})
    told["Packages"] = ", ".join(f"{name} {which}" for name, which in packages.items() if which)
    told["Seeds"] = ", ".join(map(str, settings.seeds))
    told["Again"] = f"make reproduce PROFILE={settings.name}"
    return {name: text for name, text in told.items() if text}


def values(table: pd.DataFrame, column: str) -> str:
    """The different values of a table's column; empty without it."""
    return "; ".join(table[column].dropna().astype(str).unique()) if column in table else ""


@command_line
def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m lib.runner.report", description=__doc__)
    parser.add_argument("profile", nargs="?", default="cpu")
    settings = profile.load(parser.parse_args(arguments).profile)
    print(*summary.lines(settings, build(settings)), sep="\n")


if __name__ == "__main__":
    main()
