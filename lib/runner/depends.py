"""What each notebook depends on, for Make: ``python lib/runner/depends.py PROFILE`` writes
data/runs/depends-PROFILE.mk.

An executed notebook depends on its source, its profile, the lib modules that it imports and those
that they import, the data that these name, the questions and local models that the profile names,
and the records of the stages before it.
``--plan`` prints what ``make reproduce`` would run and why, ``--profiles`` the profiles.
Runs at every make, before anything is installed: standard library only, Python 3.8 or later.
"""

import ast
import difflib
import glob
import json
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Stages that run before a stage, by number. Those that a notebook's own cells name in quotes
# ("01_generation") are added.
UPSTREAM = {"02": ["01"], "03": ["01", "02"], "04": ["03"], "06": ["04", "05"]}

# Section of a profile -> stages that read the questions and models it names (04: as the reader).
USERS = {"task": "01 02 03 04", "teacher": "01 02 04", "students": "03", "evaluation": "04"}

BUILT = ("raw", "models", "runs", "texts")  # folders of data that are not committed


def read(path):
    """A file's text."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def profiles():
    """Name -> description of every profile."""
    found = {}
    for path in sorted(glob.glob("notebooks/profiles/*.yaml")):
        line = re.search(r"^description:[ \t]*(?:[>|]-?\s+)?(.*)", read(path), re.M)
        found[os.path.basename(path)[: -len(".yaml")]] = line.group(1).strip("\"' ") if line else ""
    return found


def stages():
    """Names of the notebooks, in order."""
    return sorted(os.path.basename(path)[:-6] for path in glob.glob("notebooks/[0-9][0-9]_*.ipynb"))


def code_of(notebook):
    """Python of a notebook's code cells, without magics."""
    cells = json.loads(read(notebook))["cells"]
    lines = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return re.sub(r"^[%!].*$", "", lines, flags=re.M)


def imported(code):
    """Paths of the lib modules that code imports, anywhere in it; all if it is not valid Python."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return set(glob.glob("lib/*/*.py"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.update(node.module + "." + alias.name for alias in node.names)
            names.add(node.module)
    paths = {name.replace(".", "/") + ".py" for name in names if name.startswith("lib.")}
    if any(name == "lib" or name.startswith("lib.") for name in names):
        paths.add("lib/__init__.py")
    return {path for path in paths if os.path.isfile(path)}


class Sources:
    """Reads each module once for all notebooks."""

    def __init__(self):
        self.text, self.imports = {}, {}

    def closure(self, code):
        """The modules that code uses, also through other modules."""
        todo, done = imported(code), set()
        while todo:
            path = todo.pop()
            done.add(path)
            if path not in self.text:
                self.text[path] = read(path)
                self.imports[path] = imported(self.text[path])
            todo |= self.imports[path] - done
        return done

    def data(self, code, modules):
        """Files that code or its modules name: committed data, beside the modules, in data/raw.

        Modules name a folder by its constant in lib/common/paths.py, such as PUBLISHED for data/published;
        notebooks and prompt files may also write the folder itself.
        """
        text = "\n".join(
            [code] + [self.text[path] for path in modules if path != "lib/common/paths.py"]
        )
        raw = os.path.join(os.environ.get("HONEY_HOME", ""), "data/raw/*.csv")
        found = {
            path
            for path in glob.glob("lib/*.*") + glob.glob("lib/survey/*.html") + glob.glob(raw)
            if not path.endswith((".py", ".txt")) and os.path.basename(path) in text
        }
        prompts = glob.glob("lib/prompts/*.yaml") if "PROMPTS" in text else []
        found.update(prompts)
        code += "".join(map(read, prompts))
        for folder in sorted(set(os.listdir("data")) - set(BUILT)) if os.path.isdir("data") else []:
            if re.search(r"\b%s\b" % folder.upper(), text) or "data/" + folder in code:
                found.update(glob.glob("data/%s/*.*" % folder))
        return {path for path in found if not path.endswith(".md")}


def settings_of(profile):
    """The profile's file, then those that it extends; lib.common.profile says what is wrong with a circle."""
    found, path = [], "notebooks/profiles/%s.yaml" % profile
    while os.path.isfile(path) and path not in found:
        found.append(path)
        parent = re.search(r"^extends: *[\"']?([\w.-]+)", read(path), re.M)
        path = "notebooks/profiles/%s.yaml" % (parent.group(1) if parent else "")
    return found


def values(key, text):
    """What may stand after ``key:`` in YAML: up to a quote or line's end, or up to , } or #."""
    found = re.findall(r"\b%s:[ \t]*[\"']?([^\"'\n]+)" % key, text)
    return [
        os.path.expanduser(part.strip())
        for line in found
        for part in (line, re.split(r",|\s#|}(?=[\s,}]|$)", line)[0])
    ]


