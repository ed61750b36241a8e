"""ltgc: long-tail recognition with generated images."""
