"""The teacher's texts for all questions: what is written, in which order, and the tables of it."""

import functools
import itertools
import random

import pandas as pd

from lib.common import files, paths, profile
from lib.common.errors import UserError
from lib.common.progress import Progress
from lib.models import checkpoints
from lib.questions import download, release
from lib.questions import splits as tasks
from lib.questions.mentions import degenerate, mentioned
from lib.questions.splits import Question
from lib.teacher import prompt


class Corpus:
    """Texts of one profile: explanations and counterfactuals (stage 01), critiques and revisions (02).

    Finished batches are shards on disk; only what is missing loads the teacher and is written.
    ``parts``: the splits; ``first``: only so many questions of each.
    """

    def __init__(self, settings: profile.Profile, parts=("train", "dev"), first: int | None = None):
        self.settings = settings
        splits = tasks.load(settings.task, settings.seed)
        self.questions = [(split, q) for split in parts for q in splits[split][:first]]
        self.texts = prompt.read(settings.task.name)
        self.variants = prompt.variants(
            self.texts, settings.teacher.shots, settings.teacher.prefixes, settings.seed
        )
        shuffled = [q.id for _, q in self.questions]
        random.Random(f"prefixes {settings.seed}").shuffle(shuffled)
        self.prefix_of = {id: i % len(self.variants) for i, id in enumerate(shuffled)}

    @functools.cached_property
    def teacher(self):
        """The teacher, loaded at its first use."""
        if self.settings.teacher.engine == "server":
            from lib.teacher.server import ServerTeacher

            return ServerTeacher(self.settings.teacher)
        checkpoints.quiet()
        from lib.teacher.teacher import Teacher  # imports transformers

        print(f"Loading the teacher {self.settings.teacher.model} ...", flush=True)
        return Teacher(self.settings.teacher)

    def request(self, question: Question) -> int:
        """Which matched critique/revision request pair the question uses."""
        return random.Random(f"request {self.settings.seed} {question.id}").randrange(
            len(self.texts["requests"])
        )

    def prompt_of(self, kind: str, question: Question, choice: int, given: dict) -> prompt.Prompt:
        """The prompt of one text; ``given`` holds the question's earlier texts."""
        variant = self.variants[self.prefix_of[question.id]]
        if kind in ("explanation", "counterfactual"):
            return prompt.explain(question, choice, variant)
        request = self.request(question)
        if kind == "critique":
            return prompt.critique(question, given["explanation"], request, variant, self.texts)
        return prompt.revise(
            question,
            given["explanation"],
            given["critique"],
            request,
            variant,
            self.texts,
            self.settings.teacher.answer_in_revision,
        )

    def choices(self, kind: str, question: Question) -> list[int]:
        """For which choices a text of this kind is written."""
        if kind != "counterfactual":
            return [question.answer]
        if self.settings.teacher.counterfactuals == "first":
            return question.wrong[:1]
        return list(range(len(question.choices)))

    def batches(self, kind: str) -> list[list[tuple[str, int]]]:
        """Fixed batches of (question id, choice): same prefix together, then by length."""
        items = []
        for _, question in self.questions:
            for choice in self.choices(kind, question):
                size = len(question.question) + len(question.lettered())
                items.append((self.prefix_of[question.id], size, question.id, choice))
        batches = []
        for _, alike in itertools.groupby(sorted(items), key=lambda item: item[0]):
            group = [item[2:] for item in alike]
            # as equal as possible: small last batches are slow
            parts = -(-len(group) // self.settings.teacher.batch_size)
            batches += [
                group[len(group) * i // parts : len(group) * (i + 1) // parts] for i in range(parts)
            ]
        return batches

    def plan_key(self, kind: str, given: dict[str, dict] | None = None) -> dict:
        """What decides the texts of a kind: settings, teacher, prompts, questions, and ``given``, the
        earlier texts that they go on from; a change starts a new folder. It lacks code, packages and
        machine (another one may round otherwise)."""
        earlier = {"critique": ["explanation"], "revision": ["explanation", "critique"]}.get(kind)
        only = {"counterfactuals": "counterfactual", "answer_in_revision": "revision"}
        settings = self.settings.teacher.model_dump(
            mode="json",
            exclude={"server", *(name for name, owner in only.items() if owner != kind)},
        )
        limit = settings.pop("max_new_tokens")[kind]
        key = {
            "kind": kind,
            **teacher_identity(self.settings),
            "teacher": settings,
            "seed": self.settings.seed,
            "max_new_tokens": {kind: limit},
            "prompts": prompt.fingerprint(self.settings.task.name),
            "questions": files.key_of(
                [[q.id, q.question, q.choices, q.answer] for _, q in self.questions]
            ),
        }
        return key | (
            {
                "given": files.key_of(
                    {id: [texts[name] for name in earlier] for id, texts in (given or {}).items()}
                )
            }
            if earlier
            else {}
        )

    def write(self, kind: str, given: dict[str, dict] | None = None) -> dict[tuple[str, int], str]:
        """Texts of one kind by (question id, choice); finished batches are read, not made again."""
        questions = {q.id: q for _, q in self.questions}
        limit = getattr(self.settings.teacher.max_new_tokens, kind)
        batches = self.batches(kind)

        def make(batch):
            prompts = [
                self.prompt_of(kind, questions[id], choice, (given or {}).get(id, {}))
                for id, choice in batch
            ]
            texts = self.teacher.texts(prompts, limit)
            return [
                {"id": id, "choice": choice, "text": text}
                for (id, choice), text in zip(batch, texts, strict=True)
            ]

        shards = files.Shards(paths.TEXTS, kind, self.plan_key(kind, given))
        progress = Progress(kind, sum(map(len, batches)), "texts")
        return {(r["id"], r["choice"]): r["text"] for r in shards.complete(batches, make, progress)}


def _question_columns(split: str, question: Question) -> dict:
    return {
        "id": question.id,
        "split": split,
        "question": question.question,
        "choices": list(question.choices),
        "answer": question.answer,
    }


def write_explanations(settings: profile.Profile) -> pd.DataFrame:
    """Stage 01: a row a question with its explanation and its counterfactuals by choice.

    counterfactuals has one entry a choice; None where the profile asks for none.
    """
    if settings.teacher.source == "published":
        return _published_texts(settings).drop(columns=["critique", "revision"])
    corpus = Corpus(settings)
    explanations = corpus.write("explanation")
    counterfactuals = corpus.write("counterfactual")
    rows = []
    for split, q in corpus.questions:
        rows.append(
            _question_columns(split, q)
            | {
                "prefix": corpus.prefix_of[q.id],
                "explanation": explanations[q.id, q.answer],
                "counterfactuals": [counterfactuals.get((q.id, i)) for i in range(len(q.choices))],
            }
        )
    return pd.DataFrame(rows)


def _published_texts(settings: profile.Profile) -> pd.DataFrame:
    """The authors' released texts of the profile's train and dev questions, in the same columns."""
    splits = tasks.load(settings.task, settings.seed)  # fetches what is missing
    table = pd.DataFrame(
        [_question_columns(split, q) for split in ("train", "dev") for q in splits[split]]
    )
    texts = release.teacher_table(settings.task.name, settings.seed).set_index("id")
    columns = ["explanation", "counterfactuals", "critique", "revision"]
    return pd.concat([table, texts.loc[table["id"], columns].reset_index(drop=True)], axis=1)


def write_revisions(settings: profile.Profile, explanations: pd.DataFrame) -> pd.DataFrame:
    """Stage 02: the table of stage 01 with critique and revision of every explanation."""
    if settings.teacher.source == "published":
        return _published_texts(settings)
    corpus = Corpus(settings)
    given = {
        row["id"]: {"explanation": row["explanation"]} for row in explanations.to_dict("records")
    }
    if set(given) != {q.id for _, q in corpus.questions}:
        raise UserError(
            "The explanations on disk are of other questions; run "
            f"notebooks/01_generation.ipynb with profile '{settings.name}' again."
        )
    for (id, _), text in corpus.write("critique", given).items():
        given[id]["critique"] = text
    for (id, _), text in corpus.write("revision", given).items():
        given[id]["revision"] = text
    return explanations.assign(
        request=[corpus.request(q) for _, q in corpus.questions],
        critique=[given[id]["critique"] for id in explanations["id"]],
        revision=[given[id]["revision"] for id in explanations["id"]],
    )


def long_table(texts: pd.DataFrame) -> pd.DataFrame:
    """A row a text: kind, id, text, characters, empty, degenerate, share of wrong choices named."""
    rows = []
    for row in texts.to_dict("records"):
        kinds = [
            (k, row["answer"], row[k])
            for k in ("explanation", "critique", "revision")
            if isinstance(row.get(k), str)
        ]
        kinds += [
            ("counterfactual", i, text)
            for i, text in enumerate(row["counterfactuals"])
            if isinstance(text, str)
        ]
        for kind, choice, text in kinds:
            rows.append(
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
            )
    return pd.DataFrame(rows)


def sample_prompt(settings: profile.Profile, kind: str) -> str:
    """The assembled prompt of the first question as plain text, to look at."""
    corpus = Corpus(settings)
    question = corpus.questions[0][1]
    choice = corpus.choices(kind, question)[0]
    return prompt.render(corpus.prompt_of(kind, question, choice, {}), None, chat=False)


def published_critiques(settings: profile.Profile) -> pd.DataFrame:
    """The released critiques of the profile's test questions, a row each: kind, id, characters.

    Empty where they are not at hand (see lib.questions.release) or the profile's texts are not published.
    """
    rows = []
    if settings.teacher.source == "published" and settings.task.name == "commonsenseqa":
        test = tasks.load(settings.task, settings.seed)["test"]
        found = release.critiques()
        rows = [("critique (test split)", q.id, len(found[q.id])) for q in test if q.id in found]
        print(f"Critiques at hand: {len(rows):,} for {len(test):,} test questions.")
    return pd.DataFrame(rows, columns=["kind", "id", "characters"]).astype({"characters": int})


def revised_pairs(settings: profile.Profile, long: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``long_table`` with all pairs of explanation and revision: ``long`` itself, or, where
    the profile takes the published train file whole, also the questions left out of training."""
    if settings.teacher.source != "published" or settings.task.train is not None:
        return long
    texts = release.load(settings.task.name, "train")[0]
    return long_table(texts.assign(counterfactuals=[()] * len(texts)))


def origin(settings: profile.Profile) -> dict:
    """What the texts come from, for the provenance of figures: prompts and teacher, or release."""
    if settings.teacher.source == "published":
        pinned = download.read_sources()
        return {"texts": f"published: {pinned['repository']} at {pinned['commit']}"}
    return {"prompts_sha256": prompt.fingerprint(settings.task.name)} | teacher_identity(settings)


def teacher_identity(settings: profile.Profile) -> dict:
    """What pins the teacher; behind a server (where it runs does not change texts) its name."""
    teacher = settings.teacher
    return {"model": teacher.model} if teacher.server else checkpoints.identity(teacher.model)


def summary(long: pd.DataFrame) -> pd.DataFrame:
    """Per kind: texts, mean characters, shares empty and degenerate, other choices named."""
    return (
        long.groupby("kind", sort=False)
        .agg(
            texts=("id", "size"),
            mean_characters=("characters", "mean"),
            empty=("empty", "mean"),
            degenerate=("degenerate", "mean"),
            mentions_other_choices=("mentions_other_choices", "mean"),
        )
        .reset_index()
    )


def cleaning(settings: profile.Profile):
    """What cleaning did to the published train texts, by kind; a sentence where none are used."""
    if settings.teacher.source == "published":
        return release.load(settings.task.name, "train")[1]
    from IPython.display import Markdown

    return Markdown(
        "These texts were written here: each text's first line is kept, none is dropped."
    )