def brought(profile, number):
    """Files of questions and local models that a stage reads; one too many costs only a rerun."""
    parts = re.split(r"^(?=\w)", "\n".join(map(read, settings_of(profile))), flags=re.M)
    text = "".join(part for part in parts if number in USERS.get(part.partition(":")[0], ""))
    files = [folder + "/{split}.jsonl" for folder in values("folder", text)]
    for path in ["lib/prompts/%s.yaml" % task for task in values("name", text)]:
        files += values("files", read(path)) if os.path.isfile(path) else []
    paths = [name.replace("{split}", split) for name in files for split in ("train", "dev", "test")]
    for folder in values("local", text):
        paths += [folder + "/config.json"] + glob.glob(glob.escape(folder) + "/*.safetensors")
    return {path for path in paths if os.path.isfile(path)}


def graph(profile, runs):
    """Stage -> (files that it depends on, stages before it, files missing that it had made); the
    records of the stages before it are among the files, last."""
    names, sources, found = stages(), Sources(), {}
    for name in names:
        notebook = "notebooks/%s.ipynb" % name
        code = code_of(notebook)
        modules = sources.closure(code)
        needs = {notebook} | modules | sources.data(code, modules) | brought(profile, name[:2])
        before = [
            other
            for other in names
            if other < name
            and (other[:2] in UPSTREAM.get(name[:2], []) or re.search(r"[\"']%s\b" % other, code))
        ]
        records = ["%s/stages/%s.json" % (runs, other) for other in before]
        found[name] = (
            sorted(needs.union(settings_of(profile))) + records,
            before,
            missing(name, runs),
        )
    return found


def missing(name, runs):
    """Files in a stage's record that are gone; the record itself if it is gone or broken."""
    record = "%s/stages/%s.json" % (runs, name)
    try:
        made = json.loads(read(record))
        listed = list(made["tables"]) + list(made["shown"])
    except (OSError, ValueError, KeyError):
        return [record]
    base = os.environ.get("HONEY_HOME") or "."
    return [path for path in listed if not os.path.exists(os.path.join(base, path))]


def newer(needs, target):
    """Those of the files that changed after the target was made."""
    made = os.stat(target).st_mtime_ns if os.path.exists(target) else 0
    return [path for path in needs if os.path.exists(path) and os.stat(path).st_mtime_ns > made]


def makefile(found, runs):
    """The rules without recipes; FORCE reruns a stage one of whose outputs is missing, or one of
    whose inputs changed and has a name that Make could not read."""
    lines = ["STAGES := " + " ".join(found), ""]
    for name, (needs, _, gone) in found.items():
        target = "%s/notebooks/%s.ipynb" % (runs, name)
        odd = {
            path for path in needs if re.search(r"[^\w./+@~-]", path) and not path.startswith(runs)
        }
        needs = sorted(set(needs) - odd) + ["FORCE"] * bool(gone or newer(odd, target))
        lines.append("%s: %s" % (target, " \\\n  ".join(needs)))
        lines += ["# missing: " + path for path in gone] + ["%s: %s" % (name[:2], target), ""]
    return "\n".join(lines)


def plan(found, runs):
    """One line per stage: up to date, or why it runs."""
    running, lines = set(), []
    for name, (needs, before, gone) in found.items():
        target = "%s/notebooks/%s.ipynb" % (runs, name)
        waits = [other[:2] for other in before if other in running]
        state = "up to date"
        if not os.path.exists(target):
            state = "runs: not run yet"
        elif gone:
            state = "runs: %s is missing" % gone[0]
        elif not os.stat(target).st_mtime_ns:  # see lib/runner/run.py
            state = "runs: it last ran with other parameters"
        elif newer(needs, target):
            state = "runs: %s changed" % newer(needs, target)[0]
        elif waits:
            state = "runs if the tables of %s come out different" % " or ".join(waits)
        if state != "up to date":
            running.add(name)
        lines.append("  %-22s %s" % (name, state))
    return "\n".join(lines)


def main(arguments):
    """Write the rules; what is wrong goes to standard output, where Make reads it."""
    if arguments[:1] in (["-h"], ["--help"]):
        return print(__doc__)
    os.chdir(ROOT)
    known = profiles()
    if "--profiles" in arguments:
        return print("\n".join("  %-22s %s" % item for item in known.items()))
    profile = arguments[0] if arguments else ""
    home = os.environ.get("HONEY_HOME", "")
    if profile not in known:
        near = difflib.get_close_matches(profile, known, 1)
        print(
            "There is no profile '%s' in notebooks/profiles; %s"
            % (profile, "did you mean '%s'?" % near[0] if near else "there are " + ", ".join(known))
        )
        raise SystemExit(2)
    if re.search(r"\s", home):
        print("HONEY_HOME ('%s') has a space, which make cannot handle; choose another" % home)
        raise SystemExit(2)
    runs = os.path.join(home, "data/runs", profile)
    try:
        found = graph(profile, runs)
    except (ValueError, KeyError) as error:
        print("A notebook in notebooks/ is not valid (%s); mend it" % error)
        raise SystemExit(2)
    if "--plan" in arguments:
        return print(plan(found, runs))
    path = os.path.join(home, "data/runs/depends-%s.mk" % profile)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = "%s.%d" % (path, os.getpid())
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(makefile(found, runs))
    os.replace(temporary, path)


if __name__ == "__main__":
    main(sys.argv[1:])
