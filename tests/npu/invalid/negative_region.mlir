// expected: npu.region @x: base and size may not be negative
npu.program @main target("edge-4t") {
  npu.region @x scratch base(-64) size(64)
}
