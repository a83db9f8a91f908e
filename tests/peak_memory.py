"""The most memory that a child process had, told by itself: `exec(PEAK)` in its program defines `peak_megabytes`.

`getrusage` would not do: it counts what the parent held when the child was started, and a test run holds much.
"""

from pathlib import Path

import pytest

PEAK = """
def peak_megabytes():
    from pathlib import Path
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024
"""

needs_status = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="a process's own peak is told by Linux alone"
)
