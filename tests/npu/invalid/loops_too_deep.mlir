// expected: nested 5 deep, the machine has 4 levels
npu.program @main target("edge-4t") {
  npu.loop 2 step() { npu.loop 2 step() { npu.loop 2 step() { npu.loop 2 step() { npu.loop 2 step() {
    npu.s.fence
  } } } } }
}
