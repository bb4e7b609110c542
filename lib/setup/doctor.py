"""What this machine can and cannot run: ``python lib/setup/doctor.py [PROFILE]`` (``make doctor``).

One line a check: ok, note (works, but with a limit) or no (missing), and what that means for which
profile; then verdicts. Exit code 1 if the default run (cpu) cannot work, 2 for an unknown profile.
Installs and downloads nothing; standard library only, any Python 3.8 or later.
"""

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if ROOT not in sys.path:  # python -I leaves it out
    sys.path.insert(0, ROOT)
from lib.runner import depends
from lib.setup import install, machine  # noqa: E402

# What a run takes: GB of memory and disk, MiB of GPU memory as nvidia-smi counts. smoke and cpu are
# measured (README.md), the others estimated from the teacher and the students that are kept.
NEEDS = {
    "smoke": {"memory": 0.9, "disk": 0.02},
    "cpu": {"memory": 5.8, "disk": 1.8},
    "colab": {"memory": 8, "disk": 11, "gpu": 14000, "cuda": True, "hub": True},
    "paper": {
        "memory": 30,
        "disk": 125,
        "gpu": 38000,
        "cuda": True,
        "hub": True,
        "bf16": True,
        "token": True,
    },
}
SUBSETS = {
    "smollm2_subset": {"memory": 21, "disk": 3.2},
    "smollm2_esnli": {"memory": 6, "disk": 1.2},
}
AMOUNTS = {"memory": "%g GB of memory", "disk": "%g GB of free disk", "gpu": "a GPU of %d MiB"}
BASE = {"Python": "Python 3.11 or 3.12", "packages": "an environment", "make": "GNU make"}
OTHERS = {
    "cuda": "a torch that reaches the GPU",
    "bf16": "a GPU with bf16",
    "hub": "the model hub",
    "token": "a token for it",
    "texts": "whether the authors' texts can be downloaded",
}
TOOLS = {  # state without it, what it means that it is there, and that it is not
    "compiler": (
        "note",
        "There is one, for packages that come without a ready-made build.",
        "There is none; on x86-64 Linux smoke and cpu will work, elsewhere pip may ask.",
    ),
    "token": (
        "no",
        "There is one; whether it may read LLaMA-2 shows only at the download.",
        "None (`hf auth login`): PROFILE=paper will not work, as its teacher is gated.",
    ),
    "git": (
        "note",
        "Results are recorded with their commit.",
        "There is none: all runs, but results are recorded with commit 'unknown'.",
    ),
    "JupyterLab": ("note", "`make lab` will work.", "Not installed; `make lab` does it first."),
}


def amounts(what):
    """How much memory or disk each profile takes, in words."""
    return "smoke %g, cpu %g; estimated: colab %g, paper %g" % tuple(
        needs[what] for needs in NEEDS.values()
    )


def enough(what, amount, more=0):
    """For which profiles an amount of memory, disk or GPU memory is enough, in words."""
    yes = [name for name in NEEDS if amount >= NEEDS[name].get(what, 0) + more]
    no = [name for name in NEEDS if name not in yes]
    return "; ".join(
        ["enough for " + ", ".join(yes)] * bool(yes)
        + ["too little for " + ", ".join(no)] * bool(no)
    )


def check_python(found):
    """``found``: [(interpreter, version or None)] in the order in which set-up tries them."""
    for name, version in found:
        if version in install.SUPPORTED:
            return "ok", "%s is Python %s." % (name, version)
    seen = ", ".join("%s is %s" % (name, version or "missing") for name, version in found)
    return "no", "Python 3.11 or 3.12 is needed (%s); no profile will run." % seen


def check_packages(ready, folder, creatable):
    """Whether they are in their environment's folder or can come there."""
    if ready:
        return "ok", "Installed in %s." % folder
    if creatable:
        return "note", (
            "Not in %s yet; `make reproduce` installs them first, from the network "
            "(which is not checked here)." % folder
        )
    return "no", (
        "%s is no environment and cannot be made one: leave it if it is active, else "
        "install Python's venv (python3-venv); no profile will run." % folder
    )


