"""One run's settings, typed and checked before anything starts (notebooks/profiles/*.yaml)."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lib.common import files, methods, paths
from lib.common.errors import UserError, hint


class Settings(BaseModel):
    """Base: unknown keys and silently converted types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


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

    ``source`` published takes the authors' released texts instead of writing any, written those in
    the dataset's files (of folder:PATH in its texts.jsonl); beside these the model writes for the
    first ``live`` train questions, for comparison only.
    ``most_unusable``: the share of a kind's texts that may be unusable (lib.teacher.tables) before
    a run stops; it decides no text, so it is in no key.
    """

    source: Literal["generate", "published", "written"] = "generate"
    model: str | None = None
    live: int = Field(0, ge=0)
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
    most_unusable: float = Field(0.5, ge=0, le=1, exclude=True)

    @property
    def writes(self) -> bool:
        """Whether the model writes texts in a run: all of them, or a few beside written ones."""
        return self.source == "generate" or (self.source == "written" and self.live > 0)


class StudentModel(Settings):
    """A checkpoint to fine-tune and the name of its size in tables and figures.

    All weights are trained, or the top ``trainable_layers``, or LoRA adapters of ``lora_rank`` on
    the full or, with ``base`` 4bit (QLoRA), on the quantised checkpoint.
    """

    size: str = Field(pattern=r"^[\w.+-]+$")
    model: str
    trainable_layers: int | None = Field(None, gt=0)
    lora_rank: int | None = Field(None, gt=0)
    base: Literal["full", "4bit"] = "full"


class TrainingSettings(Settings):
    """How every student is trained (steps and batches count questions).

    ``alpha``, ``beta``, ``gamma`` (between 0 and 1) and ``cf_loss``: see lib.common.methods;
    ``factual_from``, ``wrong_choice``, ``rationales`` and ``tags``: see lib.students.objectives.
    ``share``: the part of the train questions that is used. ``accumulation``: passes of a step
    (auto: as few as memory holds). ``fast`` takes the fast path on a GPU (lib.students.fast) if it
    computes the same; it is in no key.
    """

    steps: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    accumulation: Annotated[int, Field(gt=0)] | Literal["auto"] = 1
    fast: bool = Field(True, exclude=True)
    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(0, ge=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    weight_decay: float = Field(0.0, ge=0)
    precision: Literal["float32", "bfloat16", "auto"] = "auto"
    evaluate_every: int = Field(gt=0)
    checkpoint_every: int | None = Field(None, gt=0)
    alpha: float = 0.5
    beta: float = 0.5
    gamma: float = 0.5
    cf_loss: Literal["weighted", "sum"] = "weighted"
    factual_from: Literal["explanation", "counterfactual"] = "explanation"
    wrong_choice: Literal["first", "random"] = "first"
    rationales: Literal["own", "shuffled", "three", "none"] = "own"
    tags: Literal["words", "numbers", "none", "twice"] = "words"
    share: float = Field(1.0, gt=0, le=1)


class EvaluationSettings(Settings):
    """How students answer the test questions, and who reads their explanations.

    Students explain the first ``explained`` test questions (null = all).
    ``reader``: the model that reads the explanations of the first ``reader_questions`` questions
    (lib.evaluation.reader); none takes a local teacher. ``also``: other tasks that every student
    answers.
    """

    batch_size: int = Field(64, gt=0)
    answer_tokens: int = Field(24, gt=0)
    explanation_tokens: int = Field(160, gt=0)
    explained: int | None = Field(None, gt=0)
    reader: str | None = None
    reader_questions: int = Field(60, gt=0)
    also: list[TaskSettings] = []


class Needs(Settings):
    """What a run takes: GB (1e9 bytes) of memory, disk and GPU memory; minutes on two CPU cores, or
    on the GPU.

    For ``make doctor``, ``make plan`` and the time left of a run, and for students side by side
    (lib.students.cards): no result depends on it, so it is in no key and no ``model_dump``.
    """

    memory_gb: float | None = Field(None, gt=0)
    disk_gb: float | None = Field(None, gt=0)
    gpu_gb: float | None = Field(None, gt=0)
    minutes: float | None = Field(None, gt=0)


class Profile(Settings):
    """All settings of a run; ``arms`` lists method:texts pairs such as ``MT+CF:Revised``.

    ``variants``: name -> training settings that differ; every arm is trained once in each.
    """

    name: str
    description: str
    seed: int = Field(0, ge=0, lt=2**32)
    task: TaskSettings
    teacher: TeacherSettings
    students: list[StudentModel] = Field(min_length=1)
    arms: list[str] = Field(min_length=1)
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(min_length=1)
    training: TrainingSettings
    variants: dict[str, dict[str, float | int | str]] = {}
    evaluation: EvaluationSettings = EvaluationSettings()
    needs: Needs = Field(Needs(), exclude=True)

    @model_validator(mode="after")
    def possible(self) -> "Profile":
        """Combinations that cannot work are refused here, in words."""
        allowed = methods.arms()
        for arm in self.arms:
            if arm not in allowed:
                raise ValueError(f"arms: there is no '{arm}'; {hint(arm, allowed)}")
        for field in ("arms", "seeds"):
            values = getattr(self, field)
            if len(set(values)) < len(values):
                raise ValueError(f"{field}: an entry stands twice")
        if len({student.size for student in self.students}) < len(self.students):
            raise ValueError("students: two have the same size name")
        if (self.teacher.source == "published") != (self.task.source == "published"):
            raise ValueError("teacher.source and task.source are either both published or neither")
        if self.teacher.writes and not self.teacher.model:
            raise ValueError("teacher: a model is needed to generate texts")
        listwise = any(methods.split_arm(arm)[0] == "listwise" for arm in self.arms)
        folder = self.task.source.startswith("folder:")
        alike = self.teacher.counterfactuals == "all" and self.teacher.source == "generate"
        alike |= folder and self.teacher.source == "written"
        if listwise and not alike and self.teacher.source != "published":
            raise ValueError(
                "arms: listwise needs rationales of one prompt for all choices, else style tells "
                "the right one: teacher.source generate with counterfactuals all, published, "
                "or written in a folder of yours"
            )
        if (self.teacher.engine == "server") != (self.teacher.server is not None):
            raise ValueError(
                "teacher: engine server goes with a server section (url), local without"
            )
        if self.teacher.engine == "server" and self.teacher.chat:
            raise ValueError("teacher: chat goes with engine local; a server is sent plain prompts")
        asked = [task.name for task in (self.task, *self.evaluation.also)]
        for name in asked:
            if name not in task_names():
                tip = near(name, paths.PROMPTS, task_names())
                raise ValueError(
                    f"there is no task '{name}' in {paths.shown(paths.PROMPTS)}; {tip}"
                )
        if len(set(asked)) < len(asked):
            raise ValueError("evaluation.also: task and also name a task twice; name each once")
        if self.teacher.source == "written":
            described = files.read_yaml(paths.PROMPTS / f"{self.task.name}.yaml").get("task") or {}
            if not folder and "written" not in described:
                raise ValueError(
                    "teacher.source written takes a task that has written texts, as minicqa, or a "
                    f"folder of yours with texts.jsonl; '{self.task.name}' from "
                    f"{self.task.source} has none; extend selftaught, or set teacher.source to "
                    "generate"
                )
        for student in self.students:
            if student.lora_rank and student.trainable_layers:
                raise ValueError(
                    f"students: {student.size} has both lora_rank and trainable_layers"
                )
            if student.base == "4bit" and not student.lora_rank:
                raise ValueError(f"students: {student.size} has base 4bit, which needs a lora_rank")
        for variant in self.variants or [""]:
            self._check_training(variant)
        return self

    def _check_training(self, variant: str) -> None:
        if "," in variant:
            raise ValueError(f"variants: '{variant}': a name holds no comma")
        where = f"variants: '{variant}'" if variant else "training"
        try:
            training = self.training_of(variant)
        except ValidationError as error:
            raise ValueError(f"{where}: {words(error, TrainingSettings)}") from None
        for name in ("alpha", "beta", "gamma"):
            if not 0 < getattr(training, name) < 1:
                raise ValueError(
                    f"{where}: {name} must be above 0 and below 1, as all tasks are asked"
                )
        for value, asked in (("three", "explain"), ("none", "advocate")):
            known = [methods.weights(methods.split_arm(arm)[0]) for arm in self.arms]
            if training.rationales == value and not any(asked in one for one in known):
                raise ValueError(
                    f"{where}: rationales {value} changes nothing for these arms: none of their "
                    f"methods has the objective {asked}"
                )
        if training.accumulation != "auto" and training.batch_size % training.accumulation:
            raise ValueError(f"{where}: batch_size must be a multiple of accumulation")
        if self.teacher.source == "generate" and self.teacher.counterfactuals == "first":
            for name, value in (("wrong_choice", "random"), ("factual_from", "counterfactual")):
                if getattr(training, name) == value:
                    raise ValueError(f"{where}: {name} {value} needs teacher.counterfactuals all")

    @property
    def models(self) -> list[str]:
        """All models that a run loads: teacher (unless a server has it), students, reader."""
        teacher = self.teacher.model if self.teacher.engine == "local" else None
        wanted = [teacher, *(s.model for s in self.students), self.evaluation.reader]
        return [name for name in dict.fromkeys(wanted) if name]

    def training_of(self, variant: str = "") -> TrainingSettings:
        """The training settings of a variant (none: the profile's own)."""
        own = self.training.model_dump() | {"fast": self.training.fast}
        return TrainingSettings(**own | self.variants.get(variant, {}))


def task_names() -> list[str]:
    """Names of the tasks: the files in lib/prompts, but what they share."""
    return sorted(path.stem for path in paths.PROMPTS.glob("*.yaml") if path.stem != "common")


def home() -> Path:
    """Where new profiles go, and names are looked up first: the folder PROFILES if it is set."""
    return paths.OWN_PROFILES or paths.PROFILES


def located() -> dict[str, Path]:
    """Name -> file of the profiles that exist, those of the folder PROFILES as well.

    UserError if that is no folder, or if it has a profile of a name that the repository has, too.
    """
    found = {path.stem: path for path in paths.PROFILES.glob("*.yaml")}
    if home() != paths.PROFILES:
        if not home().is_dir():
            raise UserError(f"PROFILES={home()} is no folder; make it, or leave PROFILES out.")
        for path in home().glob("*.yaml"):
            if path.stem in found:
                raise UserError(
                    f"{paths.shown(path)} has the name of {paths.shown(found[path.stem])}; "
                    "rename one."
                )
            found[path.stem] = path
    return found


def names() -> list[str]:
    """Names of the profiles that exist."""
    return sorted(located())


def near(name: str, folder: Path, known: list[str]) -> str:
    """The end of a sentence about a name that no .yaml file of a folder has: the file that has it
    but for its ending, else as ``hint``."""
    for path in sorted(folder.iterdir()):
        if name in (path.stem, path.name) and path.suffix != ".yaml":
            return f"rename {path.name} to {path.stem}.yaml."
    return hint(name, known)


def words(error: ValidationError, model: type[Settings]) -> str:
    """What is wrong first in settings of a class, where, and what to do."""
    first = error.errors()[0]
    where, given = ".".join(map(str, first["loc"])), first["input"]
    if first["type"] in ("extra_forbidden", "invalid_key"):
        tip = hint(first["loc"][-1], _fields(model, first["loc"][:-1]), "known keys:")
        return f"unknown key '{where}'; {tip}"
    if first["type"] == "missing":
        return f"'{where}' is missing; add it."
    message = first["msg"].removeprefix("Value error, ")
    if not where:
        return message if message[-1] in ".?" else f"{message}; correct it and try again."
    # To YAML a power of ten without point or sign is text.
    power = first["type"] == "float_type" and re.fullmatch(
        r"(\d+\.?\d*)e([+-]?\d+)", str(given), re.I
    )
    tip = f"write {float(power[1])}e{int(power[2]):+d}" if power else "correct it and try again"
    return f"{where}: {message} (found {given!r}); {tip}."


def _fields(model: type[Settings], location: tuple) -> list[str]:
    for part in (part for part in location if isinstance(part, str)):
        annotation = model.model_fields[part].annotation
        inner = getattr(annotation, "__args__", (annotation,))
        model = next(a for a in inner if isinstance(a, type) and issubclass(a, BaseModel))
    return list(model.model_fields)


def load(name: str) -> Profile:
    """Read and check ``notebooks/profiles/<name>.yaml``; UserError says what is wrong and where."""
    if name not in located():
        where = " or ".join(paths.shown(one) for one in dict.fromkeys((paths.PROFILES, home())))
        raise UserError(f"There is no profile '{name}' in {where}; " + near(name, home(), names()))
    return parse(located()[name])


def parse(path: Path) -> Profile:
    """Read and check one profile file."""
    try:
        profile = Profile.model_validate(_read(path))
    except ValidationError as error:
        raise UserError(f"{paths.shown(path)}: {words(error, Profile)}") from None
    if profile.name != path.stem:
        raise UserError(f"{paths.shown(path)}: name is '{profile.name}'; make it '{path.stem}'.")
    return profile


def _read(path: Path, children: tuple[str, ...] = ()) -> dict:
    """The file's settings; what it does not say (but its name) is that of what it ``extends``."""
    raw, children = files.read_yaml(path), (*children, path.stem)
    parent = raw.pop("extends", None)
    if parent is None:
        return raw
    others = [name for name in names() if name not in children]
    if parent not in others:
        raise UserError(
            f"{paths.shown(path)}: extends: '{parent}' is no other profile; "
            + near(parent, home(), others)
        )
    below = _read(located()[parent], children)
    below.pop("name", None)
    return _merge(below, raw)


def _merge(below: object, above: object, levels: int = 9) -> object:
    """Sections key by key, however deep; a variant, like a list, is replaced as a whole."""
    if not (levels and isinstance(below, dict) and isinstance(above, dict)):
        return above
    return below | {
        key: _merge(below.get(key), value, 1 if key == "variants" else levels - 1)
        for key, value in above.items()
    }


def ancestors(name: str) -> list[str]:
    """The profiles that a profile ``extends``, nearest first."""
    parent = files.read_yaml(located()[name]).get("extends")
    return [parent, *ancestors(parent)] if parent else []


def run_folder(profile: Profile) -> Path:
    """Where all stage outputs of the profile go."""
    return paths.RUNS / profile.name
