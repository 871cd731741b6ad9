"""The networks: every variant as frozen data, and the Keras builders."""
