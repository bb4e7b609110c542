"""Tables about the teacher's texts, for notebooks 01 and 02: lengths, faults, names of choices."""

import pandas as pd
from IPython.display import Markdown

from lib.common import files, paths, profile
from lib.common.errors import UserError
from lib.common.intervals import mean_interval, wilson
from lib.questions import release, splits
from lib.questions.mentions import degenerate, mentioned
from lib.questions.question import Question
from lib.teacher import prompt
from lib.teacher.texts import Corpus, teacher_identity

NAMES = {"explanation": "Unrevised", "revision": "Revised"}  # kinds of text as the paper names them
MEASURES = ["characters", "mentions_other_choices"]
FAULTS = ["empty", "only_tags", "only_prompt", "identical"]  # each makes a text unusable


def sample_prompt(settings: profile.Profile, kind: str) -> str:
    """The assembled prompt of the first question as plain text, to look at."""
    corpus = Corpus(settings)
    question = corpus.questions[0][1]
    choice = corpus.choices(kind, question)[0]
    return prompt.render(corpus.prompt_of(kind, question, choice, {}), None, chat=False)


def long_table(texts: pd.DataFrame) -> pd.DataFrame:
    """A row a text: kind, id, choice, text and what is measured of it.

    ``texts``: of write_explanations or write_revisions. only_prompt: says only what was asked.
    identical: another text of the kind is the same. mentions_other_choices: a share, 0 to 1.
    """
    rows = []
    for row in texts.to_dict("records"):
        written = [
            (kind, row["answer"], row.get(kind)) for kind in ("explanation", "critique", "revision")
        ]
        written += [("counterfactual", i, text) for i, text in enumerate(row["counterfactuals"])]
        rows += [
            {"kind": kind, "id": row["id"], "choice": choice, "text": text}
            | _measures(text, Question(row["id"], row["question"], tuple(row["choices"]), choice))
            for kind, choice, text in written
            if isinstance(text, str)
        ]
    long = pd.DataFrame(rows)
    same = long.duplicated(["kind", "text"], keep=False) & ~long["empty"]
    long.insert(long.columns.get_loc("degenerate"), "identical", same)
    return long


def _measures(text: str, question: Question) -> dict:
    reasons = release.clean(text, question.question)[1]
    repeated = prompt.repeats(text, prompt.case(question, question.answer))
    return {
        "characters": len(text),
        "empty": not text,
        "only_tags": "markup" in reasons,
        "only_prompt": bool({"only_run_on", "only_question"} & {*reasons} or repeated),
        "degenerate": degenerate(text),
        "mentions_other_choices": mentioned(text, list(question.choices), question.answer),
    }


def summary(long: pd.DataFrame) -> pd.DataFrame:
    """Per kind: texts, mean characters, shares with FAULTS, degenerate, other choices named."""
    shares = [*FAULTS, "degenerate", "mentions_other_choices"]
    return (
        long.groupby("kind", sort=False)
        .agg(
            texts=("id", "size"),
            mean_characters=("characters", "mean"),
            **{name: (name, "mean") for name in shares},
        )
        .reset_index()
    )


def refuse_unusable(long: pd.DataFrame, settings: profile.Profile) -> None:
    """UserError if more texts of a kind that is trained on have FAULTS than the profile allows."""
    most = settings.teacher.most_unusable
    for kind, texts in long[long["kind"] != "critique"].groupby("kind", sort=False):
        unusable = texts[texts[FAULTS].any(axis=1)]
        if len(unusable) > most * len(texts):
            counts = ", ".join(f"{unusable[name].sum()} {name}" for name in FAULTS)
            raise UserError(
                f"{len(unusable)} of {len(texts)} texts of the kind {kind} are unusable ({counts}; "
                f"such as {unusable['text'].iloc[0][:60]!r}), more than the share {most} of the "
                "profile's teacher.most_unusable; ask another teacher.model or ask it otherwise "
                "(chat, shots, max_new_tokens), or raise most_unusable."
            )


def lengths(long: pd.DataFrame) -> pd.DataFrame:
    """Lengths of texts in characters: kind, n, mean, sd, min, q1, median, q3, max."""
    names = {"count": "n", "std": "sd", "25%": "q1", "50%": "median", "75%": "q3"}
    described = long.groupby("kind", sort=False)["characters"].describe().rename(columns=names)
    return described.astype({"n": int}).reset_index()


