"""What the tests of the human study share: the authors' raw files, analysed once."""

import pytest

from lib.common import paths
from lib.human_study import analysis, published, reference


@pytest.fixture
def raw_files(shared, monkeypatch):
    """The authors' raw files lie where `make data` puts them."""
    monkeypatch.setattr(paths, "RAW", shared / "published")


@pytest.fixture(scope="session")
def ratings(shared):
    """The paper's raw ratings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "RAW", shared / "published")
        return published.load_ratings()


@pytest.fixture(scope="session")
def statistics(ratings):
    """Everything that is computed of them."""
    return analysis.analyse_ratings(ratings)


@pytest.fixture(scope="session")
def comparison(shared, statistics):
    """All of R's values beside ours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "RAW", shared / "published")
        return reference.compare_with_paper(statistics)
