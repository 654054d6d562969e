// EXPECT: a constant lies in dram
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
%c = tile.constant @c : memref<4xf32, #sram>
// -----
// EXPECT: is not a type of the machine
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
%c = tile.constant @c : memref<4xi7, #dram>
// -----
// EXPECT: needs a memory space
%c = tile.constant @c : memref<4xf32>
// -----
// EXPECT: a buffer is dense row-major
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
%c = tile.alloc "c" : memref<4x8xf32, strided<[16, 1]>, #sram>
// -----
// EXPECT: a buffer needs a static shape
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
%c = tile.alloc "c" : memref<?x8xf32, #sram>
// -----
// EXPECT: use tile.pool
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
%c = tile.alloc "c" : memref<4x8xf32, #acc>
// -----
// EXPECT: stands at function level
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    %c = tile.alloc "c" : memref<4x8xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: groups do not nest
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.group "h" index 1 nodes [] {
    %c = arith.constant 0 : index
    }
  }
  func.return
}
// -----
// EXPECT: is declared directly in a tile.group
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
%p = tile.pool "p" in <sram> depth 1 slot_bytes 64
// -----
// EXPECT: pools stand first
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    %c = arith.constant 0 : index
    %p = tile.pool "p" in <sram> depth 1 slot_bytes 64
  }
  func.return
}
// -----
// EXPECT: a pool lies in sram or acc
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    %p = tile.pool "p" in <dram> depth 1 slot_bytes 64
  }
  func.return
}
// -----
// EXPECT: must be at least 1
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    %p = tile.pool "p" in <sram> depth 0 slot_bytes 64
  }
  func.return
}
// -----
// EXPECT: do not fit a slot of 64 bytes
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    %p = tile.pool "p" in <sram> depth 1 slot_bytes 64
    %q = tile.acquire %p : memref<17xf32, #sram>
  }
  func.return
}
// -----
// EXPECT: the pool lies in sram
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    %p = tile.pool "p" in <sram> depth 1 slot_bytes 64
    %q = tile.acquire %p : memref<16xf32, #acc>
  }
  func.return
}
