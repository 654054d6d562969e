// EXPECT: result type must be tensor<1x6x6x16xf32>
func.func @main(%x: tensor<1x8x8x4xf32>, %w: tensor<3x3x4x16xf32>, %d: tensor<3x3x5xf32>) {
  %r = graph.conv(%x, %w) <strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 0], groups = 1> : (tensor<1x8x8x4xf32>, tensor<3x3x4x16xf32>) -> tensor<1x8x8x16xf32>
  func.return
}
// -----
// EXPECT: x has 4 channels, w [3, 3, 4, 16] needs 4 per group x 2 groups
func.func @main(%x: tensor<1x8x8x4xf32>, %w: tensor<3x3x4x16xf32>, %d: tensor<3x3x5xf32>) {
  %r = graph.conv(%x, %w) <strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 0], groups = 2> : (tensor<1x8x8x4xf32>, tensor<3x3x4x16xf32>) -> tensor<1x6x6x16xf32>
  func.return
}
// -----
// EXPECT: strides must be two positive integers, found [0, 1]
func.func @main(%x: tensor<1x8x8x4xf32>, %w: tensor<3x3x4x16xf32>, %d: tensor<3x3x5xf32>) {
  %r = graph.conv(%x, %w) <strides = [0, 1], dilations = [1, 1], pads = [0, 0, 0, 0], groups = 1> : (tensor<1x8x8x4xf32>, tensor<3x3x4x16xf32>) -> tensor<1x6x6x16xf32>
  func.return
}
// -----
// EXPECT: pads must be four integers >= 0
func.func @main(%x: tensor<1x8x8x4xf32>, %w: tensor<3x3x4x16xf32>, %d: tensor<3x3x5xf32>) {
  %r = graph.conv(%x, %w) <strides = [1, 1], dilations = [1, 1], pads = [0, 0], groups = 1> : (tensor<1x8x8x4xf32>, tensor<3x3x4x16xf32>) -> tensor<1x6x6x16xf32>
  func.return
}
// -----
// EXPECT: kernel [3, 3] does not fit
func.func @main(%x: tensor<1x8x8x4xf32>, %w: tensor<3x3x4x16xf32>, %d: tensor<3x3x5xf32>) {
  %r = graph.conv(%x, %w) <strides = [1, 1], dilations = [9, 1], pads = [0, 0, 0, 0], groups = 1> : (tensor<1x8x8x4xf32>, tensor<3x3x4x16xf32>) -> tensor<1x6x6x16xf32>
  func.return
}
// -----
// EXPECT: x has 4 channels, w has 5
func.func @main(%x: tensor<1x8x8x4xf32>, %w: tensor<3x3x4x16xf32>, %d: tensor<3x3x5xf32>) {
  %r = graph.depthwise_conv(%x, %d) <strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 0]> : (tensor<1x8x8x4xf32>, tensor<3x3x5xf32>) -> tensor<1x6x6x5xf32>
  func.return
}
// -----
// EXPECT: k differs, found 6
func.func @main(%a: tensor<4x6xf32>) {
  %r = graph.matmul(%a, %a) : (tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<4x6xf32>
  func.return
}
// -----
// EXPECT: operands need rank >= 2
func.func @main(%a: tensor<4xf32>) {
  %r = graph.matmul(%a, %a) : (tensor<4xf32>, tensor<4xf32>) -> tensor<f32>
  func.return
}
// -----
// EXPECT: cannot contract f32 x f32 to i32
func.func @main(%a: tensor<4x4xf32>) {
  %r = graph.matmul(%a, %a) : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xi32>
  func.return
}
