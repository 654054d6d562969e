// expected: r0 is not a register that may move, or moves twice
npu.program @main target("edge-4t") {
  npu.loop 2 step(r0 += 4) {
  }
}
