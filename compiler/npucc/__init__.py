"""Compile ONNX models to NPU programs, run them on the simulator and compare them with onnxruntime."""
