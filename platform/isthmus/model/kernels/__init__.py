"""Convolutions of few channels that are quick: on the CPU through numba, on the GPU in Triton."""
