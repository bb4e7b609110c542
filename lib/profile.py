"""One run's settings, typed and checked before anything starts (notebooks/profiles/*.yaml)."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lib import objectives, paths, tasks
from lib.errors import UserError, hint


class Settings(BaseModel):
    """Base: unknown keys and silently converted types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TaskSettings(Settings):
    """Which questions, and how many of each split (null = all)."""

    name: str
    source: str = Field("default", pattern=r"^(default|published|folder:.+)$")
    train: int | None = Field(None, gt=0)
    dev: int | None = Field(None, gt=0)
    test: int | None = Field(None, gt=0)


class TokenLimits(Settings):
    """Longest new text of each kind, in tokens of the teacher."""

    explanation: int = Field(160, gt=0)
    counterfactual: int = Field(160, gt=0)
    critique: int = Field(300, gt=0)
    revision: int = Field(300, gt=0)


class ServerSettings(Settings):
    """An OpenAI-compatible completions server; ``timeout`` of one request and ``patience`` in s."""

    url: str = Field(pattern=r"^https?://")
    concurrency: int = Field(16, gt=0)
    timeout: float = Field(300, gt=0)
    patience: float = Field(600, ge=0)


class TeacherSettings(Settings):
    """The large model that writes explanations, and how it is asked.

    ``source`` published takes the authors' released texts instead of writing any.
    """

    source: Literal["generate", "published"] = "generate"
    model: str | None = None
    engine: Literal["local", "server"] = "local"
    server: ServerSettings | None = None
    precision: Literal["float32", "bfloat16", "8bit", "4bit", "auto"] = "auto"
    shots: int = Field(7, ge=0, le=7)
    prefixes: int = Field(8, gt=0)
    chat: bool | None = None
    counterfactuals: Literal["first", "all"] = "all"
    answer_in_revision: bool = True
    batch_size: int = Field(64, gt=0)
    max_new_tokens: TokenLimits = TokenLimits()


class StudentModel(Settings):
    """A checkpoint to fine-tune and the name of its size in tables and figures.

    All weights are trained, or the top ``trainable_layers``, or LoRA adapters of ``lora_rank`` on
    the full or, with ``base`` 4bit (QLoRA), on the quantised checkpoint.
    """

    size: str
    model: str
    trainable_layers: int | None = Field(None, gt=0)
    lora_rank: int | None = Field(None, gt=0)
    base: Literal["full", "4bit"] = "full"


class TrainingSettings(Settings):
    """How every student is trained (steps and batches count questions).

    ``alpha``, ``beta``, ``gamma``, ``cf_loss``, ``factual_from``, ``wrong_choice`` and ``tags``: see
    lib.objectives. ``share``: the part of the train questions that is used.
    """

    steps: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    accumulation: int = Field(1, gt=0)
    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(0, ge=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    weight_decay: float = Field(0.0, ge=0)
    precision: Literal["float32", "bfloat16", "auto"] = "auto"
    evaluate_every: int = Field(gt=0)
    checkpoint_every: int | None = Field(None, gt=0)
    alpha: float = Field(0.5, ge=0, le=1)
    beta: float = Field(0.5, ge=0, le=1)
    gamma: float = Field(0.5, ge=0, le=1)
    cf_loss: Literal["weighted", "sum"] = "weighted"
    factual_from: Literal["explanation", "counterfactual"] = "explanation"
    wrong_choice: Literal["first", "random"] = "first"
    tags: Literal["words", "numbers", "none", "twice"] = "words"
    share: float = Field(1.0, gt=0, le=1)


class EvaluationSettings(Settings):
    """How students answer the test questions, and who reads their explanations.

    Students explain the first ``explained`` test questions (null = all).
    ``reader``: the model that reads the explanations of the first ``reader_questions`` questions
    (lib.simulator); none takes a local teacher. ``also``: other tasks that every student answers.
    """

    batch_size: int = Field(64, gt=0)
    answer_tokens: int = Field(24, gt=0)
    explanation_tokens: int = Field(160, gt=0)
    explained: int | None = Field(None, gt=0)
    reader: str | None = None
    reader_questions: int = Field(60, gt=0)
    also: list[TaskSettings] = []


class Profile(Settings):
    """All settings of a run; ``arms`` lists method:texts pairs such as ``MT+CF:Revised``.

    ``variants``: name -> training settings that differ; every arm is trained once in each.
    """

    name: str
    description: str
    seed: int = Field(0, ge=0)
    task: TaskSettings
    teacher: TeacherSettings
    students: list[StudentModel] = Field(min_length=1)
    arms: list[str] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)
    training: TrainingSettings
    variants: dict[str, dict[str, float | int | str]] = {}
    evaluation: EvaluationSettings = EvaluationSettings()

    @model_validator(mode="after")
    def possible(self) -> "Profile":
        """Combinations that cannot work are refused here, in words."""
        allowed = objectives.arms()
        for arm in self.arms:
            if arm not in allowed:
                raise ValueError(f"arms: '{arm}' is not one of {', '.join(allowed)}")
        for field in ("arms", "seeds"):
            values = getattr(self, field)
            if len(set(values)) < len(values):
                raise ValueError(f"{field}: an entry stands twice")
        if len({student.size for student in self.students}) < len(self.students):
            raise ValueError("students: two have the same size name")
        if (self.teacher.source == "published") != (self.task.source == "published"):
            raise ValueError("teacher.source and task.source are either both published or neither")
        if self.teacher.source == "generate" and not self.teacher.model:
            raise ValueError("teacher: a model is needed to generate texts")
        if (self.teacher.engine == "server") != (self.teacher.server is not None):
            raise ValueError("teacher: engine server goes with a server section (url), local without")
        if self.teacher.engine == "server" and self.teacher.chat:
            raise ValueError("teacher: chat goes with engine local; a server is sent plain prompts")
        asked = [task.name for task in (self.task, *self.evaluation.also)]
        for name in asked:
            if name not in tasks.names():
                raise ValueError(f"task '{name}' is not one of {', '.join(tasks.names())}")
        if len(set(asked)) < len(asked):
            raise ValueError("evaluation.also: task and also name a task twice; name each once")
        for student in self.students:
            if student.lora_rank and student.trainable_layers:
                raise ValueError(f"students: {student.size} has both lora_rank and trainable_layers")
            if student.base == "4bit" and not student.lora_rank:
                raise ValueError(f"students: {student.size} has base 4bit, which needs a lora_rank")
        for variant in self.variants or [""]:
            self._check_training(variant)
        return self

    def _check_training(self, variant: str) -> None:
        if "," in variant:
            raise ValueError(f"variants: '{variant}': a name holds no comma")
        try:
            training = self.training_of(variant)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"variants: '{variant}': {'.'.join(map(str, first['loc']))}: "
                             f"{first['msg']}") from None
        if training.batch_size % training.accumulation:
            raise ValueError("training: batch_size must be a multiple of accumulation")
        if self.teacher.source == "generate" and self.teacher.counterfactuals == "first":
            for name, value in (("wrong_choice", "random"), ("factual_from", "counterfactual")):
                if getattr(training, name) == value:
                    raise ValueError(f"training: {name} {value} needs teacher.counterfactuals all")

    @property
    def models(self) -> list[str]:
        """References of all models that a run loads: teacher (unless a server has it), students, reader."""
        teacher = self.teacher.model if self.teacher.engine == "local" else None
        wanted = [teacher, *(s.model for s in self.students), self.evaluation.reader]
        return [name for name in dict.fromkeys(wanted) if name]

    def training_of(self, variant: str = "") -> TrainingSettings:
        """The training settings of a variant (none: the profile's own)."""
        return TrainingSettings(**{**self.training.model_dump(), **self.variants.get(variant, {})})


