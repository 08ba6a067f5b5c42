"""Kernels of the frame step for a few rows, each beside its PyTorch reference.

They are Triton's, and run on CUDA devices; with `TRITON_INTERPRET=1` (before the first import) on a CPU too, slowly, for tests.
"""
