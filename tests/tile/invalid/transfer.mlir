// EXPECT: must have shape 4x8
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.copy %x -> %b engine "dma0" : memref<4x8xf32, #dram> -> memref<8x4xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: must be in dram or sram
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.copy %a -> %a engine "dma0" : memref<4x4xf32, #acc> -> memref<4x4xf32, #acc>
  }
  func.return
}
// -----
// EXPECT: is not one of dma0, dma1, dma2, dma3
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.copy %x -> %s engine "mx" : memref<4x8xf32, #dram> -> memref<4x8xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: must be in dram or sram
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.fill %a value 0 : i64 engine "dma0" : memref<4x4xf32, #acc>
  }
  func.return
}
// -----
// EXPECT: holds 2 waits and 2 posts
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.copy %x -> %s engine "dma0" waits ["a", "b", "c"] : memref<4x8xf32, #dram> -> memref<4x8xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: count must be 1 to 255
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.sync engine "mx" count 0 waits ["a"]
  }
  func.return
}
// -----
// EXPECT: is not one of dma0
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.sync engine "gpu" count 1 waits ["a"]
  }
  func.return
}
