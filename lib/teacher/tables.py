"""Tables about the teacher's texts, for notebooks 01 and 02: lengths, faults, names of choices."""

import pandas as pd
from IPython.display import Markdown

from lib.common import profile
from lib.questions import download, release
from lib.questions.mentions import degenerate, mentioned
from lib.teacher import prompt
from lib.teacher.texts import Corpus, teacher_identity


def sample_prompt(settings: profile.Profile, kind: str) -> str:
    """The assembled prompt of the first question as plain text, to look at."""
    corpus = Corpus(settings)
    question = corpus.questions[0][1]
    choice = corpus.choices(kind, question)[0]
    return prompt.render(corpus.prompt_of(kind, question, choice, {}), None, chat=False)


def long_table(texts: pd.DataFrame) -> pd.DataFrame:
    """A row a text: kind, id, choice, text, characters, empty, degenerate, mentions_other_choices.

    ``texts``: of write_explanations or write_revisions. mentions_other_choices: a share, 0 to 1.
    """
    rows = []
    for row in texts.to_dict("records"):
        written = [
            (kind, row["answer"], row.get(kind)) for kind in ("explanation", "critique", "revision")
        ]
        written += [("counterfactual", i, text) for i, text in enumerate(row["counterfactuals"])]
        rows += [
            {
                "kind": kind,
                "id": row["id"],
                "choice": choice,
                "text": text,
                "characters": len(text),
                "empty": not text,
                "degenerate": degenerate(text),
                "mentions_other_choices": mentioned(text, list(row["choices"]), choice),
            }
            for kind, choice, text in written
            if isinstance(text, str)
        ]
    return pd.DataFrame(rows)


def summary(long: pd.DataFrame) -> pd.DataFrame:
    """Per kind: texts, mean characters, shares empty and degenerate, other choices named."""
    shares = ["empty", "degenerate", "mentions_other_choices"]
    return (
        long.groupby("kind", sort=False)
        .agg(
            texts=("id", "size"),
            mean_characters=("characters", "mean"),
            **{name: (name, "mean") for name in shares},
        )
        .reset_index()
    )


def revised_pairs(settings: profile.Profile, long: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``long_table`` with all pairs of explanation and revision.

    ``long`` itself, or, where the profile takes the published train file whole, also the questions
    left out of training.
    """
    if settings.teacher.source != "published" or settings.task.train is not None:
        return long
    texts = release.load(settings.task.name, "train")[0]
    return long_table(texts.assign(counterfactuals=[()] * len(texts)))


def cleaning(settings: profile.Profile):
    """What cleaning did to the published train texts, by kind; a sentence where none are used."""
    if settings.teacher.source == "published":
        return release.load(settings.task.name, "train")[1]
    return Markdown(
        "These texts were written here: each text's first line is kept, none is dropped."
    )


def origin(settings: profile.Profile) -> dict:
    """What the texts come from, for the provenance of figures: prompts and teacher, or release."""
    if settings.teacher.source == "published":
        pinned = download.read_sources()
        return {"texts": f"published: {pinned['repository']} at {pinned['commit']}"}
    prompts = Corpus(settings).plan_key("explanation")["prompts"]
    return {"prompts_sha256": prompts} | teacher_identity(settings)
