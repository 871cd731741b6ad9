"""Overlapping detections become one: blended as BlazeFace does it, or, for comparison, all but the best dropped."""

from __future__ import annotations

import numpy as np

from .decode import Detections


def blend_overlapping(detections: Detections, min_iou: float) -> Detections:
    """BlazeFace's tie resolution: detections that overlap are averaged by score instead of dropped.

    The best detection takes all that overlap it by more than `min_iou`; the result has the average of their box corners
    and keypoints, weighted by score, and the best one's score. Then the rest, in the same way.

    Args:
        detections: any number, in any order.
        min_iou: intersection over union, in [0, 1], that has to be exceeded.
    Returns:
        The blended detections, best first.

    Source: arXiv 1907.05047, section 3; MediaPipe NonMaxSuppressionCalculator, WEIGHTED. Like there, a best detection
    without area overlaps nothing, not even itself: it is passed on and ends the loop.
    """
    order = np.argsort(-detections.scores, kind="stable")
    scores, keypoints = detections.scores[order], detections.keypoints[order]
    xywh = detections.boxes[order]
    corners = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    out = Detections(scores.copy(), xywh.copy(), keypoints.copy())
    best = []
    left = np.arange(len(scores))
    while len(left):
        top = left[0]
        best.append(top)
        overlaps = intersection_over_union(corners[top], corners[left]) > min_iou
        group = left[overlaps]
        if not len(group):
            break
        weights = scores[group] / scores[group].sum()
        blended = weights @ corners[group]
        out.boxes[top] = np.concatenate([blended[:2], blended[2:] - blended[:2]])
        out.keypoints[top] = np.tensordot(weights, keypoints[group], axes=1)
        left = left[~overlaps]
    return Detections(out.scores[best], out.boxes[best], out.keypoints[best])


def drop_overlapping(detections: Detections, max_iou: float) -> Detections:
    """Plain non-maximum suppression, for comparison: of detections that overlap, the best is kept as it is.

    Args:
        detections: any number, in any order.
        max_iou: intersection over union, in [0, 1], up to which both are kept.
    Returns:
        The kept detections, best first.
    """
    left = np.argsort(-detections.scores, kind="stable")
    xywh = detections.boxes
    corners = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    kept = []
    while len(left):
        kept.append(left[0])
        left = left[1:][intersection_over_union(corners[left[0]], corners[left[1:]]) <= max_iou]
    return Detections(detections.scores[kept], detections.boxes[kept], detections.keypoints[kept])


def intersection_over_union(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Overlap of a box with others.

    Args:
        box: `(4,)` xmin ymin xmax ymax.
        others: `(n, 4)`, likewise.
    Returns:
        `(n,)` in [0, 1]; 0 where neither box has an area.
    """
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    intersection = np.prod(np.maximum(sides, 0), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - intersection
    return np.asarray(np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0))
