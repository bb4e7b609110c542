"""The house's rules: who imports whom, no circles, what is where, and how much there is to read.

``python tests/common/test_house.py`` writes lib/README.md and the trees in the notebooks anew.
"""

import ast
import json
from pathlib import Path

import pytest

LIB = Path(__file__).resolve().parents[2] / "lib"
MAY_IMPORT = {  # package -> the other packages that it may import
    "common": set(),
    "models": {"common"},
    "questions": {"common"},
    "figures": {"common"},
    "human_study": {"common"},
    "teacher": {"common", "models", "questions"},
    "students": {"common", "models", "questions"},
    "evaluation": {"common", "models", "questions", "teacher", "students"},
    "findings": {"common", "evaluation", "human_study"},
    "survey": {"common", "questions", "evaluation", "human_study"},
    "runner": {"common", "models", "questions", "teacher", "students", "evaluation", "human_study",
               "findings", "figures"},
    "setup": {"common"},
}  # fmt: skip
HEAVY = {  # what may be imported inside functions, as it takes seconds or is not always needed
    "torch", "transformers", "tokenizers", "peft", "bitsandbytes", "datasets", "submitit",
    "openai", "pooch", "google", "huggingface_hub", "papermill", "nbclient", "nbformat",
    "nbconvert", "accelerate",
}  # fmt: skip
AS_HEAVY = (  # import transformers or torch, which tables and figures alone do without
    "lib.students.train", "lib.models.contract", "lib.models.likelihood", "lib.models.decoding",
    "lib.students.data", "lib.students.model", "lib.evaluation.answers",
)  # fmt: skip
CORE = {  # what a reader must read to trust the study
    "common": "profile methods intervals",
    "models": "decoding likelihood",
    "questions": "question splits release mentions",
    "teacher": "prompt texts teacher",
    "students": "objectives data model train grid",
    "evaluation": "answers extraction accuracy comparisons measures",
    "human_study": "ratings constructs ranks regression runs published",
    "findings": "tradeoff replication",
}
NOTEBOOKS = LIB.parent / "notebooks"
STAGES = sorted(NOTEBOOKS.glob("0[1-9]*.ipynb"))  # 00 is of all packages
STEPS = {  # the package of each notebook
    "01": "teacher", "02": "teacher", "03": "students", "04": "evaluation", "05": "human_study",
    "06": "findings", "07": "survey",
}  # fmt: skip
ORDER = """questions teacher students evaluation human_study findings models figures survey runner
setup common"""
MODULES = sorted(LIB.rglob("*.py"))


def summary(path: Path) -> str:
    """The first sentence of a module's docstring on one line."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).split("\n")[0]


def tree(package: str) -> list[str]:
    """A package's files, a line each."""
    files = sorted(path for path in (LIB / package).glob("*.py") if path.stem != "__init__")
    return [f"- [{path.name}]({package}/{path.name}): {summary(path)}" for path in files]


def plan_of_the_house() -> str:
    """lib/README.md."""
    lines = ["# The library, a line a file", "", summary(LIB / "__init__.py"), ""]
    for package in ORDER.split():
        lines += [
            f"## {package}",
            "",
            summary(LIB / package / "__init__.py"),
            "",
            *tree(package),
            "",
        ]
    return "\n".join(lines)


def test_the_plan_of_the_house_is_current():
    assert (LIB / "README.md").read_text(encoding="utf-8") == plan_of_the_house()


def rooms(notebook: Path) -> str:
    """What a notebook's first cell says of its package."""
    package = STEPS[notebook.name[:2]]
    lines = [line.replace(f"]({package}/", f"](../lib/{package}/") for line in tree(package)]
    return f"**Code**: `lib/{package}`\n\n" + "\n".join(lines)


@pytest.mark.parametrize("path", STAGES, ids=lambda path: path.stem)
def test_a_notebook_shows_its_package(path):
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
    assert "".join(first["source"]).endswith(rooms(path))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(LIB.parent).with_suffix("").parts)


def imports(path: Path, *, inside: bool = False) -> set[str]:
    """Modules that a module imports, at its top or (inside) within functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top, found = {id(node) for node in tree.body}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and (id(node) in top) != inside:
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            else:
                found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def lib_imports(path: Path) -> set[str]:
    known = {name_of(other) for other in MODULES}
    return {name for name in imports(path) if name in known} - {name_of(path)}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_package_imports_only_what_it_may(path):
    if path.parent == LIB:
        return
    package = path.parent.name
    used = {name.split(".")[1] for name in imports(path) if name.startswith("lib.")}
    assert used <= MAY_IMPORT[package] | {package}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_heavy_libraries_are_imported_inside_functions(path):
    names = {name for name in imports(path, inside=True) if not name.startswith(AS_HEAVY)}
    assert {name.split(".")[0] for name in names} <= HEAVY


@pytest.mark.parametrize("path", [*MODULES, *LIB.parent.glob("tests/**/*.py")], ids=name_of)
def test_text_is_utf8_whatever_the_locale(path):
    """Ruff's PLW1514 says so only where it knows what is called."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call):
            said = {argument.arg: ast.unparse(argument.value) for argument in call.keywords}
            name = ast.unparse(call.func)
            plain = "." in name and not name.startswith("files.")
            asks = (
                plain and name.endswith((".read_text", ".write_text")) or said.get("text") == "True"
            )
            assert not asks or "encoding" in said, f"{name_of(path)}:{call.lineno} {name}"


def test_no_circle():
    graph = {name_of(path): lib_imports(path) for path in MODULES}
    while leaves := {name for name, needs in graph.items() if not needs}:
        graph = {name: needs - leaves for name, needs in graph.items() if name not in leaves}
    assert not graph, f"these import each other in a circle: {sorted(graph)}"


def test_the_library_stays_thin():
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in MODULES}
    core = [
        LIB / package / f"{name}.py" for package, names in CORE.items() for name in names.split()
    ]
    assert sum(lines.values()) <= 14_900
    assert sum(lines[path] for path in core) <= 5_810


if __name__ == "__main__":
    (LIB / "README.md").write_text(plan_of_the_house(), encoding="utf-8")
    for path in STAGES:
        nb = json.loads(path.read_text(encoding="utf-8"))
        text = "".join(nb["cells"][0]["source"]).split("\n\n**Code**: ")[0]
        nb["cells"][0]["source"] = f"{text}\n\n{rooms(path)}".splitlines(keepends=True)
        path.write_text(json.dumps(nb, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
