import platform
from pathlib import Path

from classifier.core.cpu import cpu_kind


def test_kind_of_a_processor_is_the_same_for_each_core_and_another_for_another_model(
    tmp_path: Path,
) -> None:
    def kind(name: str, *cores: str) -> str:
        (tmp_path / name).write_text("\n\n".join(cores), "utf-8")
        return cpu_kind(tmp_path / name)

    core = (
        "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\ncpu MHz\t: 3.1"
    )
    assert kind("one", core) == "AuthenticAMD, 25, 17"
    other_core = core.replace("processor\t: 0", "processor\t: 1").replace("3.1", "2.4")
    assert (
        kind("two", core, other_core) == kind("again", other_core, core) == "AuthenticAMD, 25, 17"
    )
    assert kind("other", core.replace("17", "1")) == "AuthenticAMD, 25, 1"
    assert (
        kind("ARM", "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd40") == "0x41, 0xd40"
    )


def test_processor_that_linux_does_not_describe_has_a_name(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("processor\t: 0\nhart\t: 1\n", "utf-8")
    for described in (tmp_path / "other", tmp_path / "none"):
        assert cpu_kind(described) == (platform.processor() or platform.machine()) != ""
