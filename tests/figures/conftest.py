"""What every figure's test checks of its layout."""

from itertools import combinations

import pytest
from matplotlib.text import Text

from lib.figures.style import DOUBLE


@pytest.fixture
def readable():
    """Function: nothing of a figure is smaller than 7 points, clipped, or covered by a legend."""

    def check(figure):
        figure.canvas.draw()
        assert figure.get_figwidth() <= DOUBLE
        texts = [text for text in figure.findobj(Text) if text.get_text().strip()]
        assert min(text.get_fontsize() for text in texts) >= 7
        legends = [legend.get_window_extent() for legend in figure.legends]
        panels = [ax.get_tightbbox() for ax in figure.axes]  # ticks, labels, titles, texts
        around = [text.get_window_extent() for text in figure.texts]
        assert not any(legend.overlaps(box) for legend in legends for box in panels + around)
        for ax in figure.axes:
            inside = [text.get_window_extent() for text in ax.texts]
            assert not any(a.overlaps(b) for a, b in combinations(inside, 2))
        for box in panels + legends + around:
            assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1
            assert box.y0 >= -1 and box.y1 <= figure.bbox.y1 + 1

    return check
