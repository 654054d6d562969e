// EXPECT: fn must be one of sum, max, min, prod
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.reduce %s -> %s fn "mean" axes [0] : memref<4x8xf32, #sram> -> memref<4x8xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: axes must be distinct axes
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.reduce %s -> %s fn "sum" axes [0, 0] : memref<4x8xf32, #sram> -> memref<4x8xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: dst must have shape 1x8
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.reduce %s -> %s fn "sum" axes [0] : memref<4x8xf32, #sram> -> memref<4x8xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: fn must be one of softmax
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.norm %s -> %s fn "layer" : memref<4x8xf32, #sram> -> memref<4x8xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: must be floating point
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.norm %i -> %i fn "softmax" : memref<4x8xi32, #sram> -> memref<4x8xi32, #sram>
  }
  func.return
}
// -----
// EXPECT: axes must be two distinct axes
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.window %s -> %s fn "max" axes [1, 1] sizes [1, 1] strides [1, 1] dilations [1, 1] pads_lo [0, 0] : memref<4x8xf32, #sram> -> memref<4x8xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: sizes must be two positive integers
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.window %s -> %s fn "max" axes [0, 1] sizes [1] strides [1, 1] dilations [1, 1] pads_lo [0, 0] : memref<4x8xf32, #sram> -> memref<4x8xf32, #sram>
  }
  func.return
}
