"""What a computation took: peak memory and, where the machine counts it, energy."""

import ctypes
import gc
import resource
import sys
from pathlib import Path

import torch

RAPL = Path("/sys/class/powercap")  # the kernel's energy counters of processor packages


def reset_peak_memory() -> None:
    """Give unused memory back and start measuring the peak anew (on Linux; elsewhere it is the
    whole process's)."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; absent with other libcs
        if trim is not None:
            trim(0)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        print("Peak memory is that of the whole process on this system.", flush=True)


def peak_memory_gb(device: torch.device) -> float:
    """Peak since ``reset_peak_memory``: allocated on the GPU, or this process's resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    try:
        text = Path("/proc/self/status").read_text()
        return int(text.split("VmHWM:")[1].split()[0]) * 1024 / 1e9
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def joules() -> float | None:
    """The processor packages' energy counters (RAPL), or None where they cannot be read."""
    try:
        counters = [int(path.read_text()) for path in RAPL.glob("intel-rapl:?/energy_uj")]
    except (OSError, ValueError):
        return None
    return sum(counters) / 1e6 if counters else None


def spent(before: float | None) -> float | None:
    """Joules since ``before``; None where they are not counted or the counter began anew."""
    now = joules()
    return (
        round(now - before, 1) if now is not None and before is not None and now >= before else None
    )
