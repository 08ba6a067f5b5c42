"""What the decoder does between its matrix products, as Triton kernels beside the PyTorch that says what they compute.

Each file has a function that picks: the kernel on a CUDA device where Triton is installed, its reference elsewhere.
Importing this imports Triton; what runs without it does not.
"""
