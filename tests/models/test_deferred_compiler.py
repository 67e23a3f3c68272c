"""torchvision and timm come without PyTorch's compiler, which comes when something needs it."""

import subprocess
import sys

import pytest

HAS_COMPILER = "import sys\nassert ('torch._dynamo' in sys.modules) is {}\n"


def run(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("module", ["torchvision_backbones", "timm_backbones"])
def test_a_library_of_backbones_is_imported_without_the_compiler(module: str):
    run(f"import classifier.models.backbones.{module}\n{HAS_COMPILER.format(False)}")


def test_a_function_that_shall_not_be_compiled_is_not():
    run(
        "import torch\n"
        "from classifier.models.backbones.deferred_compiler import deferred_compiler\n"
        "with deferred_compiler():\n"
        "    apart = torch.compiler.disable(lambda x: x * 2)\n"
        f"{HAS_COMPILER.format(False)}"
        "graphs = []\n"
        "def backend(graph, inputs):\n"
        "    graphs.append(graph.code)\n"
        "    return graph.forward\n"
        "both = torch.compile(lambda x: apart(x) + 1, backend=backend)\n"
        "assert both(torch.ones(1)) == 3\n"
        "assert graphs and not any('2' in graph for graph in graphs), graphs\n"
    )


def test_box_operators_of_torchvision_still_know_where_they_can_be_compiled():
    run(
        "import classifier.models.backbones.torchvision_backbones, torch\n"
        "from torchvision.ops import roi_align\n"
        "from torchvision.ops.roi_align import is_compile_supported\n"
        "box = torch.tensor([[0.0, 0.0, 4.0, 4.0]])\n"
        "assert roi_align(torch.ones(1, 1, 8, 8), [box], 2).shape == (1, 1, 2, 2)\n"
        "from torch._dynamo.utils import is_compile_supported as real\n"
        "assert is_compile_supported is not real\n"
        "assert is_compile_supported('cpu') == real('cpu')\n"
    )


@pytest.mark.parametrize(
    "use",
    [
        "from torch._dynamo import optimize",
        "from torch._dynamo.utils import counters",
        "import torch._dynamo.eval_frame",
    ],
)
def test_an_import_that_needs_more_of_the_compiler_gets_it(use: str):
    run(
        "from classifier.models.backbones.deferred_compiler import deferred_compiler\n"
        f"with deferred_compiler():\n    {use}\n{HAS_COMPILER.format(True)}"
        "import torch\nassert torch._dynamo.optimize\n"
    )


def test_a_compiler_that_is_there_is_kept():
    run(
        "import torch._dynamo as before\n"
        "from classifier.models.backbones.deferred_compiler import deferred_compiler\n"
        "with deferred_compiler():\n    import torch._dynamo as within\n"
        "import torch._dynamo as after\n"
        "assert before is within is after\n"
    )
