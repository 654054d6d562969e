// EXPECT: table must be in sram
#dram = #tile.space<dram>
#sram = #tile.space<sram>
func.func @main(%x: memref<2x6x8xf32, #dram>, %l: memref<1x5x1xi32, #sram>, %d: memref<2x5x8xf32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.gather %x[%l] -> %d engine "vx" : memref<2x6x8xf32, #dram>[memref<1x5x1xi32, #sram>] -> memref<2x5x8xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: indices must be in sram
#dram = #tile.space<dram>
#sram = #tile.space<sram>
func.func @main(%x: memref<2x6x8xf32, #dram>, %l: memref<1x5x1xi32, #dram>, %d: memref<2x5x8xf32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.gather %x[%l] -> %d engine "dma0" : memref<2x6x8xf32, #dram>[memref<1x5x1xi32, #dram>] -> memref<2x5x8xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: indices must be integers
#dram = #tile.space<dram>
#sram = #tile.space<sram>
func.func @main(%x: memref<2x6x8xf32, #dram>, %l: memref<1x5x1xf32, #sram>, %d: memref<2x5x8xf32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.gather %x[%l] -> %d engine "dma0" : memref<2x6x8xf32, #dram>[memref<1x5x1xf32, #sram>] -> memref<2x5x8xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: indices must be [b or 1, n, r or 1]
#dram = #tile.space<dram>
#sram = #tile.space<sram>
func.func @main(%x: memref<2x6x8xf32, #dram>, %l: memref<1x4x1xi32, #sram>, %d: memref<2x5x8xf32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.gather %x[%l] -> %d engine "dma0" : memref<2x6x8xf32, #dram>[memref<1x4x1xi32, #sram>] -> memref<2x5x8xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: table must be [b, s, r]
#dram = #tile.space<dram>
#sram = #tile.space<sram>
func.func @main(%x: memref<2x6x8xf32, #dram>, %l: memref<1x5x1xi32, #sram>, %d: memref<2x5x7xf32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.gather %x[%l] -> %d engine "dma0" : memref<2x6x8xf32, #dram>[memref<1x5x1xi32, #sram>] -> memref<2x5x7xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: one element type
#dram = #tile.space<dram>
#sram = #tile.space<sram>
func.func @main(%x: memref<2x6x8xf32, #dram>, %l: memref<1x5x1xi32, #sram>, %d: memref<2x5x8xf16, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.gather %x[%l] -> %d engine "dma0" : memref<2x6x8xf32, #dram>[memref<1x5x1xi32, #sram>] -> memref<2x5x8xf16, #sram>
  }
  func.return
}
// -----
// EXPECT: must have rank 3
#dram = #tile.space<dram>
#sram = #tile.space<sram>
func.func @main(%x: memref<6x8xf32, #dram>, %l: memref<1x5x1xi32, #sram>, %d: memref<2x5x8xf32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.gather %x[%l] -> %d engine "dma0" : memref<6x8xf32, #dram>[memref<1x5x1xi32, #sram>] -> memref<2x5x8xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: is not one of dma0
#dram = #tile.space<dram>
#sram = #tile.space<sram>
func.func @main(%x: memref<2x6x8xf32, #dram>, %l: memref<1x5x1xi32, #sram>, %d: memref<2x5x8xf32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.gather %x[%l] -> %d engine "mx" : memref<2x6x8xf32, #dram>[memref<1x5x1xi32, #sram>] -> memref<2x5x8xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: fn must be one of none, add, mul, min, max
#sram = #tile.space<sram>
func.func @main(%x: memref<2x6x8xf32, #sram>, %l: memref<1x5x1xi32, #sram>, %d: memref<2x5x8xf32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.scatter %d -> %x[%l] fn "sub" engine "vx" : memref<2x5x8xf32, #sram> -> memref<2x6x8xf32, #sram>[memref<1x5x1xi32, #sram>]
  }
  func.return
}
