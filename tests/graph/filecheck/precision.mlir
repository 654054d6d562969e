// PASSES: graph-precision{dtype="f16"},graph-fold
// A convolution multiplies f16, its epilogue is f32 with one rounding; the signature stays f32.
// CHECK: func.func @main({{.*}}: tensor<1x4x4x3xf32>) -> tensor<1x4x4x5xf32>
// CHECK: [[X:%.*]] = graph.cast(%{{.*}}) {unrounded} : (tensor<1x4x4x3xf32>) -> tensor<1x4x4x3xf16>
// CHECK: graph.conv([[X]], %{{.*}}) {{.*}} : (tensor<1x4x4x3xf16>, tensor<1x1x3x5xf16>) -> tensor<1x4x4x5xf32>
// CHECK-NEXT: graph.constant @b : tensor<5xf32>
// CHECK-NEXT: graph.add
// CHECK-NEXT: [[R:%.*]] = graph.relu
// CHECK-NEXT: [[H:%.*]] = graph.cast([[R]]) {unrounded} : (tensor<1x4x4x5xf32>) -> tensor<1x4x4x5xf16>
// CHECK: [[D:%.*]] = graph.conv([[H]]
// CHECK-NEXT: [[E:%.*]] = graph.add([[D]], [[H]]) : (tensor<1x4x4x5xf32>, tensor<1x4x4x5xf16>) -> tensor<1x4x4x5xf32>
// CHECK-NEXT: func.return [[E]]
func.func @main(%x: tensor<1x4x4x3xf32>) -> tensor<1x4x4x5xf32> {
  %w = graph.constant @w : tensor<1x1x3x5xf32>
  %c = graph.conv(%x, %w) <strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 0], groups = 1> : (tensor<1x4x4x3xf32>, tensor<1x1x3x5xf32>) -> tensor<1x4x4x5xf32>
  %b = graph.constant @b : tensor<5xf32>
  %d = graph.add(%c, %b) : (tensor<1x4x4x5xf32>, tensor<5xf32>) -> tensor<1x4x4x5xf32>
  %r = graph.relu(%d) : (tensor<1x4x4x5xf32>) -> tensor<1x4x4x5xf32>
  %v = graph.constant @v : tensor<1x1x5x5xf32>
  %e = graph.conv(%r, %v) <strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 0], groups = 1> : (tensor<1x4x4x5xf32>, tensor<1x1x5x5xf32>) -> tensor<1x4x4x5xf32>
  %f = graph.add(%e, %r) : (tensor<1x4x4x5xf32>, tensor<1x4x4x5xf32>) -> tensor<1x4x4x5xf32>
  func.return %f : tensor<1x4x4x5xf32>
}
// -----
// The variance: squares, their sum and what follows from it stay f32.
// CHECK: graph.mul(%{{.*}}, %{{.*}}) : (tensor<4x256xf32>, tensor<4x256xf32>) -> tensor<4x256xf32>
// CHECK-NEXT: graph.reduce(%{{.*}}) <fn = sum, axes = [1]> : (tensor<4x256xf32>) -> tensor<4x1xf32>
// CHECK-NEXT: graph.sqrt(%{{.*}}) : (tensor<4x1xf32>) -> tensor<4x1xf32>
// CHECK-NEXT: graph.div(%{{.*}}, %{{.*}}) : (tensor<4x256xf16>, tensor<4x1xf32>) -> tensor<4x256xf32>
func.func @main(%x: tensor<4x256xf32>) -> tensor<4x256xf32> {
  %d = graph.tanh(%x) : (tensor<4x256xf32>) -> tensor<4x256xf32>
  %s = graph.mul(%d, %d) : (tensor<4x256xf32>, tensor<4x256xf32>) -> tensor<4x256xf32>
  %v = graph.reduce(%s) <fn = sum, axes = [1]> : (tensor<4x256xf32>) -> tensor<4x1xf32>
  %q = graph.sqrt(%v) : (tensor<4x1xf32>) -> tensor<4x1xf32>
  %r = graph.div(%d, %q) : (tensor<4x256xf32>, tensor<4x1xf32>) -> tensor<4x256xf32>
  func.return %r : tensor<4x256xf32>
}
// -----
// Integers keep their type, comparisons give bool, and a mask of -3.4e38 saturates instead of becoming infinite.
// CONSTANT mask = -3.4e38
// CHECK: [[M:%.*]] = graph.constant @mask.finite : tensor<f32>
// CHECK: [[W:%.*]] = graph.where(%{{.*}}, %{{.*}}, [[M]]) : (tensor<3xi1>, tensor<3xf32>, tensor<f32>) -> tensor<3xf32>
// CHECK: graph.cast([[W]]) {unrounded} : (tensor<3xf32>) -> tensor<3xf16>
// CHECK: graph.softmax(%{{.*}}) : (tensor<3xf16>) -> tensor<3xf16>
func.func @main(%x: tensor<3xf32>, %i: tensor<3xi32>) -> tensor<3xf32> {
  %c = graph.less(%i, %i) : (tensor<3xi32>, tensor<3xi32>) -> tensor<3xi1>
  %m = graph.constant @mask : tensor<f32>
  %w = graph.where(%c, %x, %m) : (tensor<3xi1>, tensor<3xf32>, tensor<f32>) -> tensor<3xf32>
  %s = graph.softmax(%w) : (tensor<3xf32>) -> tensor<3xf32>
  func.return %s : tensor<3xf32>
}
