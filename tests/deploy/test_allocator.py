"""Workers return freed memory to the system."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.allocator import OPTIONS, return_freed_memory

PROJECT = Path(__file__).parents[2]
MEBIBYTE = 1024 * 1024

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the options are glibc's")

HELD = """
import os, sys
from deploy.allocator import return_freed_memory
{call}

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

bytearray(30 * 2**20)  # raises the threshold, unless it is set
blocks = [bytearray(2**20) for _ in range(200)]
last = bytearray(2**20)
before = resident()
del blocks
print(before - resident())
"""


def returned(call: str) -> int:
    """The bytes that a process returns when it frees 200 MiB below a block that it keeps."""
    program = [sys.executable, "-c", HELD.format(call=call)]
    return int(subprocess.run(program, cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True).stdout)


def test_freed_blocks_are_returned() -> None:
    """Also those below a block that is in use, which the heap keeps by default."""
    assert returned("return_freed_memory()") > 190 * MEBIBYTE
    assert returned("") < 100 * MEBIBYTE


def test_variables_of_the_environment_win() -> None:
    """Options that the administrator has set are left alone."""
    assert return_freed_memory(dict.fromkeys(OPTIONS, "1"))


def test_gunicorn_sets_them() -> None:
    """In the configuration, which runs before workers are forked."""
    assert "return_freed_memory()" in (PROJECT / "deploy/gunicorn.conf.py").read_text(encoding="utf-8")
