"""Runs onnx2tf in a process and a folder of its own: `python -P onnx2tf_worker.py JOB.json`; imports nothing of ours.

onnx2tf prints thousands of lines, writes next to its input, and exits the process when it fails.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(job: dict) -> None:
    """Simplifies and converts one model.

    Args:
        job: `model`: the .onnx file; `out`: folder for the results; `keep_shape`: names of inputs whose axes stay as
            they are; `calibration`: list of input name, .npy file, mean and std for int8, or None.
    """
    import numpy as np
    import onnx
    import onnxsim

    proto, same = onnxsim.simplify(onnx.load(job["model"]))
    if same:
        onnx.save(proto, job["model"])

    import onnx2tf

    calibration = job["calibration"]
    onnx2tf.convert(
        input_onnx_file_path=job["model"],
        output_folder_path=job["out"],
        not_use_onnxsim=True,
        keep_shape_absolutely_input_names=job["keep_shape"] or None,
        output_integer_quantized_tflite=calibration is not None,
        custom_input_op_name_np_data_path=None
        if calibration is None
        else [[name, file, np.float32(mean), np.float32(std)] for name, file, mean, std in calibration],
        verbosity="error",
    )


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
