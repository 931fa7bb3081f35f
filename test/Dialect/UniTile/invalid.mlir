// RUN: unisparse-opt %s -split-input-file -verify-diagnostics

// expected-error@+1 {{expected rows of a shared tile to be a positive multiple of 8, got 12}}
func.func @shared_rows(%t: !unitile.shared<12x64xbf16>) { return }

// -----

// expected-error@+1 {{expected columns of a shared tile to be a positive multiple of 16, got 24}}
func.func @shared_columns(%t: !unitile.shared<64x24xbf16>) { return }

// -----

// expected-error@+1 {{expected f32, f16 or bf16 elements in a shared tile, got 'f64'}}
func.func @shared_element(%t: !unitile.shared<64x64xf64>) { return }

// -----

// expected-error@+1 {{expected at least one stage, got 0}}
func.func @shared_stages(%t: !unitile.shared<64x64xbf16, 0>) { return }

// -----

// expected-error@+1 {{expected rows of a fragment to be a positive multiple of 16, got 8}}
func.func @fragment_rows(%t: !unitile.fragment<8x64xf32>) { return }

// -----

// expected-error@+1 {{expected 1 sizes, got 2}}
func.func @rows_rank(%t: !unitile.rows<64x2xf32>) { return }

// -----

func.func @alloc_offset() {
  // expected-error@+1 {{expected an offset that is a multiple of 1024, got 100}}
  %0 = unitile.alloc offset 100 : !unitile.shared<64x64xbf16>
  return
}

// -----

func.func @fill_type(%x: f32) {
  // expected-error@+1 {{expected a value of type 'bf16', got 'f32'}}
  %0 = unitile.fill %x : f32 -> !unitile.fragment<64x64xbf16>
  return
}

// -----

func.func @load_u1(%t: !unitile.shared<64x64xbf16>, %s: i32) {
  // expected-error@+1 {{[U1] expected '!unitile.fragment<64x64xbf16>', got '!unitile.fragment<64x32xbf16>'}}
  %0 = unitile.load %t[%s] : !unitile.shared<64x64xbf16> -> !unitile.fragment<64x32xbf16>
  return
}

// -----

func.func @mma_u2_element(%a: !unitile.fragment<64x64xf16>, %b: !unitile.shared<128x64xbf16>, %c: !unitile.fragment<64x128xf32>, %s: i32) {
  // expected-error@+1 {{[U2] expected a with b's element type 'bf16', got 'f16'}}
  %0 = unitile.mma %a, %b[%s], %c : !unitile.fragment<64x64xf16>, !unitile.shared<128x64xbf16>, !unitile.fragment<64x128xf32>
  return
}

// -----

func.func @mma_u2_f32(%a: !unitile.fragment<64x64xf32>, %b: !unitile.shared<128x64xbf16>, %c: !unitile.fragment<64x128xf32>, %s: i32) {
  // expected-error@+1 {{[U2] expected a with b's element type 'bf16', got 'f32'}}
  %0 = unitile.mma %a, %b[%s], %c : !unitile.fragment<64x64xf32>, !unitile.shared<128x64xbf16>, !unitile.fragment<64x128xf32>
  return
}

// -----

func.func @mma_u2_accumulator(%a: !unitile.fragment<64x64xbf16>, %b: !unitile.shared<128x64xbf16>, %c: !unitile.fragment<64x128xbf16>, %s: i32) {
  // expected-error@+1 {{[U2] expected an f32 accumulator, got 'bf16'}}
  %0 = unitile.mma %a, %b[%s], %c : !unitile.fragment<64x64xbf16>, !unitile.shared<128x64xbf16>, !unitile.fragment<64x128xbf16>
  return
}

// -----

func.func @mma_u3(%a: !unitile.fragment<64x64xbf16>, %b: !unitile.shared<128x64xbf16>, %c: !unitile.fragment<128x128xf32>, %s: i32) {
  // expected-error@+1 {{[U3] expected a with the accumulator's 128 rows, got 64}}
  %0 = unitile.mma %a, %b[%s], %c : !unitile.fragment<64x64xbf16>, !unitile.shared<128x64xbf16>, !unitile.fragment<128x128xf32>
  return
}

// -----

