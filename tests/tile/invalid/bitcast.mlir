// EXPECT: elements must keep their width, found 4 and 2 bytes
#dram = #tile.space<dram>
func.func @main(%x: memref<4x8xf32, #dram>) {
  %y = tile.bitcast %x : memref<4x8xf32, #dram> to memref<4x8xf16, #dram>
  func.return
}
// -----
// EXPECT: shape, layout and space stay
#dram = #tile.space<dram>
func.func @main(%x: memref<4x8xf32, #dram>) {
  %y = tile.bitcast %x : memref<4x8xf32, #dram> to memref<8x4xi32, #dram>
  func.return
}
