"""Workers: processes that Ray starts on all GPUs of a machine or of a cluster, and that answer what a port is asked."""
