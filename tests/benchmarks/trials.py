"""How often `blazeport bench compare` is right: `python tests/benchmarks/trials.py FILE [--trials 20]`. No test.

FILE is measured against a copy of itself (A/A) and against the same network with some operators done twice (A/B). Each
trial is what the command does by default. It takes about half a minute per trial; run it on a busy machine, too.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parents[1]))

import tflite_surgery
from blazeport.benchmarks.compare import DEFAULT_REPEATS, compare
from blazeport.benchmarks.host import HostOptions, measure_host


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@click.option("--operators", default="82,91,100,82,91", show_default=True, help="Done again in B; of face short range.")
@click.option("--only", type=click.Choice(["A/A", "A/B"]), help="One kind.")
@click.option("--trials", default=20, show_default=True, help="Of each kind.")
@click.option("--repeats", default=DEFAULT_REPEATS, show_default=True, help="Pairs of processes per trial.")
def main(file: Path, operators: str, only: str | None, trials: int, repeats: int) -> None:
    """Count the verdicts of many comparisons."""
    with tempfile.TemporaryDirectory() as folder:
        same, slower = Path(folder) / "same.tflite", Path(folder) / "slower.tflite"
        same.write_bytes(file.read_bytes())
        model = tflite_surgery.read(file.read_bytes())
        tflite_surgery.repeat_operators(model, [int(number) for number in operators.split(",")])
        slower.write_bytes(tflite_surgery.write(model))
        for name, other in (("A/A", same), ("A/B", slower)):
            if only and name != only:
                continue
            verdicts: Counter[str] = Counter()
            for trial in range(trials):
                options = HostOptions(files=(file, other), repeats=repeats, min_samples=10, min_seconds=0.5, seed=trial)
                found = compare(*measure_host(options))
                verdicts[found.verdict] += 1
                interval = f"{found.interval.low:.3f} to {found.interval.high:.3f}"
                click.echo(f"{name} {trial + 1}: {found.verdict}, {found.interval.ratio:.3f} ({interval})")
            click.echo(f"{name}: {', '.join(f'{count} {verdict}' for verdict, count in verdicts.most_common())}")


if __name__ == "__main__":
    main()
