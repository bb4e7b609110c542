"""The teacher's texts for all questions: what is asked, in which order, and where it is kept."""

import functools
import hashlib
import itertools
import json
import random

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from lib.common import files, paths, profile
from lib.common.errors import UserError
from lib.models import checkpoints
from lib.questions import release, splits
from lib.questions.question import Question, words
from lib.teacher import prompt, teacher
from lib.teacher.shards import Shards

KINDS = ("explanation", "critique", "revision")  # a text a question


class Corpus:
    """Texts of one profile: explanations, counterfactuals (01), critiques and revisions (02).

    Finished batches are shards on disk; only what is missing loads the teacher and is written.
    ``parts``: the splits; ``first``: only so many questions of each.
    """

    def __init__(self, settings: profile.Profile, parts=("train", "dev"), first: int | None = None):
        self.settings = settings
        questions = splits.load(settings.task, settings.seed)
        self.questions = [(split, q) for split in parts for q in questions[split][:first]]
        self.by_id = {q.id: q for _, q in self.questions}
        self.texts = prompt.read(settings.task.name)
        self.prefixes = prompt.prefixes(
            self.texts, settings.teacher.shots, settings.teacher.prefixes, settings.seed
        )
        shuffled = [q.id for _, q in self.questions]
        random.Random(f"prefixes {settings.seed}").shuffle(shuffled)
        self.prefix_of = {id: i % len(self.prefixes) for i, id in enumerate(shuffled)}

    @functools.cached_property
    def teacher(self):
        """The teacher, loaded at its first use."""
        return teacher.load(self.settings.teacher)

    def request(self, question: Question) -> int:
        """Which matched critique/revision request pair the question uses."""
        return random.Random(f"request {self.settings.seed} {question.id}").randrange(
            len(self.texts["requests"])
        )

    def prompt_of(self, kind: str, question: Question, choice: int, given: dict) -> prompt.Prompt:
        """The prompt of one text; ``given`` holds the question's earlier texts by kind."""
        prefix = self.prefixes[self.prefix_of[question.id]]
        request = self.texts["requests"][self.request(question)]
        case = prompt.case(question, choice, **given)
        if kind == "critique":
            return prompt.critique(case, request, prefix)
        if kind == "revision":
            return prompt.revise(case, request, prefix, self.settings.teacher.answer_in_revision)
        return prompt.explain(case, prefix)

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
            ends = [len(group) * i // parts for i in range(parts + 1)]
            batches += [group[start:end] for start, end in itertools.pairwise(ends)]
        return batches

    def prompts(self, kind: str, batch: list[tuple[str, int]], given: dict) -> list[prompt.Prompt]:
        """The prompts of one batch; ``given``: question id -> its earlier texts by kind."""
        return [
            self.prompt_of(kind, self.by_id[id], choice, given.get(id, {})) for id, choice in batch
        ]

    def plan_key(self, kind: str, given: dict | None = None) -> dict:
        """What decides the texts of a kind; a change starts a new folder.

        ``prompts``: SHA-256 over all batches and prompts, and so over questions, worked examples,
        requests and ``given``, the earlier texts. It lacks code, packages and machine (another one
        may round otherwise).
        """
        digest = hashlib.sha256()
        for batch in self.batches(kind):
            asked = [(p.head, p.tail, p.opening) for p in self.prompts(kind, batch, given or {})]
            digest.update(json.dumps([batch, asked]).encode())
        settings = self.settings.teacher
        return {
            "kind": kind,
            **teacher_identity(self.settings),
            **settings.model_dump(include={"engine", "precision", "chat"}),
            "max_new_tokens": getattr(settings.max_new_tokens, kind),
            "prompts": digest.hexdigest(),
        }

    def write(self, kind: str, given: dict | None = None) -> dict[tuple[str, int], str]:
        """Texts of one kind by (question id, choice); finished batches are read, not made again."""
        limit = getattr(self.settings.teacher.max_new_tokens, kind)

        def make(batch):
            texts = self.teacher.texts(self.prompts(kind, batch, given or {}), limit)
            return [
                {"id": id, "choice": choice, "text": text}
                for (id, choice), text in zip(batch, texts, strict=True)
            ]

        shards = Shards(paths.TEXTS, kind, self.plan_key(kind, given))
        records = shards.complete(self.batches(kind), make, kind)
        return {(r["id"], r["choice"]): r["text"] for r in records}


def teacher_identity(settings: profile.Profile) -> dict:
    """What pins the teacher; behind a server (where it runs does not change texts) its name."""
    model = settings.teacher.model
    return {"model": model} if settings.teacher.server else checkpoints.identity(model)


def write_explanations(settings: profile.Profile) -> pd.DataFrame:
    """Notebook 01: a row a question with its explanation and its counterfactuals by choice.

    counterfactuals has one entry a choice; None where the profile asks for none.
    """
    if settings.teacher.source == "published":
        return _published_texts(settings).drop(columns="revision")
    if settings.teacher.source == "written":
        return _written_texts(settings).drop(columns=["critique", "revision"], errors="ignore")
    return _explain(Corpus(settings))


def _explain(corpus: Corpus) -> pd.DataFrame:
    explanations = corpus.write("explanation")
    counterfactuals = corpus.write("counterfactual")
    return _question_table(corpus.questions).assign(
        prefix=[corpus.prefix_of[q.id] for _, q in corpus.questions],
        explanation=[explanations[q.id, q.answer] for _, q in corpus.questions],
        counterfactuals=[
            [counterfactuals.get((q.id, i)) for i in range(len(q.choices))]
            for _, q in corpus.questions
        ],
    )


def write_revisions(settings: profile.Profile, explanations: pd.DataFrame) -> pd.DataFrame:
    """Notebook 02: the table of 01 with critique and revision of every explanation."""
    if settings.teacher.source == "published":
        return _published_texts(settings)
    if settings.teacher.source == "written":
        return _written_texts(settings)
    corpus = Corpus(settings)
    if set(explanations["id"]) != set(corpus.by_id):
        raise UserError(
            "The explanations on disk are of other questions; run "
            f"notebooks/01_generation.ipynb with profile '{settings.name}' again."
        )
    return _revise(corpus, explanations)


def _revise(corpus: Corpus, explanations: pd.DataFrame) -> pd.DataFrame:
    given = {row.id: {"explanation": row.explanation} for row in explanations.itertuples()}
    for kind in ("critique", "revision"):
        for (id, _), text in corpus.write(kind, given).items():
            given[id][kind] = text
    return explanations.assign(
        request=[corpus.request(q) for _, q in corpus.questions],
        critique=[given[id]["critique"] for id in explanations["id"]],
        revision=[given[id]["revision"] for id in explanations["id"]],
    )


def write_live(settings: profile.Profile, revised: bool = False) -> pd.DataFrame:
    """What the teacher writes now of the first ``live`` train questions, as ``write_explanations``
    gives it or, ``revised``, with its critiques and revisions of its own explanations; empty
    unless all other texts are written by hand."""
    corpus = Corpus(settings, ("train",), settings.teacher.live)
    if settings.teacher.source != "written" or not corpus.questions:
        return pd.DataFrame()
    explained = _explain(corpus)
    return _revise(corpus, explained) if revised else explained


def _question_table(questions: list[tuple[str, Question]]) -> pd.DataFrame:
    rows = [(q.id, split, q.question, list(q.choices), q.answer) for split, q in questions]
    return pd.DataFrame(rows, columns=["id", "split", "question", "choices", "answer"])


def _published_texts(settings: profile.Profile) -> pd.DataFrame:
    """The authors' released texts of the profile's train and dev questions, in the same columns."""
    questions = splits.load(settings.task, settings.seed)  # fetches what is missing
    table = _question_table([(split, q) for split in ("train", "dev") for q in questions[split]])
    texts = release.teacher_table(settings.task.name, settings.seed).set_index("id")
    columns = ["explanation", "counterfactuals", "revision"]
    return pd.concat([table, texts.loc[table["id"], columns].reset_index(drop=True)], axis=1)


class Written(BaseModel):
    """The written texts of a question."""

    model_config = ConfigDict(strict=True)
    id: str
    explanation: str
    critique: str | None = None
    revision: str | None = None
    counterfactuals: dict[str, str] = {}


@functools.cache
def read_written(name: str, source: str = "default") -> dict[str, dict]:
    """A task's written texts by question id: explanation and, but for test questions, critique,
    revision and counterfactuals (choice -> text)."""
    known = {}
    for path in splits.texts_of(name, source):
        if not path.is_file():
            raise UserError(
                f"{paths.shown(path)} is missing; write a line a question there (id, explanation, "
                "revision, counterfactuals), or set teacher.source to generate."
            )
        for number, row in files.read_jsonl(path).items():
            try:
                found = Written.model_validate(row)
            except ValidationError as error:
                where = f"{paths.shown(path)} line {number}"
                raise UserError(f"{where}: {words(error)}; correct the row.") from None
            known[found.id] = found.model_dump(exclude_none=True)
    return known


def _written_texts(settings: profile.Profile) -> pd.DataFrame:
    """The written texts of the profile's train and dev questions, in the same columns; UserError
    names a question that lacks one that students learn from."""
    task, found = settings.task, splits.load(settings.task, settings.seed)
    known, yours = read_written(task.name, task.source), task.source.startswith("folder:")
    questions = [(split, q) for split in ("train", "dev") for q in found[split]]
    rows = []
    for _, q in questions:
        row = dict.fromkeys(KINDS) | known.get(q.id, {"counterfactuals": {}})
        row["counterfactuals"] = [row["counterfactuals"].get(choice) for choice in q.choices]
        needed = {kind: row[kind] for kind in KINDS if kind != "critique" or not yours}
        needed["counterfactual (first wrong choice)"] = row["counterfactuals"][q.wrong[0]]
        if lacking := [kind for kind, text in needed.items() if not text]:
            raise UserError(
                f"The question '{q.id}' ({q.question}) has no written {lacking[0]}; add it to "
                f"{paths.shown(splits.texts_of(task.name, task.source)[0])} or lower task.train "
                "and task.dev."
            )
        rows.append(row)
    columns = ["explanation", "counterfactuals", "critique", "revision"]
    table = pd.concat([_question_table(questions), pd.DataFrame(rows)[columns]], axis=1)
    return table.dropna(axis=1, how="all")  # a folder of yours may have no critiques