def pairs(settings: profile.Profile, long: pd.DataFrame) -> pd.DataFrame:
    """A row a question with both texts: text and MEASURES, each by the columns Unrevised, Revised.

    Where the profile takes the published train file whole, also the questions left out of training.
    """
    if settings.teacher.source == "published" and settings.task.train is None:
        published = release.load(settings.task.name, "train")[0]
        long = long_table(published.assign(counterfactuals=[()] * len(published)))
    both = long[long["kind"].isin(NAMES)]
    wide = both.pivot(index="id", columns="kind", values=["text", *MEASURES]).dropna()
    return wide.rename(columns=NAMES, level=1)


def changes(pairs: pd.DataFrame) -> pd.DataFrame:
    """What the revision changes: measure, texts, n, mean, low, high, with 95 % intervals.

    t intervals of both texts' means and, as texts "change", of the pairs' difference; in the last
    row the share of pairs whose two texts are the same ("unchanged", Wilson's interval).
    """
    rows = []
    for measure in MEASURES:
        values = pairs[measure].astype(float)
        values["change"] = values["Revised"] - values["Unrevised"]
        for name in ("Unrevised", "Revised", "change"):
            n, mean = len(values), values[name].mean()
            interval = mean_interval(mean, values[name].std(), n)
            rows.append((measure, name, n, mean, *map(float, interval)))
    same = int((pairs["text", "Unrevised"] == pairs["text", "Revised"]).sum())
    rows.append(("unchanged", "Revised", len(pairs), same / len(pairs), *wilson(same, len(pairs))))
    return pd.DataFrame(rows, columns=["measure", "texts", "n", "mean", "low", "high"])


def _side_by_side(texts: pd.DataFrame, live: pd.DataFrame) -> pd.DataFrame:
    """The texts of both tables that have the same kind, question and choice, a row a pair."""
    asked, sides = ["kind", "id", "choice"], ("_live", "_written")
    return long_table(live).merge(long_table(texts), on=asked, suffixes=sides)


def beside(settings: profile.Profile, texts: pd.DataFrame, live: pd.DataFrame, *kinds: str):
    """Written texts of some kinds beside what the teacher wrote live (texts.write_live), as cards
    to read; a sentence where it writes nothing live."""
    if live.empty:
        return Markdown("Nothing is written live beside these texts (`teacher.live`).")
    both = _side_by_side(texts, live).merge(live[["id", "question", "choices"]], on="id")
    both = both[both["kind"].isin(kinds)]
    both["question"] = [
        f"{row.question} → {row.choices[row.choice]}" for row in both.itertuples(index=False)
    ]
    names = {"text_written": "written", "text_live": f"live: {settings.teacher.model}"}
    shown = both[["kind", "question", *names]].rename(columns=names)
    return shown.style.hide().set_properties(**{"text-align": "left", "vertical-align": "top"})


def compared(texts: pd.DataFrame, live: pd.DataFrame) -> pd.DataFrame:
    """``summary`` of the texts that are both written and written live, by kind and by whom."""
    both, parts = _side_by_side(texts, live), []
    for by in ("written", "live"):
        columns = {f"{name}_{by}": name for name in both.columns.str.removesuffix("_live")}
        parts.append(summary(both.rename(columns=columns)).assign(by=by))
    found = (
        pd.concat(parts).set_index(["kind", "by"]).sort_index(level="kind", sort_remaining=False)
    )
    return found[["texts", "mean_characters", *FAULTS, "degenerate", "mentions_other_choices"]]


def cleaning(settings: profile.Profile):
    """What cleaning did to the published train texts, by kind; a sentence where none are used."""
    if settings.teacher.source == "published":
        return release.load(settings.task.name, "train")[1]
    if settings.teacher.source == "written":
        return Markdown("These texts came with the questions and are taken as they are.")
    return Markdown(
        "These texts were written here: each text's first line after any thinking is kept, "
        "none is dropped."
    )


def origin(settings: profile.Profile) -> dict:
    """What the texts come from, for the provenance of figures: prompts and teacher, or release."""
    if settings.teacher.source == "published":
        pinned = release.read_sources()
        return {"texts": f"published: {pinned['repository']} at {pinned['commit']}"}
    if settings.teacher.source == "written":
        path = splits.texts_of(settings.task.name, settings.task.source)[0]
        return {"texts": f"{paths.shown(path)}, SHA-256 {files.sha256_file(path)}"}
    prompts = Corpus(settings).plan_key("explanation")["prompts"]
    return {"prompts_sha256": prompts} | teacher_identity(settings)
