// EXPECT: must be two integers of at least 1
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  %cx = tile.alloc "cx" : memref<1x6x6x8xf32, #sram>
  %cw = tile.alloc "cw" : memref<3x3x8x4xf32, #sram>
  %dw = tile.alloc "dw" : memref<3x3x8xf32, #sram>
  tile.group "g" index 0 nodes [] {
    %p = tile.pool "p" in <acc> depth 1 slot_bytes 4096
    %q = tile.acquire %p : memref<1x6x6x4xf32, #acc>
    tile.conv %cx, %cw -> %q strides [0, 1] dilations [1, 1] pads_lo [0, 0] groups 1 : memref<1x6x6x8xf32, #sram>, memref<3x3x8x4xf32, #sram> -> memref<1x6x6x4xf32, #acc>
  }
  func.return
}
// -----
// EXPECT: 3 groups do not divide 8
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  %cx = tile.alloc "cx" : memref<1x6x6x8xf32, #sram>
  %cw = tile.alloc "cw" : memref<3x3x8x4xf32, #sram>
  %dw = tile.alloc "dw" : memref<3x3x8xf32, #sram>
  tile.group "g" index 0 nodes [] {
    %p = tile.pool "p" in <acc> depth 1 slot_bytes 4096
    %q = tile.acquire %p : memref<1x6x6x4xf32, #acc>
    tile.conv %cx, %cw -> %q strides [1, 1] dilations [1, 1] pads_lo [0, 0] groups 3 : memref<1x6x6x8xf32, #sram>, memref<3x3x8x4xf32, #sram> -> memref<1x6x6x4xf32, #acc>
  }
  func.return
}
// -----
// EXPECT: w must have shape 3x3x4x4
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  %cx = tile.alloc "cx" : memref<1x6x6x8xf32, #sram>
  %cw = tile.alloc "cw" : memref<3x3x8x4xf32, #sram>
  %dw = tile.alloc "dw" : memref<3x3x8xf32, #sram>
  tile.group "g" index 0 nodes [] {
    %p = tile.pool "p" in <acc> depth 1 slot_bytes 4096
    %q = tile.acquire %p : memref<1x6x6x4xf32, #acc>
    tile.conv %cx, %cw -> %q strides [1, 1] dilations [1, 1] pads_lo [0, 0] groups 2 : memref<1x6x6x8xf32, #sram>, memref<3x3x8x4xf32, #sram> -> memref<1x6x6x4xf32, #acc>
  }
  func.return
}
// -----
// EXPECT: dst must have shape 1x6x6x4
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  %cx = tile.alloc "cx" : memref<1x6x6x8xf32, #sram>
  %cw = tile.alloc "cw" : memref<3x3x8x4xf32, #sram>
  %dw = tile.alloc "dw" : memref<3x3x8xf32, #sram>
  tile.group "g" index 0 nodes [] {
    %p = tile.pool "p" in <acc> depth 1 slot_bytes 4096
    %q = tile.acquire %p : memref<1x6x6x8xf32, #acc>
    tile.conv %cx, %cw -> %q strides [1, 1] dilations [1, 1] pads_lo [0, 0] groups 1 : memref<1x6x6x8xf32, #sram>, memref<3x3x8x4xf32, #sram> -> memref<1x6x6x8xf32, #acc>
  }
  func.return
}
// -----
// EXPECT: dst must be in sram
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  %cx = tile.alloc "cx" : memref<1x6x6x8xf32, #sram>
  %cw = tile.alloc "cw" : memref<3x3x8x4xf32, #sram>
  %dw = tile.alloc "dw" : memref<3x3x8xf32, #sram>
  tile.group "g" index 0 nodes [] {
    %p = tile.pool "p" in <acc> depth 1 slot_bytes 4096
    %q = tile.acquire %p : memref<1x6x6x8xf32, #acc>
    tile.dwconv %cx, %dw -> %q engine "vx" strides [1, 1] dilations [1, 1] pads_lo [0, 0] : memref<1x6x6x8xf32, #sram>, memref<3x3x8xf32, #sram> -> memref<1x6x6x8xf32, #acc>
  }
  func.return
}
// -----
// EXPECT: w must have rank 3
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  %cx = tile.alloc "cx" : memref<1x6x6x8xf32, #sram>
  %cw = tile.alloc "cw" : memref<3x3x8x4xf32, #sram>
  %dw = tile.alloc "dw" : memref<3x3x8xf32, #sram>
  tile.group "g" index 0 nodes [] {
    %p = tile.pool "p" in <acc> depth 1 slot_bytes 4096
    %q = tile.acquire %p : memref<1x6x6x8xf32, #acc>
    tile.dwconv %cx, %cw -> %q engine "mx" strides [1, 1] dilations [1, 1] pads_lo [0, 0] : memref<1x6x6x8xf32, #sram>, memref<3x3x8x4xf32, #sram> -> memref<1x6x6x8xf32, #acc>
  }
  func.return
}
