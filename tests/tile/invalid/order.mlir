// EXPECT: must have shape 8
#dram = #tile.space<dram>
#sram = #tile.space<sram>
func.func @main(%d: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %i: memref<4x5xi64, #sram>, %w: memref<8xi64, #sram>, %k: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.sort %s -> %i work %i axis 1 descending false : memref<4x8xf32, #sram> -> memref<4x5xi64, #sram>, memref<4x5xi64, #sram>
  }
  func.return
}
// -----
// EXPECT: dst must be i32 or i64
#dram = #tile.space<dram>
#sram = #tile.space<sram>
func.func @main(%d: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %i: memref<4x5xi64, #sram>, %w: memref<8xi64, #sram>, %k: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.sort %s -> %s work %w axis 1 descending false : memref<4x8xf32, #sram> -> memref<4x8xf32, #sram>, memref<8xi64, #sram>
  }
  func.return
}
// -----
// EXPECT: source must be in sram
#dram = #tile.space<dram>
#sram = #tile.space<sram>
func.func @main(%d: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %i: memref<4x5xi64, #sram>, %w: memref<8xi64, #sram>, %k: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.sort %d -> %i work %w axis 1 descending false : memref<4x8xf32, #dram> -> memref<4x5xi64, #sram>, memref<8xi64, #sram>
  }
  func.return
}
// -----
// EXPECT: fn must be one of
#dram = #tile.space<dram>
#sram = #tile.space<sram>
func.func @main(%d: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %i: memref<4x5xi64, #sram>, %w: memref<8xi64, #sram>, %k: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.scan %s -> %s axis 1 fn "mean" exclusive false reverse false : memref<4x8xf32, #sram> -> memref<4x8xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: floats run into floats
#dram = #tile.space<dram>
#sram = #tile.space<sram>
func.func @main(%d: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %i: memref<4x5xi64, #sram>, %w: memref<8xi64, #sram>, %k: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.scan %s -> %k axis 1 fn "sum" exclusive false reverse false : memref<4x8xf32, #sram> -> memref<4x8xi32, #sram>
  }
  func.return
}
// -----
// EXPECT: with at most as many elements
#dram = #tile.space<dram>
#sram = #tile.space<sram>
func.func @main(%d: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %i: memref<4x5xi64, #sram>, %w: memref<8xi64, #sram>, %k: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.compress %i -> %s padding 0 : memref<4x5xi64, #sram> -> memref<4x8xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: values must have shape 4x5
#dram = #tile.space<dram>
#sram = #tile.space<sram>
func.func @main(%d: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %i: memref<4x5xi64, #sram>, %w: memref<8xi64, #sram>, %k: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.compress %i values %s : memref<4x8xf32, #sram> -> %i padding 0 : memref<4x5xi64, #sram> -> memref<4x5xi64, #sram>
  }
  func.return
}
// -----
// EXPECT: axis must be one of
#dram = #tile.space<dram>
#sram = #tile.space<sram>
func.func @main(%d: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %i: memref<4x5xi64, #sram>, %w: memref<8xi64, #sram>, %k: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.scan %s -> %s axis 2 fn "sum" exclusive false reverse false : memref<4x8xf32, #sram> -> memref<4x8xf32, #sram>
  }
  func.return
}
