"""What a student reads: token ids of examples, and training steps in a seeded order."""

import functools
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from lib.common.errors import UserError
from lib.common.methods import OBJECTIVES
from lib.models.batching import common_prefix
from lib.models.checkpoints import token_ids
from lib.students.objectives import several

IGNORE = -100
LONGEST = 512  # tokens of input (as T5 was trained) and of target
JUDGE, RIVAL = map(OBJECTIVES.index, ("judge", "rival"))
PADDING = {"labels": IGNORE, "objective": -1, "branch": -1, "position": 0}


class Encoder:
    """Turns (input, target) texts into token ids for one student, counting what was cut."""

    def __init__(self, tokenizer, seq2seq: bool):
        self.tokenizer, self.seq2seq = tokenizer, seq2seq
        self.cut = 0
        if tokenizer.eos_token_id is None:
            raise UserError("The student's tokenizer has no end-of-sequence token; choose another.")
        self.pad = tokenizer.pad_token_id or 0

    @functools.cached_property
    def verdict(self) -> int:
        """The token whose log-probability after a rationale is the judge's score of it."""
        return token_ids(self.tokenizer, ["yes"])[0][0]

    def prompts(self, texts: list[str]) -> list[list[int]]:
        """Ids of each input; an over-long input is cut (its question is kept) and counted.

        A decoder-only student reads its tag last, right before it writes, so that all objectives
        of a question share their beginning (see ``rows``). With the tag in front it would also take
        far more steps to tell the objectives apart.
        """
        if self.seq2seq:
            heads = token_ids(self.tokenizer, texts, add_special_tokens=True)
            ends = [[]] * len(texts)
        else:
            tags = [re.match(r"(\[\w+\] )?", text)[0] for text in texts]
            bodies = [text[len(tag) :] for text, tag in zip(texts, tags, strict=True)]
            heads = token_ids(self.tokenizer, bodies)
            lines = [f"\n{tag.strip()}\n" if tag else "\n" for tag in tags]
            ends = token_ids(self.tokenizer, lines)
        self.cut += sum(len(a) + len(b) > LONGEST for a, b in zip(heads, ends, strict=True))
        return [a[: LONGEST - len(b)] + b for a, b in zip(heads, ends, strict=True)]

    def targets(self, texts: list[str]) -> list[list[int]]:
        """Ids of each target, always closed by end-of-sequence."""
        found = token_ids(self.tokenizer, texts)
        self.cut += sum(len(ids) >= LONGEST for ids in found)
        return [ids[: LONGEST - 1] + [self.tokenizer.eos_token_id] for ids in found]

    def examples(self, pairs: list[tuple[str, str]]) -> list[dict[str, list[int]]]:
        """Ids and labels of each (input, target); a label stands where its token is predicted."""
        prompts = self.prompts([source for source, _ in pairs])
        found = []
        for prompt, wanted in zip(prompts, self.targets([text for _, text in pairs]), strict=True):
            if self.seq2seq:
                found.append({"input_ids": prompt, "labels": wanted})
            else:
                labels = [IGNORE] * (len(prompt) - 1) + wanted
                found.append({"input_ids": prompt + wanted[:-1], "labels": labels})
        return found

    def example(self, source: str, target: str) -> dict[str, list[int]]:
        """One of ``examples``."""
        return self.examples([(source, target)])[0]

    def encode(self, pairs: dict[str, dict[str, list]]) -> dict[str, dict[str, list]]:
        """Split -> objective -> examples, from pairs in the same order (a list of examples where a
        question has a list of pairs): all at once, since many texts stand in several objectives."""
        lists = [
            several(made) for part in pairs.values() for rows in part.values() for made in rows
        ]
        examples = iter(self.examples([pair for made in lists for pair in made]))
        return {
            split: {
                name: [self.encoded(name, made, examples) for made in rows]
                for name, rows in part.items()
            }
            for split, part in pairs.items()
        }

    def encoded(self, objective: str, made: tuple | list, examples: Iterator[dict]):
        """The next of the examples that belong to a question's pairs; behind each text of an
        advocate the judge's verdict, of which the first is that of the right choice."""
        found = [next(examples) for _ in several(made)]
        if objective == "advocate":
            if self.seq2seq:
                raise UserError("listwise students are decoder-only; choose another student.")
            for number, example in enumerate(found):
                example["input_ids"] = [*example["input_ids"], self.tokenizer.eos_token_id]
                example["labels"] = [*example["labels"], self.verdict]
                example["last"] = RIVAL if number else JUDGE
        return found if isinstance(made, list) else found[0]

    def rows(self, examples: Iterable[tuple[int, dict]]) -> list[dict[str, list[int]]]:
        """The examples of one question (with their objectives' numbers) as rows of a batch.

        Encoder-decoder: a row each. Decoder-only: one row, in which the tokens that all prompts
        begin with are read once (branch 0) and each objective goes on from there (branches 1, 2,
        ...) without seeing the others; ``position`` counts along each branch.
        """
        examples = list(examples)
        if self.seq2seq:
            return [
                example | {"objective": [number] * len(example["labels"])}
                for number, example in examples
            ]
        shared = min(example["labels"].count(IGNORE) for _, example in examples)
        shared = common_prefix([example["input_ids"][:shared] for _, example in examples])
        row = {
            "input_ids": examples[0][1]["input_ids"][:shared],
            "labels": [IGNORE] * shared,
            "objective": [-1] * shared,
            "branch": [0] * shared,
            "position": list(range(shared)),
        }
        for branch, (number, example) in enumerate(examples, 1):
            size = len(example["input_ids"]) - shared
            row["input_ids"] += example["input_ids"][shared:]
            row["labels"] += example["labels"][shared:]
            row["objective"] += [*[number] * (size - 1), example.get("last", number)]
            row["branch"] += [branch] * size
            row["position"] += range(shared, shared + size)
        return [row]

    def collate(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        """Pad to the longest of the batch: [rows, tokens]; padding is masked and never a label."""
        padding = PADDING | {"input_ids": self.pad}
        batch = {
            name: pad_sequence([torch.tensor(row[name]) for row in rows], True, padding[name])
            for name in rows[0]
        }
        ones = [torch.ones(len(row["input_ids"]), dtype=torch.long) for row in rows]
        return batch | {"attention_mask": pad_sequence(ones, True)}


def wanted(example: dict) -> int:
    """How many target tokens of its objective an example has (a verdict is another's)."""
    return len(example["labels"]) - example["labels"].count(IGNORE) - ("last" in example)


@functools.lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, questions: int) -> list[int]:
    """Indices of the questions in the seeded order of an epoch."""
    order = list(range(questions))
    random.Random(f"order {seed} {epoch}").shuffle(order)
    return order


