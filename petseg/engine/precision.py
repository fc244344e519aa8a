"""Whether 8-bit arithmetic pays on this machine.

It does where the processor multiplies and adds 8-bit integers in one instruction: VNNI on x86, the dot
product on Arm. Elsewhere it gains little, and on x86 it may saturate.
"""

import platform
import sys
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from petseg.errors import DeviceError

Precision: TypeAlias = Literal["auto", "float32", "int8"]

_CPUINFO = Path("/proc/cpuinfo")
_LINUX = {"avx512_vnni", "avx_vnni", "asimddp"}
"""What Linux calls the instructions: AVX512-VNNI, AVX-VNNI, Arm's dot product."""

_WINDOWS_ARM_DOT_PRODUCT = 43
"""PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE, see IsProcessorFeaturePresent."""


def check_precision(precision: str) -> None:
    """Raise `DeviceError` unless it is one of "auto", "float32" and "int8"."""
    if precision not in get_args(Precision):
        raise DeviceError(f"precision {precision!r} is unknown; give 'auto', 'float32' or 'int8'")


@cache
def int8_is_fast() -> bool:
    """Whether the processor is known to have the instructions.

    Linux tells; of Macs, those with Apple's chips have them. Windows tells for Arm only.
    """
    if sys.platform == "linux":
        return not _LINUX.isdisjoint(_linux_features())
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if sys.platform == "win32" and platform.machine() == "ARM64":
        import ctypes

        kernel: Any = ctypes.windll.kernel32
        return bool(kernel.IsProcessorFeaturePresent(_WINDOWS_ARM_DOT_PRODUCT))
    return False


def _linux_features() -> list[str]:
    """What the first core has; nothing where the system does not say."""
    try:
        with _CPUINFO.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                name, _, values = line.partition(":")
                if name.strip() in ("flags", "Features"):  # on x86 and on Arm
                    return values.split()
    except OSError:
        pass
    return []
