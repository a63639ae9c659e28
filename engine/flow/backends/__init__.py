"""Compiling the live graph for a machine, proving it equal, and keeping it: native kernels, OpenVINO, TensorRT, ONNX.

Start with `backend` and `select`.
"""
