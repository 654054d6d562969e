// PASSES: graph-simplify
// What is the same in every step stands before the loop, constants at the top. A value that each step gives on as it is
// is not carried; the scanned and stacked values that nobody reads are gone, and what was computed for them.
// CHECK: func.func @main
// CHECK-NEXT: [[W:%.*]] = graph.constant @w
// CHECK-NEXT: [[K:%.*]] = graph.matmul(%{{.*}}, [[W]])
// CHECK-NEXT: [[H:%.*]] = graph.loop <steps = 5, reversed_scanned = [0]> carry(%{{.*}}) scan(%{{.*}}) {
// CHECK-NEXT: ^bb0([[HT:%.*]]: tensor<1x3xf32>, [[XT:%.*]]: tensor<1x3xf32>):
// CHECK-NEXT: [[P:%.*]] = graph.matmul([[HT]], [[W]])
// CHECK-NEXT: [[A:%.*]] = graph.add([[P]], [[XT]])
// CHECK-NEXT: [[N:%.*]] = graph.add([[A]], [[K]])
// CHECK-NEXT: graph.yield [[N]] : tensor<1x3xf32>
// CHECK-NEXT: }
// CHECK-NEXT: func.return [[H]]
func.func @main(%x: tensor<5x1x3xf32>, %h0: tensor<1x3xf32>) -> tensor<1x3xf32> {
  %h, %k, %d, %y, %z = graph.loop <steps = 5, reversed_scanned = [1], reversed_stacked = [0]> carry(%h0, %h0, %h0) scan(%x, %x) {
  ^bb0(%h_t: tensor<1x3xf32>, %k_t: tensor<1x3xf32>, %d_t: tensor<1x3xf32>, %u_t: tensor<1x3xf32>, %x_t: tensor<1x3xf32>):
    %w = graph.constant @w : tensor<3x3xf32>
    %p = graph.matmul(%h_t, %w) : (tensor<1x3xf32>, tensor<3x3xf32>) -> tensor<1x3xf32>
    %same = graph.matmul(%k_t, %w) : (tensor<1x3xf32>, tensor<3x3xf32>) -> tensor<1x3xf32>
    %a = graph.add(%p, %x_t) : (tensor<1x3xf32>, tensor<1x3xf32>) -> tensor<1x3xf32>
    %n = graph.add(%a, %same) : (tensor<1x3xf32>, tensor<1x3xf32>) -> tensor<1x3xf32>
    %dead = graph.add(%d_t, %n) : (tensor<1x3xf32>, tensor<1x3xf32>) -> tensor<1x3xf32>
    graph.yield %n, %k_t, %dead, %n, %u_t : tensor<1x3xf32>, tensor<1x3xf32>, tensor<1x3xf32>, tensor<1x3xf32>, tensor<1x3xf32>
  }
  func.return %h : tensor<1x3xf32>
}
// -----
// Work of a branch stays in it: only what is needed runs. Equal ops within and around it are one, dead results go.
// CHECK: [[T:%.*]] = graph.tanh
// CHECK: [[Z:%.*]] = graph.if %{{.*}} {
// CHECK-NEXT: [[E:%.*]] = graph.exp([[T]])
// CHECK-NEXT: graph.yield [[E]] : tensor<3xf32>
// CHECK-NEXT: } else {
// CHECK-NEXT: graph.yield [[T]] : tensor<3xf32>
// CHECK-NEXT: }
// CHECK-NEXT: graph.add([[Z]], [[T]])
func.func @main(%c: tensor<i1>, %x: tensor<3xf32>) -> tensor<3xf32> {
  %t = graph.tanh(%x) : (tensor<3xf32>) -> tensor<3xf32>
  %z, %unused = graph.if %c {
    %again = graph.tanh(%x) : (tensor<3xf32>) -> tensor<3xf32>
    %e = graph.exp(%again) : (tensor<3xf32>) -> tensor<3xf32>
    graph.yield %e, %x : tensor<3xf32>, tensor<3xf32>
  } else {
    graph.yield %t, %t : tensor<3xf32>, tensor<3xf32>
  }
  %s = graph.add(%z, %t) : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
  func.return %s : tensor<3xf32>
}
// -----
// Constants are folded in a body, too.
// CHECK: [[S:%.*]] = graph.constant @a.add : tensor<3xf32>
// CHECK-NEXT: graph.loop
// CHECK: graph.mul(%{{.*}}, [[S]])
func.func @main(%x: tensor<3xf32>) -> tensor<3xf32> {
  %r = graph.loop <steps = 2> carry(%x) {
  ^bb0(%v: tensor<3xf32>):
    %a = graph.constant @a : tensor<3xf32>
    %two = graph.add(%a, %a) : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
    %m = graph.mul(%v, %two) : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
    graph.yield %m : tensor<3xf32>
  }
  func.return %r : tensor<3xf32>
}
