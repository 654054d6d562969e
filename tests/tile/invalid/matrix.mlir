// EXPECT: dst must be in acc
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.gemm %s, %b -> %s : memref<4x8xf32, #sram>, memref<8x4xf32, #sram> -> memref<4x8xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: a must be in sram
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.gemm %x, %b -> %a : memref<4x8xf32, #dram>, memref<8x4xf32, #sram> -> memref<4x4xf32, #acc>
  }
  func.return
}
// -----
// EXPECT: b: dim d2 has extent 8, found 4
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.gemm %s, %s -> %a : memref<4x8xf32, #sram>, memref<4x8xf32, #sram> -> memref<4x4xf32, #acc>
  }
  func.return
}
// -----
// EXPECT: mix floating point and integer
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.gemm %i, %b -> %a : memref<4x8xi32, #sram>, memref<8x4xf32, #sram> -> memref<4x4xf32, #acc>
  }
  func.return
}
// -----
// EXPECT: must have 3 dims
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.gemm %s, %b -> %a a_map affine_map<(d0, d1) -> (d0, d1)> : memref<4x8xf32, #sram>, memref<8x4xf32, #sram> -> memref<4x4xf32, #acc>
  }
  func.return
}
// -----
// EXPECT: may use each legal dim once
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.gemm %s, %b -> %a a_map affine_map<(d0, d1, d2) -> (d1, d2)> : memref<4x8xf32, #sram>, memref<8x4xf32, #sram> -> memref<4x4xf32, #acc>
  }
  func.return
}
// -----
// EXPECT: accumulate in f32 or f64
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    %p = tile.pool "p" in <acc> depth 1 slot_bytes 64
    %q = tile.acquire %p : memref<4x4xf16, #acc>
    tile.gemm %s, %b -> %q : memref<4x8xf32, #sram>, memref<8x4xf32, #sram> -> memref<4x4xf16, #acc>
  }
  func.return
}
