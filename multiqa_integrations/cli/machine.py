"""The machine that this runs on: processor, system and package versions."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from multiqa_integrations import __version__
from multiqa_integrations.backends.cpu import available_cpus, cpu_features

_INSTRUCTION_SETS = "avx2 avx512f avx512_bf16 avx512_vnni avx_vnni amx_bf16 amx_int8".split()
_PACKAGES = (
    *("numpy", "tokenizers", "huggingface-hub", "openvino", "sentence-transformers"),
    *("transformers", "torch", "qdrant-edge-py", "qdrant-client"),
)


def describe_machine() -> dict[str, Any]:
    """Describe processor, system and package versions; a missing package is "not installed"."""
    return {
        "processor": _processor(),
        "cpus": available_cpus(),
        "instruction_sets": {name: name in cpu_features() for name in _INSTRUCTION_SETS},
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {"multiqa-integrations": __version__}
        | {package: _version(package) for package in _PACKAGES},
    }


def render_processor(machine: Mapping[str, Any]) -> str:
    """Write how many processors there are, of what kind, and their instruction sets."""
    sets: Mapping[str, bool] = machine["instruction_sets"]
    present = ", ".join(name for name, has in sets.items() if has) or "no instruction set known"
    lacking = ", ".join(name for name, has in sets.items() if not has) or "none"
    return f"{machine['cpus']} × {machine['processor']}; has {present}; lacks {lacking}"


def render_machine(machine: Mapping[str, Any]) -> str:
    """Write the whole description in two lines."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{render_processor(machine)}; {machine['system']}\nPython {machine['python']}, {versions}"
    )


def _processor() -> str:
    fields: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    except OSError:
        return platform.processor() or platform.machine()
    name = fields.get("model name") or platform.machine()
    # Virtual machines often hide the model's name; family and model number still tell it.
    if "cpu family" in fields:
        name += f" (family {fields['cpu family']}, model {fields.get('model', '?')})"
    return name


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
