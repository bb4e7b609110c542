"""Shards: only what is missing is made, and damage is noticed."""

from lib.common import files
from lib.teacher.shards import Shards


def test_only_what_is_missing_is_made_and_damage_is_set_aside(tmp_path, capsys):
    shards = Shards(tmp_path, "texts", {"model": "x"})
    batches, made = [[1, 2], [3], [4, 5]], []

    def make(batch):
        made.append(batch)
        return [{"n": n} for n in batch]

    first = shards.complete(batches, make, "texts")
    assert first == [{"n": n} for n in range(1, 6)] and made == batches
    assert shards.complete(batches, make, "texts") == first and made == batches
    (victim,) = shards.folder.glob("shard-00001-*")
    victim.write_bytes(victim.read_bytes()[:-4])
    assert shards.complete(batches, make, "texts") == first and made == [*batches, [3]]
    assert "is damaged" in capsys.readouterr().out
    assert files.read_json(shards.folder / "manifest.json", "x")["records"] == 5


def test_a_text_with_other_line_ends_is_read_back(tmp_path):
    """U+2028 and U+0085 end a line for str.splitlines, but not in JSON lines."""
    shards = Shards(tmp_path, "texts", {})
    records = [{"text": "one\u2028two\x85three\nfour"}, {"text": "five"}]
    shards.write(0, records)
    assert shards.read(0) == records


def test_other_settings_use_another_folder(tmp_path):
    assert len({Shards(tmp_path, "texts", {"model": model}).folder for model in "ab"}) == 2
