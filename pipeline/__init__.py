"""From image to detections and landmarks, in NumPy and OpenCV."""
