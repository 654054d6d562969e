// expected: count 4294967296 is outside 0..4294967295
npu.program @main target("edge-4t") {
  npu.loop 4294967296 step() {
  }
}
