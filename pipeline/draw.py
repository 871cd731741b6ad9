"""Results drawn onto their image: faces with keypoints, people with skeleton and region."""

from __future__ import annotations

import cv2
import numpy as np

from .detector import Detection
from .face import FaceResult
from .pose import Person, PoseResult
from .skeleton import EDGES, side_of

Color = tuple[int, int, int]

MIN_VISIBILITY = 0.5  # landmarks below are not drawn
SIDE_COLORS: dict[str, Color] = {"left": (255, 138, 0), "right": (0, 190, 235), "middle": (245, 245, 245)}
FACE_COLOR: Color = (90, 220, 110)
ROI_COLOR: Color = (255, 210, 60)
MASK_COLOR: Color = (160, 90, 255)
OUTLINE: Color = (25, 25, 25)
_SUBPIXEL_BITS = 4
_CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 24, endpoint=False)) for f in (np.cos, np.sin)], axis=1)


def draw_faces(rgb: np.ndarray, result: FaceResult, fps: float | None = None) -> np.ndarray:
    """A copy of `rgb`, `(height, width, 3)` uint8, with box, keypoints and score of each face, and a rate if given."""
    canvas = _Canvas(rgb)
    for face in result.faces:
        # Thinner on faces that are small in the image, so that the keypoints do not hide them.
        weight = min(1.0, float(face.box[2]) * canvas.width / (50 * canvas.stroke))
        canvas.box(face, FACE_COLOR, weight)
        for keypoint in face.keypoints:
            canvas.dot(keypoint, FACE_COLOR, weight)
        canvas.label(face.box[:2], f"{face.score:.2f}", FACE_COLOR, weight)
    _draw_rate(canvas, fps)
    return canvas.rgb


def draw_people(rgb: np.ndarray, result: PoseResult, fps: float | None = None) -> np.ndarray:
    """A copy of `rgb`, `(height, width, 3)` uint8, with skeleton, region, detector box and mask of each person.

    The region's top edge, towards the head, is drawn thick and bears the person's number where there are several.
    Landmarks of little visibility are left out. A rate is drawn if given.
    """
    canvas = _Canvas(rgb)
    for person in result.people:
        if person.mask is not None:
            canvas.tint(person.mask, MASK_COLOR)
    for person in result.people:
        _draw_region(canvas, person)
        if person.detection is not None:
            canvas.box(person.detection, FACE_COLOR, 0.5)
        _draw_skeleton(canvas, person.landmarks)
        if len(result.people) > 1:
            corner = person.roi.corners(canvas.width, canvas.height)[0] / (canvas.width, canvas.height)
            canvas.label(np.clip(corner, 0, 0.95), str(person.number), ROI_COLOR, 1.0)
    _draw_rate(canvas, fps)
    return canvas.rgb


def _draw_rate(canvas: _Canvas, fps: float | None) -> None:
    if fps is not None:
        canvas.label(np.zeros(2), f"{fps:.0f} fps", SIDE_COLORS["middle"], 1.0)


def _draw_region(canvas: _Canvas, person: Person) -> None:
    corners = person.roi.corners(canvas.width, canvas.height) / (canvas.width, canvas.height)
    for start, end in ((1, 2), (2, 3), (3, 0)):
        canvas.line(corners[start], corners[end], ROI_COLOR, 0.5)
    canvas.line(corners[0], corners[1], ROI_COLOR, 1.5)


def _draw_skeleton(canvas: _Canvas, landmarks: np.ndarray) -> None:
    visible = landmarks[:, 3] >= MIN_VISIBILITY
    edges = [(start, end) for start, end in EDGES if visible[start] and visible[end]]
    # The outline first, so that no line covers another's colour.
    for start, end in edges:
        canvas.line(landmarks[start, :2], landmarks[end, :2], OUTLINE, 1.8)
    for start, end in edges:
        sides = {side_of(start), side_of(end)}
        color = SIDE_COLORS[sides.pop() if len(sides) == 1 else "middle"]
        canvas.line(landmarks[start, :2], landmarks[end, :2], color, 1.0)
    for index in np.flatnonzero(visible):
        canvas.dot(landmarks[index, :2], SIDE_COLORS[side_of(index)], 1.0 if index > 10 else 0.6)


class _Canvas:
    """An RGB copy to draw on in normalised coordinates, with strokes that suit its size."""

    def __init__(self, rgb: np.ndarray) -> None:
        self.rgb = rgb.copy()
        self.height, self.width = rgb.shape[:2]
        self.stroke = max(1.0, (self.width * self.height) ** 0.5 / 260)  # px

    def line(self, start: np.ndarray, end: np.ndarray, color: Color, width: float) -> None:
        """A line whose width is counted in strokes."""
        thickness = max(1, round(width * self.stroke))
        cv2.line(self.rgb, self._point(start), self._point(end), color, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)

    def dot(self, center: np.ndarray, color: Color, size: float = 1.0) -> None:
        """A filled dot with an outline. A polygon, because cv2.circle draws small ones as diamonds."""
        radius = max(1.0, size * self.stroke * 1.3)
        for fill, px in ((OUTLINE, radius + max(0.75, size * self.stroke * 0.4)), (color, radius)):
            polygon = np.rint(self._point(center) + _CIRCLE * (px * 2**_SUBPIXEL_BITS)).astype(np.int32)
            cv2.fillConvexPoly(self.rgb, polygon, fill, cv2.LINE_AA, _SUBPIXEL_BITS)

    def box(self, detection: Detection, color: Color, width: float) -> None:
        """The box of a detection."""
        xmin, ymin, width, height = detection.box
        corners = np.array([[xmin, ymin], [xmin + width, ymin], [xmin + width, ymin + height], [xmin, ymin + height]])
        for start, end in ((0, 1), (1, 2), (2, 3), (3, 0)):
            self.line(corners[start], corners[end], color, width)

    def tint(self, mask: np.ndarray, color: Color) -> None:
        """Blends a colour over the pixels of a mask."""
        inside = mask > 0
        share = mask[inside, np.newaxis] * np.float32(0.5)
        self.rgb[inside] = (self.rgb[inside] * (1 - share) + np.array(color, np.float32) * share).round()

    def label(self, corner: np.ndarray, text: str, color: Color, size: float) -> None:
        """Dark text on a patch above the corner, or below it at the image's upper edge."""
        scale = max(0.35, size * self.stroke * 0.25)
        thickness = max(1, round(scale * 2))
        (width, height), baseline = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
        x, y = (value >> _SUBPIXEL_BITS for value in self._point(corner))
        top = y - height - 2 * baseline
        if top < 0:
            top = y
        bottom = top + height + 2 * baseline
        cv2.rectangle(self.rgb, (x, top), (x + width + baseline, bottom), color, cv2.FILLED)
        origin = (x + baseline // 2, bottom - baseline)
        cv2.putText(self.rgb, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, OUTLINE, thickness, cv2.LINE_AA)

    def _point(self, position: np.ndarray) -> tuple[int, int]:
        """Subpixel units; what lies far outside is brought near enough for OpenCV's integers."""
        size = np.array([self.width, self.height])
        px = np.clip(np.nan_to_num(np.asarray(position, np.float64) * size), -4 * size, 5 * size)
        x, y = np.rint(px * 2**_SUBPIXEL_BITS).astype(int)
        return int(x), int(y)
