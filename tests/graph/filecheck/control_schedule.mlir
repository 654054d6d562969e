// PASSES: graph-fuse,graph-insert-copies,graph-schedule
// Weights that every step reads are copied into SRAM before the loop, and the state stays there.
// CHECK: [[W:%.*]] = graph.constant @w
// CHECK: [[R:%.*]] = graph.group([[W]]) schedule {{.*}}space = "sram"
// CHECK: graph.loop <steps = 64> carry(%{{.*}}) attributes {space = ["sram"]} {
// CHECK-NEXT: ^bb0([[H:%.*]]: tensor<1x128xf32>):
// CHECK-NEXT: graph.group([[H]], [[R]]) schedule
func.func @main(%h0: tensor<1x128xf32>) -> tensor<1x128xf32> {
  %w = graph.constant @w : tensor<128x128xf32>
  %h = graph.loop <steps = 64> carry(%h0) {
  ^bb0(%h_t: tensor<1x128xf32>):
    %p = graph.matmul(%h_t, %w) : (tensor<1x128xf32>, tensor<128x128xf32>) -> tensor<1x128xf32>
    %t = graph.tanh(%p) : (tensor<1x128xf32>) -> tensor<1x128xf32>
    graph.yield %t : tensor<1x128xf32>
  }
  func.return %h : tensor<1x128xf32>
}
// -----
// Rows that a loop reads come into SRAM all at once before it, and what it stacks leaves after it.
// CHECK: [[X:%.*]] = graph.group(%{{.*}}) schedule {{.*}}space = "sram"
// CHECK: %{{.*}}, [[Y:%.*]] = graph.loop <steps = 32> carry(%{{.*}}) scan([[X]]) attributes {space = ["sram", "sram"]} {
// CHECK: }
// CHECK: [[R:%.*]] = graph.group([[Y]]) schedule
// CHECK: func.return [[R]]
func.func @main(%x: tensor<32x8xf32>, %s0: tensor<8xf32>) -> tensor<32x8xf32> {
  %s, %y = graph.loop <steps = 32> carry(%s0) scan(%x) {
  ^bb0(%s_t: tensor<8xf32>, %x_t: tensor<8xf32>):
    %n = graph.add(%s_t, %x_t) : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
    graph.yield %n, %n : tensor<8xf32>, tensor<8xf32>
  }
  func.return %y : tensor<32x8xf32>
}
// -----
// What is too large stays where it is, without a copy.
// CHECK: graph.constant @w
// CHECK-NOT: tensor<1024x1024xf32>) schedule
// CHECK: graph.loop <steps = 4>
// CHECK: graph.matmul
func.func @main(%h0: tensor<1x1024xf32>) -> tensor<1x1024xf32> {
  %w = graph.constant @w : tensor<1024x1024xf32>
  %h = graph.loop <steps = 4> carry(%h0) {
  ^bb0(%h_t: tensor<1x1024xf32>):
    %p = graph.matmul(%h_t, %w) : (tensor<1x1024xf32>, tensor<1024x1024xf32>) -> tensor<1x1024xf32>
    %t = graph.tanh(%p) : (tensor<1x1024xf32>) -> tensor<1x1024xf32>
    graph.yield %t : tensor<1x1024xf32>
  }
  func.return %h : tensor<1x1024xf32>
}