def check_make(text):
    """``text``: of make --version."""
    version = re.search(r"GNU Make (\d+)\.(\d+)", text)
    if not version or tuple(map(int, version.groups())) < (3, 81):
        return "no", "GNU make 3.81 or later is needed; without it no target will run."
    if int(version.group(1)) < 4:
        return "note", "%s should do; 4.3 was tested." % version.group()
    return "ok", version.group() + "."


def check_disk(free, more):
    """Free GB against what set-up still takes (``more``) and what each profile takes."""
    cuda = " with CUDA (estimated)" if more == machine.PACKAGES_CUDA else ""
    return "no" if free < NEEDS["cpu"]["disk"] + more else "ok", "%.1f GB are free: %s (%s%s)." % (
        free,
        enough("disk", free, more),
        "set-up %g%s, " % (more, cuda) if more else "",
        amounts("disk"),
    )


def check_memory(total, free):
    """GB that this process may use, and that are free now."""
    words = "%.1f GB: %s (%s)." % (total, enough("memory", total), amounts("memory"))
    if free < NEEDS["cpu"]["memory"] <= total:
        return "note", "%s Only %.1f GB are free now: close other programs first." % (words, free)
    return "no" if total < NEEDS["cpu"]["memory"] else "ok", words


def check_processor(cores, cpuinfo):
    """``cpuinfo``: /proc/cpuinfo, whose flags say whether the cores compute in bf16."""
    count = "%d core%s" % (cores, "" if cores == 1 else "s")
    if not re.search(
        r"^flags\s*:.*\bavx512_bf16\b", cpuinfo, re.M
    ):  # what lib/models/checkpoints.py asks for
        return "note", "%s without bf16: cpu works in float32, slower than README.md says." % count
    count += " with bf16 and AMX" if re.search(r"\bamx_bf16\b", cpuinfo) else " with bf16"
    return "note" if cores == 1 else "ok", count + "; README.md's times are from two such cores."


def check_gpu(gpus):
    """``gpus``: of machine.gpus."""
    if not gpus:
        return "no", (
            "nvidia-smi shows none: smollm2 would take two weeks, colab and paper will not "
            "work, all others will."
        )
    gpu = gpus[0]
    words = "%s, %d MiB, driver %s%s: %s." % (
        gpu["name"],
        gpu["memory"],
        gpu["driver"],
        ", largest of %d" % len(gpus) if len(gpus) > 1 else "",
        enough("gpu", gpu["memory"]),
    )
    if gpu["bf16"]:
        return "ok", words
    return "note", words + " No bf16: students train in float32, and PROFILE=paper will not work."


def check_torch(ready, answer, gpus):
    """``answer``: of machine.packages."""
    if not ready:
        return "note", "What torch reaches is known after `make setup`."
    if not answer:
        return "no", "torch does not start; remove the environment and run `make setup` again."
    words = "torch %s computes on %s, bitsandbytes %s." % (
        answer["torch"],
        answer["cuda"] or "the processor",
        answer["bitsandbytes"] or "does not start: PROFILE=colab's 4-bit teacher will not work",
    )
    if gpus and not answer["cuda"]:
        why = "driver too old for CUDA %s, or CUDA_VISIBLE_DEVICES" % answer["build"]
        return "no", "%s The GPU is not reached (%s): colab and paper will not work." % (
            words,
            why if answer["build"] else "this is the build without CUDA",
        )
    return "ok" if answer["bitsandbytes"] else "note", words


def check_hub(address, offline, problem):
    """``address``: None where huggingface_hub, which knows it, is not installed."""
    if offline:
        return "note", (
            "HF_HUB_OFFLINE is set: colab and paper will find only what is in the "
            "cache; smoke and cpu need no hub."
        )
    if not address:
        return "note", "Which one is asked is known after `make setup`; smoke and cpu need none."
    if problem:
        return "no", (
            "It is not reached (%s): colab and paper will not work, smoke and cpu will; "
            "HF_ENDPOINT may name a mirror." % problem
        )
    return "ok", "It answers: models and questions of colab and paper can be downloaded."


def check_tool(name, there):
    """``name``: one of TOOLS."""
    state, words, otherwise = TOOLS[name]
    return ("ok", words) if there else (state, otherwise)


