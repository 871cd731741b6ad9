"""`blazeport models`: the networks in numbers, read from the official files."""

from __future__ import annotations

import json
import re

import pytest
from blazeport.cli.main import main
from blazeport.models.config import VARIANTS
from click.testing import CliRunner, Result


def blazeport(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["models", *arguments])


def test_list_has_a_row_for_each_variant():
    done = blazeport("list")
    assert done.exit_code == 0, done.output
    header, _, *rows = (line.strip() for line in done.stdout.splitlines() if line.strip())
    assert header.split() == ["variant", "network", "input", "params", "MACs", "ops", "heads"]
    assert [row.split()[0] for row in rows] == list(VARIANTS)
    assert re.search(r"1x128x128x3 +101,390 +30\.8 M +\d+ +boxes scores$", rows[0])
    assert re.search(r"1x256x256x3 +1,363,089 +197\.8 M .* landmarks presence segmentation heatmap world_land", rows[4])


def test_list_as_json_has_what_show_has():
    records = json.loads(blazeport("list", "--json").stdout)
    assert [record["variant"] for record in records] == list(VARIANTS)
    assert records[3] == json.loads(blazeport("show", "pose_detection", "--json").stdout)


def test_show_tells_what_goes_in_and_out_and_what_each_head_costs():
    done = blazeport("show", "pose_landmark_lite")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "pose_landmark_lite: BlazePose landmarks, lite"
    assert "input    image 1x256x256x3 float32 RGB in [0, 1]" in lines
    assert any("tracking = landmarks+presence+world_landmarks" in line for line in lines)
    rows = {line.split()[0]: line for line in lines[6:] if line.strip()}
    assert set(VARIANTS["pose_landmark_lite"].head_names) <= set(rows)
    assert re.search(r"1x256x256x1 +logit +1,417 +31\.5 M \(15\.9%\) +21", rows["segmentation"])


def test_show_as_json_counts_what_removing_each_head_saves():
    record = json.loads(blazeport("show", "pose_landmark_lite", "--json").stdout)
    assert record["input"] == {"name": "image", "shape": [1, 256, 256, 3], "range": [0, 1]}
    assert record["presets"]["landmarks"] == ["landmarks", "presence"]
    saves = {output["name"]: output["saves"]["macs"] for output in record["outputs"]}
    assert round(record["macs"] / 1e6, 1) == 197.8
    assert max(saves, key=saves.__getitem__) == "segmentation"
    # Heads share layers: without all three at once more is saved than without each of them by itself.
    removed = sum(saves[name] for name in ("segmentation", "heatmap", "world_landmarks"))
    assert removed < record["macs"] - 155_400_000


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["table", "json"])
def test_an_unknown_variant_is_one_line_that_lists_them(options: list[str]):
    done = blazeport("show", "pose_landmark", *options)
    assert done.exit_code == 1
    assert done.output == (
        f"Error: Unknown variant. Expected one of: {', '.join(VARIANTS)}. Received: 'pose_landmark'.\n"
    )


def test_a_missing_variant_is_wrong_usage():
    assert blazeport("show").exit_code == 2