def names() -> list[str]:
    """Names of the profiles that exist."""
    return sorted(path.stem for path in paths.PROFILES.glob("*.yaml"))


def _sentence(error: ValidationError, path: Path) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        tip = hint(first["loc"][-1], _fields(first["loc"][:-1]), "known keys:")
        return f"{paths.shown(path)}: unknown key '{where}'; {tip}"
    message = first["msg"].removeprefix("Value error, ")
    if not where:
        return f"{paths.shown(path)}: {message}; correct it and try again."
    got = "" if first["type"] == "missing" else f" (found {first['input']!r})"
    return f"{paths.shown(path)}: {where}: {message}{got}; correct it and try again."


def _fields(location: tuple) -> list[str]:
    model = Profile
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        inner = getattr(annotation, "__args__", (annotation,))
        model = next(a for a in inner if isinstance(a, type) and issubclass(a, BaseModel))
    return list(model.model_fields)


def load(name: str) -> Profile:
    """Read and check ``notebooks/profiles/<name>.yaml``; UserError says what is wrong and where."""
    path = paths.PROFILES / f"{name}.yaml"
    if not path.is_file():
        raise UserError(f"There is no profile '{name}' in {paths.shown(paths.PROFILES)}; "
                        + hint(name, names()))
    return parse(path)


def parse(path: Path) -> Profile:
    """Read and check one profile file."""
    raw = _read(path)
    try:
        profile = Profile(**raw)
    except ValidationError as error:
        raise UserError(_sentence(error, path)) from None
    if profile.name != path.stem:
        raise UserError(f"{paths.shown(path)}: name is '{profile.name}'; make it '{path.stem}'.")
    return profile


def _read(path: Path, children: tuple[str, ...] = ()) -> dict:
    """The file's settings; what it does not say comes from the profile that it ``extends``."""
    try:
        raw = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise UserError(f"{paths.shown(path)}: not valid YAML near line {line}; correct it.") from None
    if not isinstance(raw, dict):
        raise UserError(f"{paths.shown(path)}: expected 'key: value' lines; see profiles/cpu.yaml.")
    parent = raw.pop("extends", None)
    if parent is None:
        return raw
    children = (*children, path.stem)
    if parent in children or parent not in names():
        raise UserError(f"{paths.shown(path)}: extends: '{parent}' is no other profile; there are "
                        f"{', '.join(names())}.")
    below = _read(paths.PROFILES / f"{parent}.yaml", children)
    return below | {key: below[key] | value if isinstance(value, dict) and key in below else value
                    for key, value in raw.items()}


def ancestors(name: str) -> list[str]:
    """The profiles that a profile ``extends``, nearest first."""
    parent = yaml.safe_load((paths.PROFILES / f"{name}.yaml").read_text()).get("extends")
    return [parent, *ancestors(parent)] if parent else []


def run_folder(profile: Profile) -> Path:
    """Where all stage outputs of the profile go."""
    return paths.RUNS / profile.name
