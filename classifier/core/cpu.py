"""Say of which kind the processor is, for keys of what is remembered."""

import platform
import re
from functools import cache
from pathlib import Path

# Of /proc/cpuinfo: of x86, then of ARM.
_KIND = ("vendor_id", "cpu family", "model", "model name", "cache size")
_KIND += ("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision")


@cache
def cpu_kind(described: Path = Path("/proc/cpuinfo")) -> str:
    """Return the CPU's vendor, family, model and cache as Linux describes them, or its name."""
    try:
        first, _, _ = described.read_text("utf-8", "replace").partition("\n\n")
    except OSError:
        first = ""
    fields = dict(re.findall(r"^(.+?)\s*: (.+)$", first, flags=re.M))
    named = ", ".join(fields[name] for name in _KIND if name in fields)
    return named or platform.processor() or platform.machine()
