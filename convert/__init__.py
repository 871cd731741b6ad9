"""Keras models to TFLite files that are proven before they get their name."""
