"""blazeport: BlazeFace and BlazePose as editable Keras models and proven TFLite files."""

__version__ = "0.1.0"
