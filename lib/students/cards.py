"""GPUs that students side by side share: one starts only where there is memory for it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lib.common import files
from lib.common.profile import Profile
from lib.students import grid

NO_MEMORY = 12  # exit status of a student's process that a GPU had too little memory for (ENOMEM)


class Cards:
    """The GPUs of this machine (of CUDA_VISIBLE_DEVICES, if it is set), by number from 0.

    Beside others a student starts only if what each of them needs fits into the memory that was
    free before the first, and what it needs itself into what is free now. A need is the largest
    peak of the profile's finished students and a quarter more; before there are any it is the
    profile's ``needs.gpu_gb``.
    """

    def __init__(self, settings: Profile):
        import torch

        self.settings, self.memory = settings, torch.cuda.mem_get_info
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        count = torch.cuda.device_count()
        self.names = visible.split(",") if visible else [str(i) for i in range(count)]
        self.running = [0] * count
        try:
            self.room = [self.free_gb(card) for card in range(count)]
        except RuntimeError as error:
            print(f"Students start without a look at the GPU's memory: {error}", flush=True)
            self.running = []
        self.changed = threading.Condition()

    def free_gb(self, card: int) -> float:
        """Memory of a card that nobody uses now, in GB (1e9 bytes)."""
        return self.memory(card)[0] / 1e9

    def need_gb(self) -> float:
        """Memory that a student may need; 0 if nothing is known."""
        records = grid.students_folder(self.settings).glob("*/student.json")
        peaks = [files.read_json(path, grid.NOTEBOOK)["peak_memory_gb"] for path in records]
        return 1.25 * max(peaks) if peaks else self.settings.needs.gpu_gb or 0.0

    def fits(self, card: int) -> bool:
        """Whether a student may start on a card now; one always may."""
        if not self.running[card]:
            return True
        need = self.need_gb()
        together = need * (self.running[card] + 1)
        return together <= self.room[card] and need <= self.free_gb(card)

    @contextmanager
    def place(self, number: int, label: str) -> Iterator[str]:
        """CUDA_VISIBLE_DEVICES for the student that comes as ``number``: it takes cards in turn,
        and waits there until it fits. Without GPUs it is empty, and nobody waits."""
        if not self.running:
            yield self.names[number % len(self.names)] if self.names else ""
            return
        card = number % len(self.running)
        with self.changed:
            if not self.fits(card):
                free, need = self.free_gb(card), self.need_gb()
                where = f"GPU {self.names[card]}: {free:.1f} GB are free, it may need {need:.1f} GB"
                print(f"{label} waits for another to end on {where}", flush=True)
                self.changed.wait_for(lambda: self.fits(card))
            self.running[card] += 1
        try:
            yield self.names[card]
        finally:
            with self.changed:
                self.running[card] -= 1
                self.changed.notify_all()


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that a GPU had too little memory (CUDA, or one of its libraries)."""
    said = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in said or "ALLOC_FAILED" in said)
