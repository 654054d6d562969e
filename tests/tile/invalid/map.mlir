// EXPECT: input 0 must be in acc
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.map ins(%s : memref<4x8xf32, #sram>) outs(%s : memref<4x8xf32, #sram>) maps [affine_map<(d0, d1) -> (d0, d1)>] engine "out" {
    ^bb0(%e: f32):
    tile.yield %e : f32
    }
  }
  func.return
}
// -----
// EXPECT: input 0 must be in sram
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.map ins(%x : memref<4x8xf32, #dram>) outs(%s : memref<4x8xf32, #sram>) maps [affine_map<(d0, d1) -> (d0, d1)>] engine "vx" {
    ^bb0(%e: f32):
    tile.yield %e : f32
    }
  }
  func.return
}
// -----
// EXPECT: the first input is an accumulator
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.map outs(%s : memref<4x8xf32, #sram>) maps [] engine "out" {
    %e = arith.constant 0.0 : f32
    tile.yield %e : f32
    }
  }
  func.return
}
// -----
// EXPECT: need as many maps
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.map ins(%s : memref<4x8xf32, #sram>) outs(%s : memref<4x8xf32, #sram>) maps [] engine "vx" {
    ^bb0(%e: f32):
    tile.yield %e : f32
    }
  }
  func.return
}
// -----
// EXPECT: need as many block arguments
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.map ins(%s : memref<4x8xf32, #sram>) outs(%s : memref<4x8xf32, #sram>) maps [affine_map<(d0, d1) -> (d0, d1)>] engine "vx" {
    %e = arith.constant 0.0 : f32
    tile.yield %e : f32
    }
  }
  func.return
}
// -----
// EXPECT: at most 4 inputs
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.map ins(%s, %s, %s, %s, %s : memref<4x8xf32, #sram>, memref<4x8xf32, #sram>, memref<4x8xf32, #sram>, memref<4x8xf32, #sram>, memref<4x8xf32, #sram>) outs(%s : memref<4x8xf32, #sram>) maps [affine_map<(d0, d1) -> (d0, d1)>] engine "vx" {
    ^bb0(%e: f32):
    tile.yield %e : f32
    }
  }
  func.return
}
// -----
// EXPECT: a kernel computes in f32, f64, i32, i64, i1
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.map ins(%s : memref<4x8xf32, #sram>) outs(%s : memref<4x8xf32, #sram>) maps [affine_map<(d0, d1) -> (d0, d1)>] engine "vx" {
    ^bb0(%e: f16):
    tile.yield %e : f16
    }
  }
  func.return
}
// -----
// EXPECT: is not a terminator
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.map ins(%s : memref<4x8xf32, #sram>) outs(%s : memref<4x8xf32, #sram>) maps [affine_map<(d0, d1) -> (d0, d1)>] engine "vx" {
    ^bb0(%e: f32):
    %f = arith.addf %e, %e : f32
    }
  }
  func.return
}
// -----
// EXPECT: a kernel holds arith and math operations
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.map ins(%s : memref<4x8xf32, #sram>) outs(%s : memref<4x8xf32, #sram>) maps [affine_map<(d0, d1) -> (d0, d1)>] engine "vx" {
    ^bb0(%e: f32):
    %v = "memref.cast"(%s) : (memref<4x8xf32, #sram>) -> memref<4x8xf32, #sram>
    tile.yield %e : f32
    }
  }
  func.return
}
// -----
// EXPECT: uses a value from outside
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    %k = arith.constant 1.0 : f32
    tile.map ins(%s : memref<4x8xf32, #sram>) outs(%s : memref<4x8xf32, #sram>) maps [affine_map<(d0, d1) -> (d0, d1)>] engine "vx" {
    ^bb0(%e: f32):
    %f = arith.addf %e, %k : f32
    tile.yield %f : f32
    }
  }
  func.return
}
// -----
// EXPECT: input 0: dim d0 has extent 4, found 8
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.map ins(%b : memref<8x4xf32, #sram>) outs(%s : memref<4x8xf32, #sram>) maps [affine_map<(d0, d1) -> (d0, d1)>] engine "vx" {
    ^bb0(%e: f32):
    tile.yield %e : f32
    }
  }
  func.return
}
// -----
// EXPECT: or 0 on an axis of extent 1
#dram = #tile.space<dram>
#sram = #tile.space<sram>
#acc = #tile.space<acc>
func.func @main(%x: memref<4x8xf32, #dram>, %s: memref<4x8xf32, #sram>, %b: memref<8x4xf32, #sram>, %a: memref<4x4xf32, #acc>, %i: memref<4x8xi32, #sram>) {
  tile.group "g" index 0 nodes [] {
    tile.map ins(%s : memref<4x8xf32, #sram>) outs(%s : memref<4x8xf32, #sram>) maps [affine_map<(d0, d1) -> (d0, 0)>] engine "vx" {
    ^bb0(%e: f32):
    tile.yield %e : f32
    }
  }
  func.return
}
