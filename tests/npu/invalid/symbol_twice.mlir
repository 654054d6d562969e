// expected: symbol @x is declared twice
npu.program @main target("edge-4t") {
  npu.sem @x = 0
  npu.desc @x sram f32 [4] strides [1] base(0)
}