def examine(m):
    """Check -> (state, sentence) of a machine as machine.look describes it."""
    return {
        "Python": check_python(m["tried"]),
        "packages": check_packages(m["ready"], m["folder"], m["creatable"]),
        "make": check_make(m["make"]),
        "compiler": check_tool("compiler", m["compiler"]),
        "disk": check_disk(m["disk"], m["setup"]),
        "memory": check_memory(m["memory"], m["memory_free"]),
        "processor": check_processor(m["cores"], m["cpuinfo"]),
        "GPU": check_gpu(m["gpus"]),
        "torch": check_torch(m["ready"], m["answer"], m["gpus"]),
        "model hub": check_hub(m["hub"], m["offline"], m["hub_problem"]),
        "token": check_tool("token", m["token"]),
        "git": check_tool("git", m["git"]),
        "JupyterLab": check_tool("JupyterLab", m["answer"] and m["answer"]["jupyterlab"]),
    }


def lacking(needs, m):
    """What a profile needs and the machine has not, and what is not known yet, in words."""
    fit = [gpu["memory"] for gpu in m["gpus"] if gpu["bf16"] or "bf16" not in needs]
    amounts = {"memory": m["memory"], "disk": m["disk"] - m["setup"], "gpu": max(fit, default=0)}
    has = {
        "cuda": bool(m["answer"]["cuda"]) if m["answer"] and m["gpus"] else None,
        "hub": not (m["offline"] or m["hub_problem"]) if m["offline"] or m["hub"] else None,
        "bf16": bool(fit) if m["gpus"] else None,
        "token": m["token"],
        "texts": m["texts"] or None,
    }
    checks = examine(m)
    gaps = [BASE[name] for name in BASE if checks[name][0] == "no"]
    gaps += ["a torch that starts"] if m["ready"] and not m["answer"] else []
    gaps += [AMOUNTS[what] % needs[what] for what in AMOUNTS if amounts[what] < needs.get(what, 0)]
    gaps += [OTHERS[what] for what in OTHERS if what in needs and has[what] is False]
    return gaps, [OTHERS[what] for what in OTHERS if what in needs and has[what] is None]


def needs_of(profile):
    """As the first known profile of those that it is and extends, else as cpu; a hub if models name it,
    and the published texts if it takes them."""
    paths, known = depends.settings_of(profile), dict(SUBSETS, **NEEDS)
    names = [os.path.basename(path)[: -len(".yaml")] for path in paths]
    needs = known[next((name for name in names if name in known), "cpu")]
    text = "\n".join(machine.read(path) for path in paths)
    also = (("hub", r"^[^#\n]*hub:"), ("texts", r"^[^#\n]*source: *[\"']?published"))
    return dict(needs, **{what: True for what, sign in also if re.search(sign, text, re.M)})


def verdict(profile, m):
    """One sentence: whether it will work; the profiles of a GPU were not tried at their scale."""
    needs = needs_of(profile)
    gaps, unknown = lacking(needs, m)
    words = "has what it needs (but is untried: README.md)" if "gpu" in needs else "will work"
    words += "" if m["ready"] else " after `make setup`"
    if gaps or unknown:
        words = "will not work; missing: " if gaps else "may work; not known yet: "
    return "PROFILE=%s %s%s." % (profile, words, ", ".join(gaps or unknown))


def main(arguments):
    """Print checks and verdicts; the exit code."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    os.chdir(ROOT)
    profile = arguments[0] if arguments else "cpu"
    if profile not in depends.profiles():
        depends.main([profile])  # says so and ends
    m = machine.look()
    for name, (state, sentence) in examine(m).items():
        print("%-5s %-10s %s" % (state, name, sentence))
    print("\nNeeds no GPU: " + " ".join(verdict(name, m) for name in ("smoke", "cpu")))
    print(
        "Needs a GPU of 16 GB: %s\nNeeds a GPU of 40 GB: %s"
        % (verdict("colab", m), verdict("paper", m))
    )
    if profile not in NEEDS:
        print("Asked for: " + verdict(profile, m))
    return 1 if lacking(NEEDS["cpu"], m)[0] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
