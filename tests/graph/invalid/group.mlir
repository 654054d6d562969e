// EXPECT: ops after the root must be element-wise with its shape [4, 8], found graph.softmax
func.func @main(%x: tensor<4x8xf32>) {
  %g = graph.group(%x) {
  ^bb0(%a: tensor<4x8xf32>):
    %r = graph.softmax(%a) : (tensor<4x8xf32>) -> tensor<4x8xf32>
    %s = graph.softmax(%r) : (tensor<4x8xf32>) -> tensor<4x8xf32>
    graph.yield %s : tensor<4x8xf32>
  }
  func.return
}
// -----
// EXPECT: ops after the root must be element-wise with its shape [4, 8], found graph.softmax
func.func @main(%x: tensor<4x8xf32>) {
  %g = graph.group(%x) {
  ^bb0(%a: tensor<4x8xf32>):
    %r = graph.exp(%a) : (tensor<4x8xf32>) -> tensor<4x8xf32>
    %s = graph.softmax(%r) : (tensor<4x8xf32>) -> tensor<4x8xf32>
    graph.yield %s : tensor<4x8xf32>
  }
  func.return
}
// -----
// EXPECT: the first op after the constants must be a root, found graph.reshape
func.func @main(%x: tensor<4x8xf32>) {
  %g = graph.group(%x) {
  ^bb0(%a: tensor<4x8xf32>):
    %r = graph.reshape(%a) : (tensor<4x8xf32>) -> tensor<32xf32>
    graph.yield %r : tensor<32xf32>
  }
  func.return
}
// -----
// EXPECT: ops after the root must be element-wise with its shape [4, 8], found graph.constant
func.func @main(%x: tensor<4x8xf32>) {
  %g = graph.group(%x) {
  ^bb0(%a: tensor<4x8xf32>):
    %r = graph.exp(%a) : (tensor<4x8xf32>) -> tensor<4x8xf32>
    %c = graph.constant @c : tensor<f32>
    %s = graph.add(%r, %c) : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
    graph.yield %s : tensor<4x8xf32>
  }
  func.return
}
// -----
// EXPECT: a constant in the body must have one element, found tensor<4x8xf32>
func.func @main(%x: tensor<4x8xf32>) {
  %g = graph.group(%x) {
  ^bb0(%a: tensor<4x8xf32>):
    %c = graph.constant @c : tensor<4x8xf32>
    %s = graph.add(%a, %c) : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    graph.yield %s : tensor<4x8xf32>
  }
  func.return
}
// -----
// EXPECT: element-wise with its shape [1, 8], found graph.add of tensor<4x8xf32>
func.func @main(%x: tensor<1x8xf32>, %z: tensor<4x8xf32>) {
  %g = graph.group(%x, %z) {
  ^bb0(%a: tensor<1x8xf32>, %b: tensor<4x8xf32>):
    %r = graph.exp(%a) : (tensor<1x8xf32>) -> tensor<1x8xf32>
    %s = graph.add(%r, %b) : (tensor<1x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    graph.yield %s : tensor<4x8xf32>
  }
  func.return
}
// -----
// EXPECT: the body must hold a root, found none
func.func @main(%x: tensor<4x8xf32>) {
  %g = graph.group(%x) {
  ^bb0(%a: tensor<4x8xf32>):
    graph.yield %a : tensor<4x8xf32>
  }
  func.return
}
// -----
// EXPECT: the result of the body's last op, and nothing else, must be yielded
func.func @main(%x: tensor<4x8xf32>) {
  %g = graph.group(%x) {
  ^bb0(%a: tensor<4x8xf32>):
    %r = graph.exp(%a) : (tensor<4x8xf32>) -> tensor<4x8xf32>
    graph.yield %a : tensor<4x8xf32>
  }
  func.return
}
// -----
// EXPECT: the result of the body's last op, and nothing else, must be yielded
func.func @main(%x: tensor<4x8xf32>) {
  %g:2 = graph.group(%x) {
  ^bb0(%a: tensor<4x8xf32>):
    %r = graph.exp(%a) : (tensor<4x8xf32>) -> tensor<4x8xf32>
    %s = graph.relu(%r) : (tensor<4x8xf32>) -> tensor<4x8xf32>
    graph.yield %r, %s : tensor<4x8xf32>, tensor<4x8xf32>
  }
  func.return
}
// -----
// EXPECT: the first block arguments must be the operands of graph.softmax, used by it alone
func.func @main(%x: tensor<4x8xf32>) {
  %g = graph.group(%x) {
  ^bb0(%a: tensor<4x8xf32>):
    %r = graph.softmax(%a) : (tensor<4x8xf32>) -> tensor<4x8xf32>
    %s = graph.add(%r, %a) : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    graph.yield %s : tensor<4x8xf32>
  }
  func.return
}
// -----
// EXPECT: the first block arguments must be the operands of graph.softmax
func.func @main(%x: tensor<4x8xf32>) {
  %g = graph.group(%x, %x) {
  ^bb0(%a: tensor<4x8xf32>, %b: tensor<4x8xf32>):
    %r = graph.softmax(%b) : (tensor<4x8xf32>) -> tensor<4x8xf32>
    %s = graph.add(%r, %a) : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    graph.yield %s : tensor<4x8xf32>
  }
  func.return
}
// -----
// EXPECT: kernel operands must broadcast to [1, 8], found [4, 8]
func.func @main(%x: tensor<1x8xf32>, %z: tensor<4x8xf32>) {
  %g = graph.group(%x, %z) {
  ^bb0(%a: tensor<1x8xf32>, %b: tensor<4x8xf32>):
    %r = graph.exp(%a) : (tensor<1x8xf32>) -> tensor<1x8xf32>
    graph.yield %r : tensor<1x8xf32>
  }
  func.return
}
// -----
// EXPECT: the body must be one block, found 0
func.func @main(%x: tensor<4x8xf32>) {
  %g = graph.group(%x) { }
  func.return
}
// -----
// EXPECT: space must be "sram" or absent, found "acc"
func.func @main(%x: tensor<4x8xf32>) {
  %g = graph.group(%x) attributes {space = "acc"} {
  ^bb0(%a: tensor<4x8xf32>):
    %r = graph.exp(%a) : (tensor<4x8xf32>) -> tensor<4x8xf32>
    graph.yield %r : tensor<4x8xf32>
  }
  func.return
}
// -----
// EXPECT: space must be "sram" or absent, found 4 : i64
func.func @main(%x: tensor<4x8xf32>) {
  %g = graph.group(%x) attributes {space = 4} {
  ^bb0(%a: tensor<4x8xf32>):
    %r = graph.exp(%a) : (tensor<4x8xf32>) -> tensor<4x8xf32>
    graph.yield %r : tensor<4x8xf32>
  }
  func.return
}
// -----
// EXPECT: schedule: n is given twice
func.func @main(%x: tensor<4x8xf32>) {
  %g = graph.group(%x) schedule #graph.schedule<order = [n], tiles = {n = 2, n = 1}, buffers = {}> {
  ^bb0(%a: tensor<4x8xf32>):
    %r = graph.exp(%a) : (tensor<4x8xf32>) -> tensor<4x8xf32>
    graph.yield %r : tensor<4x8xf32>
  }
  func.return
}
// -----
// EXPECT: schedule: in0 is given twice
func.func @main(%x: tensor<4x8xf32>) {
  %g = graph.group(%x) schedule #graph.schedule<order = [n], tiles = {n = 2}, buffers = {in0 = 1, in0 = 2}> {
  ^bb0(%a: tensor<4x8xf32>):
    %r = graph.exp(%a) : (tensor<4x8xf32>) -> tensor<4x8xf32>
    graph.yield %r : tensor<4x8xf32>
  }
  func.return
}
