// PASSES: graph-simplify
// Inverse transposes and identities vanish.
// CHECK: func.func @main([[X:%.*]]: tensor<2x3x4xf32>)
// CHECK-NEXT: func.return [[X]]
func.func @main(%x: tensor<2x3x4xf32>) -> tensor<2x3x4xf32> {
  %a = graph.transpose(%x) <perm = [1, 2, 0]> : (tensor<2x3x4xf32>) -> tensor<3x4x2xf32>
  %b = graph.transpose(%a) <perm = [2, 0, 1]> : (tensor<3x4x2xf32>) -> tensor<2x3x4xf32>
  %c = graph.reshape(%b) : (tensor<2x3x4xf32>) -> tensor<24xf32>
  %d = graph.reshape(%c) : (tensor<24xf32>) -> tensor<2x3x4xf32>
  %e = graph.slice(%d) <starts = [0, 0, 0], steps = [1, 1, 1], sizes = [2, 3, 4]> : (tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  %f = graph.expand(%e) : (tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  %g = graph.cast(%f) : (tensor<2x3x4xf32>) -> tensor<2x3x4xf64>
  %h = graph.cast(%g) : (tensor<2x3x4xf64>) -> tensor<2x3x4xf32>
  func.return %h : tensor<2x3x4xf32>
}
// -----
// A cast through a narrower type rounds, and stays.
// CHECK: graph.cast
// CHECK: graph.cast
func.func @main(%x: tensor<3xf32>) -> tensor<3xf32> {
  %g = graph.cast(%x) : (tensor<3xf32>) -> tensor<3xi32>
  %h = graph.cast(%g) : (tensor<3xi32>) -> tensor<3xf32>
  func.return %h : tensor<3xf32>
}
// -----
// Slices compose, also backwards; a whole slice in reverse order is no identity.
// CHECK: graph.slice(%{{.*}}) <starts = [8], steps = [-4], sizes = [3]>
// CHECK-NOT: graph.slice
func.func @main(%x: tensor<10xf32>) -> tensor<3xf32> {
  %a = graph.slice(%x) <starts = [0], steps = [2], sizes = [5]> : (tensor<10xf32>) -> tensor<5xf32>
  %b = graph.slice(%a) <starts = [4], steps = [-2], sizes = [3]> : (tensor<5xf32>) -> tensor<3xf32>
  func.return %b : tensor<3xf32>
}
// -----
// Moving axes of extent 1 is a view; expand is dropped in front of an op that broadcasts.
// CHECK-NOT: graph.transpose
// CHECK-NOT: graph.expand
// CHECK: graph.reshape
// CHECK: graph.mul
func.func @main(%x: tensor<1x5x1xf32>, %y: tensor<3x5xf32>) -> tensor<3x5xf32> {
  %a = graph.transpose(%x) <perm = [0, 2, 1]> : (tensor<1x5x1xf32>) -> tensor<1x1x5xf32>
  %b = graph.reshape(%a) : (tensor<1x1x5xf32>) -> tensor<1x5xf32>
  %c = graph.expand(%b) : (tensor<1x5xf32>) -> tensor<3x5xf32>
  %d = graph.mul(%c, %y) : (tensor<3x5xf32>, tensor<3x5xf32>) -> tensor<3x5xf32>
  func.return %d : tensor<3x5xf32>
}
// -----
// Equal ops are one; concatenations along one axis are one; dead ops go.
// CHECK: graph.exp
// CHECK-NOT: graph.exp
// CHECK: [[C:%.*]] = graph.concat([[A:%.*]], [[A]], %{{.*}}) <axis = 0>
// CHECK-NEXT: func.return [[C]]
func.func @main(%x: tensor<3xf32>) -> tensor<9xf32> {
  %a = graph.exp(%x) {nodes = ["first"]} : (tensor<3xf32>) -> tensor<3xf32>
  %b = graph.exp(%x) {nodes = ["second"]} : (tensor<3xf32>) -> tensor<3xf32>
  %dead = graph.log(%x) : (tensor<3xf32>) -> tensor<3xf32>
  %c = graph.concat(%a, %b) <axis = 0> : (tensor<3xf32>, tensor<3xf32>) -> tensor<6xf32>
  %d = graph.concat(%c, %x) <axis = 0> : (tensor<6xf32>, tensor<3xf32>) -> tensor<9xf32>
  func.return %d : tensor<9xf32>
}
