"""Nothing opens a pickle, or what can run code, but where its hash is compared first."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "classifier").rglob("*.py"), *(ROOT / "stages").glob("*.py")])
# Of bytes that the same stage has just written, or of `read_exported`.
OPENERS = {"torch.export.load": "torch_runtime", "torch.jit.load": "torch_runtime"}


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    tree = ast.parse(path.read_text("utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [(ast.unparse(node.func), node) for node in found]


def keyword(call: ast.Call, name: str) -> str | None:
    return next((ast.unparse(one.value) for one in call.keywords if one.arg == name), None)


def test_torch_loads_weights_alone_and_numpy_no_objects():
    loads = [
        (path.stem, name, call)
        for path in SOURCES
        for name, call in calls(path)
        if name in ("torch.load", "np.load")
    ]
    assert {name for _, name, _ in loads} == {"torch.load", "np.load"}
    for module, name, call in loads:
        if name == "torch.load":
            assert keyword(call, "weights_only") == "True", module
        else:
            assert keyword(call, "allow_pickle") in (None, "False"), module


def test_pickles_are_read_by_the_restricted_reader_of_cifar_alone():
    words = ("pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal")
    importing = {
        path.stem
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
        if name in words
    }
    # The module that reads pretrained weights takes an error's class from there.
    assert importing == {"batch_pickles", "weight_files"}
    names = {name for path in SOURCES for name, _ in calls(path)}
    assert not names & {"pickle.load", "pickle.loads", "pd.read_pickle", "torch.package"}


def test_files_that_can_run_code_are_opened_in_one_module():
    found = {(name, path.stem) for path in SOURCES for name, _ in calls(path) if name in OPENERS}
    assert found == set(OPENERS.items())
