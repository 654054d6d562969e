// EXPECT: is not an element type of the machine
func.func @main(%x: tensor<1x8x8x4xf32>, %y: tensor<4x6xf32>, %i: tensor<4x6xi32>) {
  %r = graph.constant @a : tensor<3xi5>
  func.return
}
// -----
// EXPECT: tiles of n must be a positive integer
func.func @main(%x: tensor<3xf32>) {
  %g = graph.group(%x) schedule #graph.schedule<order = [n], tiles = {n = 0}, buffers = {}> {
  ^bb0(%a: tensor<3xf32>):
    graph.yield %a : tensor<3xf32>
  }
  func.return
}
// -----
// EXPECT: block arguments must be (tensor<3xf32>), found (tensor<4xf32>)
"func.func"() <{sym_name = "main", function_type = (tensor<3xf32>) -> ()}> ({
^bb0(%x: tensor<3xf32>):
  %g = "graph.group"(%x) ({
  ^bb1(%a: tensor<4xf32>):
    "graph.yield"(%a) : (tensor<4xf32>) -> ()
  }) : (tensor<3xf32>) -> tensor<4xf32>
  "func.return"() : () -> ()
}) : () -> ()
// -----
// EXPECT: results must be (tensor<3xf32>) as yielded, found (tensor<4xf32>)
"func.func"() <{sym_name = "main", function_type = (tensor<3xf32>) -> ()}> ({
^bb0(%x: tensor<3xf32>):
  %g = "graph.group"(%x) ({
  ^bb1(%a: tensor<3xf32>):
    "graph.yield"(%a) : (tensor<3xf32>) -> ()
  }) : (tensor<3xf32>) -> tensor<4xf32>
  "func.return"() : () -> ()
}) : () -> ()