func.func @mma_u4_summed(%a: !unitile.fragment<64x32xbf16>, %b: !unitile.shared<128x64xbf16>, %c: !unitile.fragment<64x128xf32>, %s: i32) {
  // expected-error@+1 {{[U4] expected a with 64 columns to go with b, got 32}}
  %0 = unitile.mma %a, %b[%s], %c : !unitile.fragment<64x32xbf16>, !unitile.shared<128x64xbf16>, !unitile.fragment<64x128xf32>
  return
}

// -----

func.func @mma_u4_kept(%a: !unitile.fragment<64x128xbf16>, %b: !unitile.shared<128x64xbf16>, %c: !unitile.fragment<64x128xf32>, %s: i32) {
  // expected-error@+1 {{[U4] expected an accumulator with 64 columns to go with b, got 128}}
  %0 = unitile.mma %a, %b[%s], %c by_rows : !unitile.fragment<64x128xbf16>, !unitile.shared<128x64xbf16>, !unitile.fragment<64x128xf32>
  return
}

// -----

func.func @mma_u4_rows(%a: !unitile.fragment<64x24xbf16>, %b: !unitile.shared<24x64xbf16>, %c: !unitile.fragment<64x64xf32>, %s: i32) {
  // expected-error@+1 {{[U4] expected a multiple of 16 rows of 'bf16' in b, got 24}}
  %0 = unitile.mma %a, %b[%s], %c by_rows : !unitile.fragment<64x24xbf16>, !unitile.shared<24x64xbf16>, !unitile.fragment<64x64xf32>
  return
}

// -----

func.func @map_u5_rows(%x: !unitile.fragment<64x64xf32>, %m: !unitile.rows<128xf32>) {
  // expected-error@+1 {{[U5] expected inputs with the result's 64 rows, got '!unitile.rows<128xf32>'}}
  %0 = unitile.map ins(%x, %m : !unitile.fragment<64x64xf32>, !unitile.rows<128xf32>) -> !unitile.fragment<64x64xf32> {
  ^bb0(%a: f32, %b: f32):
    unitile.yield %a : f32
  }
  return
}

// -----

func.func @map_u5_columns(%x: !unitile.fragment<64x64xf32>) {
  // expected-error@+1 {{[U5] expected fragments with the result's columns, got '!unitile.fragment<64x64xf32>' beside '!unitile.rows<64xf32>'}}
  %0 = unitile.map ins(%x : !unitile.fragment<64x64xf32>) -> !unitile.rows<64xf32> {
  ^bb0(%a: f32):
    unitile.yield %a : f32
  }
  return
}

// -----

func.func @map_u6_arguments(%x: !unitile.fragment<64x64xf32>) {
  // expected-error@+1 {{[U6] expected a body that takes ('i32', 'i32', 'f32'), got ('f32')}}
  %0 = unitile.map indices ins(%x : !unitile.fragment<64x64xf32>) -> !unitile.fragment<64x64xf32> {
  ^bb0(%a: f32):
    unitile.yield %a : f32
  }
  return
}

// -----

func.func @map_u6_yield(%x: !unitile.fragment<64x64xf32>) {
  // expected-error@+1 {{[U6] expected a body that yields 'bf16'}}
  %0 = unitile.map ins(%x : !unitile.fragment<64x64xf32>) -> !unitile.fragment<64x64xbf16> {
  ^bb0(%a: f32):
    unitile.yield %a : f32
  }
  return
}

// -----

func.func @map_u6_effects(%x: !unitile.fragment<64x64xf32>, %p: !llvm.ptr) {
  %0 = unitile.map ins(%x : !unitile.fragment<64x64xf32>) -> !unitile.fragment<64x64xf32> {
  ^bb0(%a: f32):
    // expected-error@+1 {{[U6] expected only ops without effects in unitile.map}}
    llvm.store %a, %p : f32, !llvm.ptr
    unitile.yield %a : f32
  }
  return
}

// -----

func.func @reduce_u5(%x: !unitile.fragment<64x64xf32>, %m: !unitile.rows<128xf32>) {
  // expected-error@+1 {{[U5] expected init with the fragment's 64 rows, got 128}}
  %0 = unitile.reduce add %x, %m : !unitile.fragment<64x64xf32>, !unitile.rows<128xf32>
  return
}
