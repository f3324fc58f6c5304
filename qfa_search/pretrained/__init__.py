"""The bundled supernet, its samples and its predictor."""
