// PASSES: graph-fuse,graph-insert-copies
// A carried value has one buffer. Its initial value comes from outside and is copied in; the group that makes the next
// one may write there, since nothing behind it reads the old one and it reads element by element. What is stacked is
// a copy, as the value has its memory already.
// CHECK: [[I:%.*]] = graph.group(%{{.*}}) {
// CHECK: graph.slice
// CHECK: graph.loop <steps = 4> carry([[I]]) scan(%{{.*}}) {
// CHECK-NEXT: ^bb0([[H:%.*]]: tensor<2x3xf32>, [[X:%.*]]: tensor<2x3xf32>):
// CHECK-NEXT: [[N:%.*]] = graph.group([[H]], [[X]]) {
// CHECK: graph.add
// CHECK: graph.tanh
// CHECK: [[R:%.*]] = graph.group([[N]]) {
// CHECK: graph.slice
// CHECK: graph.yield [[N]], [[R]]
func.func @main(%x: tensor<4x2x3xf32>, %h0: tensor<2x3xf32>) -> (tensor<2x3xf32>, tensor<4x2x3xf32>) {
  %h, %y = graph.loop <steps = 4> carry(%h0) scan(%x) {
  ^bb0(%h_t: tensor<2x3xf32>, %x_t: tensor<2x3xf32>):
    %a = graph.add(%h_t, %x_t) : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
    %t = graph.tanh(%a) : (tensor<2x3xf32>) -> tensor<2x3xf32>
    graph.yield %t, %t : tensor<2x3xf32>, tensor<2x3xf32>
  }
  func.return %h, %y : tensor<2x3xf32>, tensor<4x2x3xf32>
}
// -----
// A product reads rows while others are written: the next value is made elsewhere and copied.
// CHECK: graph.loop <steps = 4>
// CHECK: [[N:%.*]] = graph.group(%{{.*}}, %{{.*}}) {
// CHECK: graph.matmul
// CHECK: [[C:%.*]] = graph.group([[N]]) {
// CHECK: graph.yield [[C]] : tensor<3x3xf32>
func.func @main(%h0: tensor<3x3xf32>) -> tensor<3x3xf32> {
  %w = graph.constant @w : tensor<3x3xf32>
  %h = graph.loop <steps = 4> carry(%h0) {
  ^bb0(%h_t: tensor<3x3xf32>):
    %p = graph.matmul(%h_t, %w) : (tensor<3x3xf32>, tensor<3x3xf32>) -> tensor<3x3xf32>
    graph.yield %p : tensor<3x3xf32>
  }
  func.return %h : tensor<3x3xf32>
}
// -----
// Values that change places are saved before one of them is written.
// CHECK: ^bb0([[A:%.*]]: tensor<3xf32>, [[B:%.*]]: tensor<3xf32>):
// CHECK: [[SB:%.*]] = graph.group([[B]]) {
// CHECK: [[SA:%.*]] = graph.group([[A]]) {
// CHECK-NOT: graph.group([[A]])
// CHECK-NOT: graph.group([[B]])
// CHECK: graph.yield
func.func @main(%x: tensor<3xf32>, %y: tensor<3xf32>) -> tensor<3xf32> {
  %p, %q = graph.loop <steps = 3> carry(%x, %y) {
  ^bb0(%a: tensor<3xf32>, %b: tensor<3xf32>):
    graph.yield %b, %a : tensor<3xf32>, tensor<3xf32>
  }
  func.return %p : tensor<3xf32>
}
