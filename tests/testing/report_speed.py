"""How long a report of 200 records takes, and how large it is: `PYTHONPATH=tests python -m testing.report_speed`.

Times are printed and nowhere asserted. Every load is the first one of a new browser.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from testing.browser import chromium
from testing.played_records import write_played

COMMAND = "from blazeport.cli.main import main; main()"


def main(rounds: int = 3) -> None:
    """Builds and opens the report some times."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_played(folder)
        page = folder / "report.html"
        words = ["bench", "report", str(folder / "results"), "--models", str(folder / "models"), "-o", str(page)]
        for _ in range(rounds):
            before, start = os.times(), time.perf_counter()
            subprocess.run([sys.executable, "-c", COMMAND, *words], check=True, stdout=subprocess.DEVNULL)
            seconds, after = time.perf_counter() - start, os.times()
            cpu = after.children_user + after.children_system - before.children_user - before.children_system
            print(f"build: {seconds:.2f} s, of them {cpu:.2f} s CPU; {page.stat().st_size / 1e6:.2f} MB")
        for _ in range(rounds):
            with chromium() as browser:
                browser.open(page)
                marks = browser.run("return performance.getEntriesByType('mark').map((m) => [m.name, m.startTime])")
            print("; ".join(f"{mark}: {ms / 1000:.2f} s" for mark, ms in marks))
    print(f"load average: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")


if __name__ == "__main__":
    main()
