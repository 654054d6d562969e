// EXPECT: fn must be one of sum, max, min, prod, found mean
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.reduce(%y) <fn = mean, axes = [0]> : (tensor<4x6xf32>) -> tensor<1x6xf32>
  func.return
}
// -----
// EXPECT: axes must be increasing axes of [4, 6], found [2]
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.reduce(%y) <fn = sum, axes = [2]> : (tensor<4x6xf32>) -> tensor<1x6xf32>
  func.return
}
// -----
// EXPECT: result type must be tensor<1x6xf32>
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.reduce(%y) <fn = sum, axes = [0]> : (tensor<4x6xf32>) -> tensor<6xf32>
  func.return
}
// -----
// EXPECT: cannot reduce f32 to i32
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.reduce(%y) <fn = sum, axes = [0]> : (tensor<4x6xf32>) -> tensor<1x6xi32>
  func.return
}
// -----
// EXPECT: axes must be two increasing axes
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.window_reduce(%x) <fn = max, axes = [2, 1], sizes = [2, 2], strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 0]> : (tensor<1x8x8x4xf32>) -> tensor<1x7x7x4xf32>
  func.return
}
// -----
// EXPECT: window [9, 2] does not fit
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.window_reduce(%x) <fn = max, axes = [1, 2], sizes = [9, 2], strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 0]> : (tensor<1x8x8x4xf32>) -> tensor<1x7x7x4xf32>
  func.return
}
// -----
// EXPECT: operand must be of floats
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.softmax(%i) : (tensor<4x6xi32>) -> tensor<4x6xi32>
  func.return
}
