// PASSES: graph-sink-transposes,graph-simplify
// A residual block: the transposes around its ops meet and cancel; only the borders keep one each.
// CHECK: graph.transpose(%{{.*}}) <perm = [0, 2, 3, 1]>
// CHECK-NOT: graph.transpose
// CHECK: graph.window_reduce(%{{.*}}) <fn = max, axes = [1, 2], sizes = [3, 2]
// CHECK-NOT: graph.transpose
// CHECK: graph.concat(%{{.*}}) <axis = 3>
// CHECK: graph.transpose(%{{.*}}) <perm = [0, 3, 1, 2]>
// CHECK-NEXT: func.return
func.func @main(%x: tensor<1x3x6x5xf32>) -> tensor<1x6x2x2xf32> {
  %w = graph.constant @w : tensor<1x1x3x3xf32>
  %bias = graph.constant @bias : tensor<1x3x1x1xf32>
  %rows = graph.constant @rows : tensor<6x1xf32>
  %a = graph.transpose(%x) <perm = [0, 2, 3, 1]> : (tensor<1x3x6x5xf32>) -> tensor<1x6x5x3xf32>
  %b = graph.conv(%a, %w) <strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 0], groups = 1> : (tensor<1x6x5x3xf32>, tensor<1x1x3x3xf32>) -> tensor<1x6x5x3xf32>
  %c = graph.transpose(%b) <perm = [0, 3, 1, 2]> : (tensor<1x6x5x3xf32>) -> tensor<1x3x6x5xf32>
  %d = graph.add(%c, %bias) : (tensor<1x3x6x5xf32>, tensor<1x3x1x1xf32>) -> tensor<1x3x6x5xf32>
  %e = graph.mul(%d, %rows) : (tensor<1x3x6x5xf32>, tensor<6x1xf32>) -> tensor<1x3x6x5xf32>
  %f = graph.relu(%e) : (tensor<1x3x6x5xf32>) -> tensor<1x3x6x5xf32>
  %g = graph.add(%f, %c) : (tensor<1x3x6x5xf32>, tensor<1x3x6x5xf32>) -> tensor<1x3x6x5xf32>
  %p = graph.window_reduce(%g) <fn = max, axes = [2, 3], sizes = [3, 2], strides = [3, 2], dilations = [1, 1], pads = [0, 0, 0, 0]> : (tensor<1x3x6x5xf32>) -> tensor<1x3x2x2xf32>
  %q = graph.concat(%p, %p) <axis = 1> : (tensor<1x3x2x2xf32>, tensor<1x3x2x2xf32>) -> tensor<1x6x2x2xf32>
  func.return %q : tensor<1x6x2x2xf32>
}
// -----
// A channel shuffle in channels-last form: one transpose within the channels.
// CHECK: graph.reshape
// CHECK-NEXT: graph.transpose(%{{.*}}) <perm = [0, 1, 2, 4, 3]>
// CHECK-NEXT: graph.reshape
// CHECK-NOT: graph.transpose
func.func @main(%x: tensor<1x4x4x6xf32>) -> tensor<1x4x4x6xf32> {
  %a = graph.transpose(%x) <perm = [0, 3, 1, 2]> : (tensor<1x4x4x6xf32>) -> tensor<1x6x4x4xf32>
  %b = graph.reshape(%a) : (tensor<1x6x4x4xf32>) -> tensor<1x2x3x4x4xf32>
  %c = graph.transpose(%b) <perm = [0, 2, 1, 3, 4]> : (tensor<1x2x3x4x4xf32>) -> tensor<1x3x2x4x4xf32>
  %d = graph.reshape(%c) : (tensor<1x3x2x4x4xf32>) -> tensor<1x6x4x4xf32>
  %e = graph.transpose(%d) <perm = [0, 2, 3, 1]> : (tensor<1x6x4x4xf32>) -> tensor<1x4x4x6xf32>
  func.return %e : tensor<1x4x4x6xf32>
}
// -----
// Flattening in front of a fully connected layer: its weights take the transpose.
// CHECK-NOT: graph.transpose
// CHECK: graph.matmul
func.func @main(%x: tensor<2x3x4x5xf32>) -> tensor<2x7xf32> {
  %w = graph.constant @w : tensor<60x7xf32>
  %a = graph.transpose(%x) <perm = [0, 3, 1, 2]> : (tensor<2x3x4x5xf32>) -> tensor<2x5x3x4xf32>
  %b = graph.reshape(%a) : (tensor<2x5x3x4xf32>) -> tensor<2x60xf32>
  %c = graph.matmul(%b, %w) : (tensor<2x60xf32>, tensor<60x7xf32>) -> tensor<2x7xf32>
  func.return %c : tensor<2x7xf32>
}
// -----
// One transposed operand of two: passing would move more, so the transpose stays where it is.
// CHECK: graph.transpose
// CHECK-NEXT: graph.add
// CHECK-NEXT: func.return
func.func @main(%x: tensor<3x4xf32>, %y: tensor<4x3xf32>) -> tensor<4x3xf32> {
  %a = graph.transpose(%x) <perm = [1, 0]> : (tensor<3x4xf32>) -> tensor<4x3xf32>
  %b = graph.add(%a, %y) : (tensor<4x3xf32>, tensor<4x3xf32>) -> tensor<4x3xf32>
  func.return %b : tensor<4x3xf32>
}
// -----
// Softmax over an axis that does not stay the last keeps its transpose.
// CHECK: graph.transpose
// CHECK-NEXT: graph.softmax
func.func @main(%x: tensor<3x4xf32>) -> tensor<4x3xf32> {
  %a = graph.transpose(%x) <perm = [1, 0]> : (tensor<3x4xf32>) -> tensor<4x3xf32>
  %b = graph.softmax(%a) : (tensor<4x3xf32>) -> tensor<4x3xf32>
  func.return %b : tensor<4x3xf32>
}
// -----
// A transposed convolution's pixel shuffle between channels-last ops: the outer transposes cancel before anything is hoisted.
// CHECK: graph.transpose(%{{.*}}) <perm = [0, 1, 3, 2, 4, 5]>
// CHECK-NEXT: graph.reshape
// CHECK-NEXT: graph.relu
// CHECK-NEXT: func.return
func.func @main(%x: tensor<1x4x4x2x2x3xf32>) -> tensor<1x8x8x3xf32> {
  %a = graph.transpose(%x) <perm = [0, 1, 3, 2, 4, 5]> : (tensor<1x4x4x2x2x3xf32>) -> tensor<1x4x2x4x2x3xf32>
  %b = graph.reshape(%a) : (tensor<1x4x2x4x2x3xf32>) -> tensor<1x8x8x3xf32>
  %c = graph.transpose(%b) <perm = [0, 3, 1, 2]> : (tensor<1x8x8x3xf32>) -> tensor<1x3x8x8xf32>
  %d = graph.relu(%c) : (tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32>
  %e = graph.transpose(%d) <perm = [0, 2, 3, 1]> : (tensor<1x3x8x8xf32>) -> tensor<1x8x8x3xf32>
  func.return %e : tensor<1x8x8x3xf32>
}
