"""One HTML page of an evaluation: the figures beside their controls, and the worst cases as pictures."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from .. import progress
from ..convert.inputs import read_frames
from ..convert.manifest import Manifest
from ..convert.parity import Runner
from ..files import write_atomic
from ..models.config import DetectorConfig, PoseDetectorConfig, PoseLandmarkConfig, VariantConfig, get_config
from ..pipeline.draw import draw_faces, draw_people
from ..pipeline.face import FaceResult
from ..pipeline.image_to_tensor import roi_tensor
from ..pipeline.landmarks import decode_landmarks
from ..pipeline.pose import Person, PoseResult
from ..pipeline.roi import Roi
from ..runtime.interpreter import Model
from .detector_errors import Letterboxed, detect, letterboxed, roi_of
from .evaluate import Case, Evaluation, Group, figure_meanings, group_of, samples_text
from .figures import figure_text

PICTURE_SIDE = 480  # px, the longer one
JPEG_QUALITY = 85
WHOLE = Roi(x_center=0.5, y_center=0.5, width=1.0, height=1.0, rotation=0.0)
CASE_WORDS = {
    "missed": "missed {:.0f}",
    "extra": "extra {:.0f}",
    "iou": "IoU {:.3f}",
    "keypoint_percent": "keypoints {:.1f} % of IOD",
    "roi_center_percent": "ROI centre {:.1f} % of side",
    "visible_px": "visible points {:.1f} px",
    "presence": "presence {:.2f}",
    "reference_presence": "float presence {:.2f}",
}

_LEGEND = (
    "<p>In brackets: 95 % bootstrap interval over photos or crops. The two columns on the right are float against "
    "float: how far it moves by itself when nothing of interest has changed.</p>"
)
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: #8884; --soft: #8881; --quiet: #777; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.4rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }}
h2 {{ font-size: 1.1rem; margin: 2.2rem 0 .6rem; }}
p, small {{ color: var(--quiet); margin: .2rem 0; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: right; padding: .45rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; }}
th:first-child, td:first-child {{ text-align: left; }}
td:first-child small {{ display: block; line-height: 1.35; }}
td:nth-child(2) {{ font-weight: 600; background: var(--soft); }}
td:first-child {{ min-width: 11rem; }}
td:not(:first-child) {{ white-space: nowrap; }}
td small {{ font-weight: 400; }}
.cases {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(460px, 100%), 1fr)); gap: 1.4rem; }}
.table {{ overflow-x: auto; }}
figure {{ margin: 0; }}
.pair {{ display: grid; grid-template-columns: 1fr 1fr; gap: 4px; }}
.pair img {{ width: 100%; height: auto; display: block; border-radius: 3px; }}
figcaption {{ font-size: .85rem; margin-top: .3rem; overflow-wrap: anywhere; }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


def write_page(evaluation: Evaluation, candidate: Path, reference: Path, out: Path) -> None:
    """Writes an evaluation as one file that needs no other.

    Args:
        evaluation: what was measured.
        candidate: the file that was judged; it runs once more on the worst cases.
        reference: the float file, likewise.
        out: the page.
    Raises:
        OutputError: it cannot be written.
    """
    config = get_config(evaluation.variant)
    files = evaluation.candidate, evaluation.reference
    parts = [
        f"<p>{html.escape(config.title)}. {files[0].size_bytes:,} bytes against {files[1].size_bytes:,}. "
        f"Photos: {evaluation.side} side of the split.</p>",
        f"<p>sha256 {files[0].sha256[:16]}… against {files[1].sha256[:16]}…</p>",
    ]
    with Model(candidate) as judged, Model(reference) as trusted:
        for noun, group in (("photos", evaluation.photos), ("clips", evaluation.clips)):
            if group is not None:
                parts += _section(noun, group, config, (trusted.run, judged.run))
    title = html.escape(f"{files[0].name} against {files[1].name}")
    write_atomic(out, _PAGE.format(title=title, body="\n".join(parts)))


def write_summary(manifests: Sequence[Manifest], out: Path) -> None:
    """Writes what the manifests say of their files' accuracy as one page.

    Args:
        manifests: of quantized files; those without figures are left out.
        out: the page.
    Raises:
        OutputError: it cannot be written.
    """
    parts = [
        "<p>Each file against the float file of its network, on photos that were not calibrated on. The worst photos "
        "as pictures: <code>blazeport evaluate quantized FILE --against FLOAT --images DIR --html PAGE</code>.</p>"
    ]
    for manifest in manifests:
        if manifest.accuracy is None:
            continue
        parts.append(f"<h2>{html.escape(manifest.file)}</h2>")
        parts.append(
            f"<p>{manifest.size_bytes:,} bytes, {manifest.int8_mac_share:.0%} of the MACs in int8. "
            f"sha256 {manifest.sha256[:16]}…</p>"
        )
        config = get_config(manifest.variant)
        for noun in ("photos", "clips"):
            if record := manifest.accuracy[noun]:
                group = group_of(record)
                parts += [f"<p>{samples_text(noun, group, config)}</p>", _table(group, config)]
    parts.append(_LEGEND)
    write_atomic(out, _PAGE.format(title="Accuracy of the quantized files", body="\n".join(parts)))


def _section(noun: str, group: Group, config: VariantConfig, runs: tuple[Runner, Runner]) -> list[str]:
    parts = [f"<h2>{samples_text(noun, group, config)}</h2>", _table(group, config)]
    parts.append(_LEGEND)
    if group.worst:
        cases = progress.track(group.worst, "Drawing the worst cases", len(group.worst))
        parts.append("<h2>Worst cases: float on the left, the file on the right</h2>")
        parts.append(f'<div class="cases">{"".join(_figure(case, config, runs) for case in cases)}</div>')
    return parts


def _table(group: Group, config: VariantConfig) -> str:
    rows = []
    for name, meaning in figure_meanings(config).items():
        if name not in group.candidate:
            continue
        columns = [figures.get(name) for figures in (group.candidate, group.noise, group.shift)]
        cells = "".join(f"<td>{_cell(figure_text(figure, meaning))}</td>" for figure in columns)
        title = f"{html.escape(meaning.title)}<small>{html.escape(meaning.sentence)}</small>"
        rows.append(f"<tr><td>{title}</td>{cells}<td>{group.candidate[name].n:,}</td></tr>")
    head = "<tr><th></th><th>file</th><th>±1/255 noise</th><th>1 px shift</th><th>n</th></tr>"
    return f'<div class="table"><table>{head}{"".join(rows)}</table></div>'


def _cell(text: str) -> str:
    value, bracket, interval = text.partition(" (")
    return html.escape(value) + (f"<br><small>({html.escape(interval)}</small>" if bracket else "")


def _figure(case: Case, config: VariantConfig, runs: tuple[Runner, Runner]) -> str:
    pictures = "".join(f'<img alt="" src="{_data_url(rgb)}">' for rgb in _pictures(case, config, runs))
    words = ", ".join(CASE_WORDS[name].format(value) for name, value in case.figures.items())
    return (
        f'<figure><div class="pair">{pictures}</div>'
        f"<figcaption><b>{html.escape(case.name)}</b><br>{words}</figcaption></figure>"
    )


def _pictures(case: Case, config: VariantConfig, runs: Sequence[Runner]) -> list[np.ndarray]:
    """The case drawn with the result of each network."""
    rgb = next(frame.rgb for frame in read_frames([Path(case.source)]) if frame.name == case.frame)
    if isinstance(config, PoseLandmarkConfig):
        assert case.roi is not None
        crop = roi_tensor(rgb, case.roi, config)
        return [_draw_landmarks(crop, run, config) for run in runs]
    assert isinstance(config, DetectorConfig)
    return [_draw_detections(rgb, letterboxed(rgb, config), run, config) for run in runs]


def _draw_landmarks(crop: np.ndarray, run: Runner, config: PoseLandmarkConfig) -> np.ndarray:
    points = decode_landmarks(run(crop)["landmarks"], config)[: config.num_body_landmarks]
    rgb = np.rint(crop[0] * 255).astype(np.uint8)
    large = cv2.resize(rgb, (PICTURE_SIDE, PICTURE_SIDE), interpolation=cv2.INTER_CUBIC)
    return draw_people(large, PoseResult((_person(points, WHOLE),), {}))


def _draw_detections(rgb: np.ndarray, view: Letterboxed, run: Runner, config: DetectorConfig) -> np.ndarray:
    found = detect(run, view, config)
    drawn = rgb
    if isinstance(config, PoseDetectorConfig):
        nobody = np.zeros((33, 5), np.float32)
        for each in found:
            if roi := roi_of(each, view, config):
                drawn = draw_people(drawn, PoseResult((_person(nobody, roi),), {}))
    return draw_faces(drawn, FaceResult(found, {}))


def _person(landmarks: np.ndarray, roi: Roi) -> Person:
    return Person(presence=1.0, detection=None, roi=roi, next_roi=None, landmarks=landmarks, world_landmarks=None)


def _data_url(rgb: np.ndarray) -> str:
    """A JPEG no larger than it is shown, inside its own address."""
    height, width = rgb.shape[:2]
    scale = min(1.0, PICTURE_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"