@dataclass(eq=False)
class Steps(Dataset):
    """Training steps in order: item i is step ``start`` + i, in passes (see ``__getitem__``).

    Each step takes ``batch_size`` questions (every epoch in a new seeded order), all objectives of
    each, sorts the rows by length and splits them into ``accumulation`` passes, each of these among
    ``world`` processes. A target token weighs its objective's weight / target tokens of that
    objective in the whole step: the sum over passes and processes is exactly the weighted sum of
    the objectives' means.

    ``examples``: objective -> encoded examples, the same questions in each. ``start``: the first
    step that is still to do. With ``once`` (dev) every question comes once, and the last step may
    be smaller. ``parts``: passes of a step from now on; shared with the process that collates.
    ``layout``: how rows become passes where not each is padded (see ``lib.students.fast``).
    """

    examples: dict[str, list[dict]]
    weights: dict[str, float]
    encoder: Encoder
    steps: int
    batch_size: int
    accumulation: int = 1
    seed: int = 0
    start: int = 0
    rank: int = 0
    world: int = 1
    once: bool = False
    layout: Callable[[list[dict], int], list[dict]] | None = None

    def __post_init__(self):
        self.parts = torch.tensor(self.accumulation)
        self.targets = {  # objective -> target tokens of each question
            name: [sum(map(wanted, several(made))) for made in rows]
            for name, rows in self.examples.items()
            if name in self.weights
        }
        if "judge" in self.weights:  # one list of choices
            self.targets["judge"] = [1] * len(self.examples["advocate"])

    def __len__(self) -> int:
        return self.steps - self.start

    def __getitem__(self, item: int) -> dict:
        """A step: ``passes``, batches of ``Encoder.collate`` (or ``layout``) with the weight of a
        target token by objective [4]; its ``tokens`` (inputs, and an encoder-decoder's targets),
        its ``slots`` (those and padding), and the ``parts`` that were asked for."""
        rows, counts = self.rows_of(self.start + item)
        weights = [self.weights.get(name, 0.0) / max(1, counts[name]) for name in OBJECTIVES]
        weight, parts = torch.tensor(weights), int(self.parts)
        if self.layout:
            batches = self.layout(rows, parts)
        else:
            parted = [rows[slice(*self.slice_of(len(rows), part))] for part in range(parts)]
            rows, batches = sum(parted, []), [self.encoder.collate(part) for part in parted]
        read = ("input_ids", "labels") if self.encoder.seq2seq else ("input_ids",)
        return {
            "passes": [batch | {"weight": weight} for batch in batches],
            "tokens": sum(len(row[name]) for row in rows for name in read),
            "slots": sum(batch[name].numel() for batch in batches for name in read),
            "parts": parts,
        }

    def questions_of(self, step: int) -> list[int]:
        """Indices of the questions of a step."""
        count = len(next(iter(self.examples.values())))
        first, end = step * self.batch_size, (step + 1) * self.batch_size
        if self.once:
            end = min(end, count)
        return [epoch_order(self.seed, i // count, count)[i % count] for i in range(first, end)]

    def rows_of(self, step: int) -> tuple[list[dict], dict[str, int]]:
        """All rows of a step, and the target tokens of each objective."""
        questions, rows = self.questions_of(step), []
        for i in questions:
            rows += self.encoder.rows(
                (OBJECTIVES.index(name), example)
                for name in self.weights
                for example in several(self.examples[name][i] if name in self.examples else [])
            )
        # alike in length together; an encoder-decoder pays most for its targets
        rows.sort(key=lambda row: (len(row["labels"]), len(row["input_ids"])))
        tokens = dict.fromkeys(OBJECTIVES, 0)
        tokens |= {
            name: sum(map(each.__getitem__, questions)) for name, each in self.targets.items()
        }
        return rows, tokens

    def slice_of(self, rows: int, part: int) -> tuple[int, int]:
        """The first row and the row after the last of this process's share of a pass."""
        parts = int(self.parts)
        shares, share = parts * self.world, part * self.world + self.rank
        if rows < shares:
            raise UserError(
                f"A step has {rows} rows, too few for {shares} parts; lower training.accumulation "
                "or the number of processes, or raise batch_size."
            )
        return rows * share // shares, rows * (share + 1) // shares
