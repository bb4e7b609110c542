"""Progress of long work as plain lines that read well in a log and in an executed notebook."""

import time
from collections.abc import Callable


def duration(seconds: float) -> str:
    """Seconds as ``42s``, ``3m05s`` or ``2h07m``."""
    seconds = int(round(seconds))
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"


class Progress:
    """Prints ``label done/total | rate | note | ETA`` at most every ``every`` seconds and at the
    end. ``note`` is called for each line; an empty one is left out."""

    def __init__(
        self,
        label: str,
        total: int,
        unit: str = "items",
        every: float = 30.0,
        note: Callable[[], str] | None = None,
    ):
        self.label, self.total, self.unit, self.every = label, total, unit, every
        self.note = note or str
        self.done = self.skipped = 0
        self.started = self.printed = time.monotonic()

    def skip(self, count: int = 1) -> None:
        """Count work that was already finished: it enters done, not the rate."""
        self.done += count
        self.skipped += count
        if self.done >= self.total:
            self._print()

    def step(self, count: int = 1) -> None:
        """Count work just done and print a line if it is time."""
        self.done += count
        now = time.monotonic()
        if self.done >= self.total or now - self.printed >= self.every:
            self.printed = now
            self._print()

    def _print(self) -> None:
        elapsed = time.monotonic() - self.started
        rate = (self.done - self.skipped) / elapsed if elapsed > 0 else 0.0
        parts = [f"{self.label} {self.done}/{self.total} {self.unit}"]
        if self.skipped:
            parts.append(f"{self.skipped} found on disk")
        if self.done > self.skipped:
            parts.append(f"{rate:.3g} {self.unit}/s")
            parts += filter(None, [self.note()])
        if self.done < self.total and rate > 0:
            parts.append(f"ETA {duration((self.total - self.done) / rate)}")
        if self.done >= self.total:
            parts.append(f"took {duration(elapsed)}")
        print(" | ".join(parts), flush=True)
