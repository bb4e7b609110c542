"""Lines of progress."""

from lib.common.progress import Progress


def test_a_line_has_rate_note_and_time_left(capsys):
    progress = Progress("MT s0", 4, "steps", every=0, note=lambda: "24,100 tokens/s | 6 % padding")
    progress.skip(1)
    progress.step()
    progress.step(2)
    first, last = capsys.readouterr().out.splitlines()
    label, found, rate, *note, left = first.split(" | ")
    assert (label, found) == ("MT s0 2/4 steps", "1 found on disk") and rate.endswith(" steps/s")
    assert note == ["24,100 tokens/s", "6 % padding"] and left.startswith("ETA ")
    assert last.startswith("MT s0 4/4 steps | ") and " padding | took " in last


def test_an_empty_note_leaves_no_gap(capsys):
    for note in (None, lambda: ""):
        Progress("texts", 1, note=note).step()
    assert all(len(line.split(" | ")) == 3 for line in capsys.readouterr().out.splitlines())
