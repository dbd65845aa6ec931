"""Triton kernels, each beside its eager twin; they know tensors and nothing of markets."""
