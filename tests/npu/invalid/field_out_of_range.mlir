// expected: npu.mx.conv: field stride_h: 65536 is outside 0..65535
npu.program @main target("edge-4t") {
  npu.desc @x sram f16 [1, 4, 4, 1] strides [16, 4, 1, 1] base(0)
  npu.desc @acc acc f32 [1, 1, 1, 1] strides [1, 1, 1, 1] base(0)
  npu.mx.conv dst(@acc) x(@x) w(@x) stride_h(65536)
}
