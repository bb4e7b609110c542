"""Whose ratings notebook 05 analyses, and what is shown, drawn, found and saved of them."""

import shutil

import matplotlib
import nbformat
import pandas as pd
import pytest

from lib.common import paths
from lib.common.errors import UserError
from lib.common.methods import PAPER_ARMS
from lib.common.stage import Stage
from lib.human_study import findings, published, report, study
from lib.human_study.report import OWN, PAPER, SIMULATED
from lib.survey import answers, power
from lib.survey import own as own_study

matplotlib.use("Agg")
FIGURES = ("ratings_with_quality", "quality_by_length", "quality_contrasts")


@pytest.fixture(scope="module")
def simulated():
    return report.analyse_raw(SIMULATED, power.simulate_ratings(16, seed=1))


@pytest.fixture
def stage(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    return Stage("05_human_study", "smoke")


def relabel(raw, source):
    """The same analyses as if they were of other ratings."""
    return report.Analyses(source, raw.ratings, raw.tables)


def test_the_notebook_uses_every_parameter():
    notebook = nbformat.read(paths.NOTEBOOKS / "05_human_study.ipynb", as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    names = [line.split(" = ")[0] for line in code[0].splitlines()]
    assert names == ["profile", "own_ratings"]
    assert all(any(name in cell for cell in code[1:]) for name in names)


def test_own_ratings_come_first_then_the_papers_then_simulated_ones(monkeypatch, tmp_path, shared):
    seen = []
    monkeypatch.setattr(report, "analyse_raw", lambda *given: seen.append(given[:2]))
    monkeypatch.setattr(paths, "RAW", tmp_path)
    own_study.analyse("", 0)
    shutil.copy(shared / "published" / "study.csv", tmp_path)
    own_study.analyse("", 0)
    monkeypatch.setattr(answers, "load_study", lambda path: f"ratings in {path}")
    own_study.analyse("folder", 0)
    assert [source for source, _ in seen] == [SIMULATED, PAPER, OWN]
    assert seen[0][1]["participant"].str.startswith("SIMULATED").all()
    assert len(seen[1][1]) == 1114 and seen[2][1] == "ratings in folder"


def test_simulated_ratings_are_labelled_and_enter_neither_findings_nor_statistics(
    simulated, stage, capsys
):
    assert "make data" in report.describe(simulated).data
    assert "SIMULATED" in report.describe(simulated).data
    assert list(report.show(simulated, "icc")["construct"])[-1] == "Quality"
    assert "Markdown" in capsys.readouterr().out  # the line above the table
    assert set(findings.plain_findings(simulated)["ratings"]) == {
        "paper, counts",
        "paper, accuracy",
    }
    table = report.ratings_statistics(simulated)
    assert set(table["analysis"]) == {"paper explainability"}
    comparison = report.compare_with_paper(simulated)
    assert (comparison["agrees"] == comparison["ours"].notna()).all()
    report.draw_raw(simulated, "quality_contrasts", stage)
    figure = matplotlib.pyplot.gcf()
    assert figure.get_suptitle() == simulated.title == "SIMULATED ratings: no results"
    assert "SIMULATED" in (paths.FIGURES / "smoke" / "quality_contrasts.json").read_text()


def test_every_figure_of_raw_ratings_is_drawn_and_saved(simulated, stage):
    for name in FIGURES:
        report.draw_raw(relabel(simulated, PAPER), name, stage)
        assert matplotlib.pyplot.gcf().get_suptitle() == ""
        matplotlib.pyplot.close("all")
    assert {path.stem for path in paths.FIGURES.glob("smoke/*.pdf")} == set(FIGURES)
    lengths = pd.read_csv(paths.FIGURES / "smoke" / "quality_by_length.csv")
    assert lengths["n"].tolist() == [12] * 16
    assert list(lengths["method"][::4]) == list(PAPER_ARMS)
    assert lengths.groupby("method")["characters"].apply(lambda c: c.is_monotonic_increasing).all()
    ratings = simulated.ratings.astype({"method": str}).groupby("method")["Quality"]
    assert lengths.groupby("method")["mean"].mean().to_dict() == pytest.approx(
        ratings.mean().to_dict()
    )


def test_tables_of_raw_ratings(simulated):
    raw = relabel(simulated, PAPER)
    wide = report.show(raw, "statistics", "lm_length")
    assert list(wide.index)[0] == "coef Intercept" and "estimate" in wide.columns
    for statistics, rows in ((("shapiro", "mshapiro"), 24 + 1), (("levene_median", "box_m"), 7)):
        checks = report.show(raw, "statistics", *statistics)
        assert len(checks) == rows and checks["p"].between(0, 1).all()
    assert len(report.show(raw, "statistics", "lm_length", "lm_controls")) == 10
    tests = report.show(raw, "mixed", "lrt")
    assert list(tests.index) == ["participant", "participant+slot", "participant+question"]
    assert {"chi2", "p", "var_slot", "var_question"} <= set(tests.columns)
    contrasts = report.show(raw, "contrasts").set_index(["lengths", "pair"])
    assert len(contrasts) == 12
    terms = raw.tables["mixed"].query("statistic == 'participant'").set_index(["group", "term"])
    pair = contrasts.loc["equal", "MT:Unrevised-CF:Unrevised"]
    assert pair["estimate"] == terms.loc["coef MT:Unrevised", "estimate"]["value"]
    assert pair["estimate"] != contrasts.loc["as they are", "MT:Unrevised-CF:Unrevised"]["estimate"]
    odds = report.show(raw, "odds")
    assert len(odds) == 5 * 4 and (odds["odds_ratio"] > 0).all()


@pytest.mark.parametrize("source", [PAPER, OWN])
def test_findings_and_statistics_of_real_ratings_say_whose_they_are(simulated, source, stage):
    raw = relabel(simulated, source)
    found = findings.plain_findings(raw)
    label = {PAPER: "paper, raw", OWN: "own study"}[source]
    assert found.loc[found["ratings"] == label, "from"].value_counts().to_dict() == {
        "mixed model": 8,
        "four tests": 5,
        "likelihood ratio": 3,
        "ICC": 1,
        "1.5 IQR": 1,
        "means": 1,
        "Cronbach's alpha": 1,
        "Wilks' lambda of ranks": 1,
    }
    lead = "The lead of MT+CF:Revised over MT:Unrevised in Quality is "
    assert found["finding"].str.startswith(lead).sum() == 1
    assert not found.isna().any(axis=None) and not found["number"].str.contains("nan").any()
    table = report.ratings_statistics(raw)
    assert {
        f"{source} {name}" for name in ("explainability", "mixed_model", "icc", "odds", "contrasts")
    } <= set(table["analysis"])
    # Descriptives stand there once for each study, never twice.
    keys = ["analysis", "statistic", "group", "term"]
    assert not table.duplicated(keys).any()
    stage.save_statistics(table)


def test_paper_findings_name_the_outlier_decisions():
    found = findings.decision_findings(published.decision_table()).iloc[0]
    assert "conclusions on accuracy hold under both decisions" in found["finding"] or (
        "all 4 decisions" in found["finding"]
    )
    assert "method:size" in found["number"]


def test_an_own_study_of_three_methods_and_few_people_is_analysed(make_ratings):
    ratings = make_ratings(people=5, slots=2)
    ratings = study.check_ratings(
        ratings[ratings["method"] != PAPER_ARMS[2]].drop(columns="Quality").astype({"method": str})
    )
    raw = report.analyse_raw(OWN, ratings)
    assert len(report.show(raw, "contrasts")) == 6
    assert "Own study" == raw.title and len(findings.raw_findings(raw)) > 10


def test_what_was_done_with_answer_files_is_told(tmp_path):
    assert "make survey" in own_study.show_ingest("").data
    (tmp_path / "ratings.csv").write_text("")
    assert "no answer files" in own_study.show_ingest(str(tmp_path / "ratings.csv")).data
    with pytest.raises(UserError, match="no answer file"):
        own_study.show_ingest(str(tmp_path))


def test_a_study_of_errors_alone_leaves_the_ratings_to_others(monkeypatch, tmp_path):
    judged = pd.DataFrame(
        [
            {
                "participant": p,
                "method": "own",
                "shown": shown,
                "right": True,
                "judged": 1,
                "sure": 3,
                "correct": True,
            }
            for p in "ab"
            for shown in (True, False)
        ]
    )
    monkeypatch.setattr(answers, "ingest", lambda folder: ({"errors": judged}, None))
    monkeypatch.setattr(published, "load_ratings", lambda: "the paper's")
    monkeypatch.setattr(report, "analyse_raw", lambda *given: given[:2])
    assert own_study.analyse(str(tmp_path), 0) == (PAPER, "the paper's")
    table = own_study.show_errors(str(tmp_path))
    assert table["measure"].tolist()[0] == "correct" and table["difference"].tolist()[0] == 0
    (tmp_path / "ratings.csv").write_text("")
    for own in ("", str(tmp_path / "ratings.csv")):
        assert "--task errors" in own_study.show_errors(own).data


def test_own_ratings_count_from_the_repository_as_notebooks_run_in_their_folder(
    monkeypatch, tmp_path
):
    root, home = tmp_path / "root", tmp_path / "home"
    for folder in (root / "notebooks", root / "data/raw/answers", home / "data/raw/mine"):
        folder.mkdir(parents=True)
    for name, folder in (("ROOT", root), ("BUILT", home)):
        monkeypatch.setattr(paths, name, folder)
    monkeypatch.chdir(root / "notebooks")
    seen = []
    monkeypatch.setattr(
        answers,
        "ingest",
        lambda folder: seen.append(folder) or ({}, pd.DataFrame(columns=["participant"])),
    )
    for own in ("data/raw/answers", "data/raw/mine", "../data/raw/answers"):
        answers.load_study(own), own_study.show_ingest(own), own_study.show_errors(own)
    assert [folder.resolve() for folder in seen] == [root / "data/raw/answers"] * 3 + [
        home / "data/raw/mine"
    ] * 3 + [root / "data/raw/answers"] * 3
    for ask in (answers.load_study, answers.save, own_study.show_ingest, own_study.show_errors):
        with pytest.raises(UserError, match="^data/raw/x: no such folder or file; name the folder"):
            ask("data/raw/x")


def test_plain_findings_of_the_published_ratings():
    found = findings.published_findings(published.load_scores())
    found = found.set_index("finding")["number"]
    assert found["MT+CF:Revised has the highest mean on 4 of 5 constructs"].startswith(
        "mean of the five 4.15; next MT:Unrevised 4.07"
    )
    assert "CF:Unrevised has the lowest mean on 5 of 5 constructs" in found.index
    assert found["Contrastiveness differs between methods"].startswith("H = 18.44, p = 0.00036")
    assert "Satisfaction does not clearly differ between methods" in found.index
    assert found["MT+CF:Revised and MT+CF:Unrevised differ in Contrastiveness"] == (
        "+0.32 points, Holm p = 0.011"
    )
    assert found.index.str.contains("largest difference is small").any()
