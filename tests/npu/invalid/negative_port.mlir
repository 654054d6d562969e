// expected: npu.port: base and dims may not be negative
npu.program @main target("edge-4t") {
  npu.port input "x" f32 [4] base(-64)
}
