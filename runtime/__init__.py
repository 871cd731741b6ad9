"""One thin interpreter interface over TFLite runtimes."""
