"""Finished texts in shards that carry their own hash: a stopped run loses only its last batch."""

import json
from collections.abc import Callable
from pathlib import Path

from lib.common.files import key_of, sha256_bytes, write_bytes, write_json
from lib.common.paths import shown
from lib.common.progress import Progress


class Shards:
    """Records of one folder, ``<name>-<key of settings>``, a shard a batch.

    A shard is written once, atomically, as ``shard-<number>-<sha256[:12]>.jsonl``: a damaged one is
    noticed when read, set aside as ``*.damaged`` and counts as not done. ``settings`` says how the
    records were made; they lie in ``settings.json``, too.
    """

    def __init__(self, parent: Path, name: str, settings: dict):
        self.settings = settings
        self.folder = Path(parent) / f"{name}-{key_of(settings)}"

    def read(self, number: int) -> list[dict] | None:
        """The records of one shard, or None if it is not (wholly) there."""
        for path in sorted(self.folder.glob(f"shard-{number:05d}-*.jsonl")):
            data = path.read_bytes()
            if sha256_bytes(data)[:12] == path.stem.rsplit("-", 1)[1]:
                return [json.loads(line) for line in data.decode().split("\n") if line]
            print(f"{shown(path)} is damaged; it is set aside and made again.", flush=True)
            path.rename(path.with_suffix(".damaged"))
        return None

    def write(self, number: int, records: list[dict]) -> None:
        """Write one shard, whole."""
        lines = [json.dumps(record, ensure_ascii=False, sort_keys=True) for record in records]
        data = ("\n".join(lines) + "\n").encode()
        write_bytes(self.folder / f"shard-{number:05d}-{sha256_bytes(data)[:12]}.jsonl", data)

    def complete(
        self, batches: list[list], make: Callable[[list], list[dict]], label: str
    ) -> list[dict]:
        """All records in batch order: those on disk are read, the others made by ``make(batch)``.

        Batches are fixed units, so an interrupted run that goes on gives the same texts as one
        that was never interrupted. Ends by writing ``manifest.json`` (counts, hash, settings).
        """
        write_json(self.folder / "settings.json", self.settings)
        progress = Progress(label, sum(map(len, batches)), "texts")
        records: list[dict] = []
        for number, batch in enumerate(batches):
            finished = self.read(number)
            if finished is None:
                finished = make(batch)
                self.write(number, finished)
                progress.step(len(batch))
            else:
                progress.skip(len(batch))
            records.extend(finished)
        manifest = {
            "records": len(records),
            "shards": len(batches),
            "sha256": sha256_bytes(json.dumps(records, sort_keys=True).encode()),
            "settings": self.settings,
        }
        write_json(self.folder / "manifest.json", manifest)
        return records
