// PASSES: graph-simplify
// BatchNormalization: conv, bias, scale, shift become scaled weights and one addition.
// CHECK: [[W:%.*]] = graph.constant @w.scaled
// CHECK: [[C:%.*]] = graph.conv(%{{.*}}, [[W]])
// CHECK-SAME: nodes = ["conv", "scale"]
// CHECK: [[A:%.*]] = graph.add([[C]],
// CHECK-NEXT: func.return [[A]]
func.func @main(%x: tensor<1x4x4x3xf32>) -> tensor<1x4x4x5xf32> {
  %w = graph.constant @w : tensor<1x1x3x5xf32>
  %b = graph.constant @b : tensor<5xf32>
  %s = graph.constant @s : tensor<1x1x1x5xf32>
  %t = graph.constant @t : tensor<5xf32>
  %c = graph.conv(%x, %w) <strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 0], groups = 1> {nodes = ["conv"]} : (tensor<1x4x4x3xf32>, tensor<1x1x3x5xf32>) -> tensor<1x4x4x5xf32>
  %d = graph.add(%c, %b) : (tensor<1x4x4x5xf32>, tensor<5xf32>) -> tensor<1x4x4x5xf32>
  %e = graph.div(%d, %s) {nodes = ["scale"]} : (tensor<1x4x4x5xf32>, tensor<1x1x1x5xf32>) -> tensor<1x4x4x5xf32>
  %f = graph.sub(%e, %t) : (tensor<1x4x4x5xf32>, tensor<5xf32>) -> tensor<1x4x4x5xf32>
  func.return %f : tensor<1x4x4x5xf32>
}
// -----
// The weights stay when someone else needs the unscaled product, or the scale is not per output channel.
// CHECK: graph.mul
// CHECK: graph.mul
func.func @main(%x: tensor<4x3xf32>) -> (tensor<4x3xf32>, tensor<4x3xf32>, tensor<4x3xf32>) {
  %w = graph.constant @w : tensor<3x3xf32>
  %s = graph.constant @s : tensor<3xf32>
  %r = graph.constant @rows : tensor<4x1xf32>
  %c = graph.matmul(%x, %w) : (tensor<4x3xf32>, tensor<3x3xf32>) -> tensor<4x3xf32>
  %d = graph.mul(%c, %s) : (tensor<4x3xf32>, tensor<3xf32>) -> tensor<4x3xf32>
  %v = graph.constant @v : tensor<3x3xf32>
  %e = graph.matmul(%x, %v) : (tensor<4x3xf32>, tensor<3x3xf32>) -> tensor<4x3xf32>
  %f = graph.mul(%e, %r) : (tensor<4x3xf32>, tensor<4x1xf32>) -> tensor<4x3xf32>
  func.return %c, %d, %f : tensor<4x3xf32>, tensor<4x3xf32>, tensor<4x3xf32>
}
// -----
// CONSTANT zero = 0
// CONSTANT one = 1
// CONSTANT two = 2
// CONSTANT six = 6
// Neutral operands go; powers become products; bounds become one clip.
// CHECK-NOT: graph.pow
// CHECK: [[M:%.*]] = graph.mul([[X:%.*]], [[X]])
// CHECK-NEXT: [[C:%.*]] = graph.clip([[M]]) <min = 0.000000e+00, max = 6.000000e+00>
// CHECK-NEXT: func.return [[C]]
func.func @main(%x: tensor<3xf32>) -> tensor<3xf32> {
  %zero = graph.constant @zero : tensor<f32>
  %one = graph.constant @one : tensor<3xf32>
  %two = graph.constant @two : tensor<f32>
  %six = graph.constant @six : tensor<f32>
  %a = graph.add(%zero, %x) : (tensor<f32>, tensor<3xf32>) -> tensor<3xf32>
  %b = graph.mul(%a, %one) : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
  %c = graph.pow(%b, %two) : (tensor<3xf32>, tensor<f32>) -> tensor<3xf32>
  %d = graph.max(%c, %zero) : (tensor<3xf32>, tensor<f32>) -> tensor<3xf32>
  %e = graph.min(%d, %six) : (tensor<3xf32>, tensor<f32>) -> tensor<3xf32>
  func.return %e : tensor<3xf32>
}
// -----
// CONSTANT huge = 3e38
// The reciprocal of 3e38 is subnormal in f32: the division stays.
// CHECK: graph.div
func.func @main(%x: tensor<3xf32>) -> tensor<3xf32> {
  %c = graph.constant @huge : tensor<f32>
  %r = graph.div(%x, %c) : (tensor<3xf32>, tensor<f32>) -> tensor<3xf32>
  func.return %r : tensor<3xf32>
}
// -----
// CONSTANT one = 1
// A neutral element that broadcasts the operand is no identity.
// CHECK: graph.mul
func.func @main(%x: tensor<3xf32>) -> tensor<2x3xf32> {
  %c = graph.constant @one : tensor<2x1xf32>
  %r = graph.mul(%x, %c) : (tensor<3xf32>, tensor<2x1xf32>) -> tensor<2x3xf32>
  func.return %r : tensor<2x3xf32>
}
