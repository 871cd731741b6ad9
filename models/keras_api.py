"""The single import point of TensorFlow and Keras.

tf-keras is the default. `BLAZEPORT_KERAS=keras3` in the environment builds the same networks under Keras 3.
"""

from __future__ import annotations

import os

from ..errors import ConfigError
from ..quiet import native_stderr

# Lines of absl's logger, and its complaint that it was used before it was set up.
NATIVE_CHATTER = r"[IWEF]\d{4} |WARNING: All log messages before absl|INFO:|\d{4}-\d{2}-\d{2} |\s*$"

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

_KERAS = {"tf-keras": "tf_keras", "keras3": "keras"}
_choice = os.environ.get("BLAZEPORT_KERAS", "tf-keras")
if _choice not in _KERAS:
    raise ConfigError(f"BLAZEPORT_KERAS must be one of: {', '.join(_KERAS)}. Received: {_choice!r}.")

try:
    with native_stderr(NATIVE_CHATTER):
        import tensorflow as tf

        tf.config.list_physical_devices("GPU")  # The search for one is part of the chatter.
        if _choice == "keras3":
            import keras
        else:
            import tf_keras as keras
except ImportError as error:
    raise ConfigError(
        f"Building Keras models needs TensorFlow and {_choice}; {error.name} is not installed. "
        "Install them with: pip install 'blazeport[convert]'."
    ) from error

__all__ = ["NATIVE_CHATTER", "keras", "tf"]
