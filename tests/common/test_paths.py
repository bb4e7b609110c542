"""Names of files as a reader sees them."""

from lib.common import paths


def test_a_path_is_shown_from_the_repository_or_whole(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "BUILT", tmp_path)  # as HONEY_HOME does
    assert paths.shown(paths.ROOT / "notebooks" / "profiles") == "notebooks/profiles"
    assert paths.shown(tmp_path / "data/runs") == f"{tmp_path}/data/runs"
    assert paths.shown("data/runs") == "data/runs"
