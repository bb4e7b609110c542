"""Parts of the GPU benchmark: what fails leaves its reason, and the others go on."""

import os
import time

from tests.bench import parts


def test_rows_of_a_part():
    def part():
        yield {"what": "a", "value": 1.5}
        yield {"what": "b", "value": 2}

    rows = parts.rows_of(part, "good", 30)
    assert rows == [
        {"part": "good", "what": "a", "value": 1.5},
        {"part": "good", "what": "b", "value": 2},
    ]


def test_what_was_measured_before_a_failure_is_kept():
    def raises():
        yield {"what": "a"}
        raise RuntimeError("out of\nmemory")

    def dies():
        yield {"what": "a"}
        os._exit(7)

    def hangs():
        yield {"what": "a"}
        time.sleep(60)

    for part, reason in (
        (raises, "RuntimeError: out of memory"),
        (dies, "its process ended with status 7"),
        (hangs, "not finished within 1 s"),
    ):
        first, last = parts.rows_of(part, "bad", 1)
        assert first == {"part": "bad", "what": "a"}
        assert last == {"part": "bad", "failed": reason}


def test_a_condition_is_asked_elsewhere():
    asked = []
    assert parts.true_in_fork(lambda: asked.append(1) or True) and not asked
    assert not parts.true_in_fork(lambda: False)
