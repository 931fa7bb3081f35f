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
  // expected-error@+1 {{[U1] expected a fragment with the tile's 64 columns, got '!unitile.fragment<64x32xbf16>'}}
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
    // expected-error@+1 {{[U6] expected only ops that write nothing in unitile.map}}
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

// -----

// expected-error@+1 {{expected at least one barrier, got 0}}
func.func @barriers_count(%b: !unitile.barriers<0>) { return }

// -----

func.func @write_u1(%x: !unitile.fragment<128x64xbf16>, %t: !unitile.shared<64x128xbf16>, %i: i32) {
  // expected-error@+1 {{[U1] expected a fragment with the tile's 64 rows, got '!unitile.fragment<128x64xbf16>'}}
  unitile.write %x to %t[%i] : !unitile.fragment<128x64xbf16>, !unitile.shared<64x128xbf16>
  return
}

// -----

func.func @write_u1_columns(%x: !unitile.fragment<128x128xbf16>, %t: !unitile.shared<128x64xbf16>, %i: i32) {
  // expected-error@+1 {{[U1] expected at most 64 columns, got 128}}
  unitile.write %x to %t[%i] : !unitile.fragment<128x128xbf16>, !unitile.shared<128x64xbf16>
  return
}

// -----

func.func @send_columns(%map: !llvm.ptr, %t: !unitile.shared<128x64xbf16>, %i: i32) {
  // expected-error@+1 {{expected at most 64 columns, got 128}}
  unitile.tensor_store %t[%i] columns 128 to %map[%i, %i] : !unitile.shared<128x64xbf16>
  return
}

// -----

func.func @mma_start_a_stages(%a: !unitile.shared<64x64xbf16, 2>, %k: !unitile.shared<128x64xbf16>, %i: i32) {
  // expected-error@+1 {{[U4] expected one stage of a, got 2}}
  %s = unitile.mma_start %a, %k[%i] : !unitile.shared<64x64xbf16, 2>, !unitile.shared<128x64xbf16> -> !unitile.pending<64x128xf32>
  return
}

// -----

func.func @mma_start_a_u4(%a: !unitile.shared<64x64xbf16>, %k: !unitile.shared<128x128xbf16>, %i: i32) {
  // expected-error@+1 {{[U4] expected a with 128 columns to go with b, got 64}}
  %s = unitile.mma_start %a, %k[%i] : !unitile.shared<64x64xbf16>, !unitile.shared<128x128xbf16> -> !unitile.pending<64x128xf32>
  return
}

// -----

func.func @mma_start_u2(%a: !unitile.fragment<128x64xf16>, %k: !unitile.shared<128x64xbf16>, %i: i32) {
  // expected-error@+1 {{[U2] expected a with b's element type 'bf16', got 'f16'}}
  %0 = unitile.mma_start %a, %k[%i] : !unitile.fragment<128x64xf16>, !unitile.shared<128x64xbf16> -> !unitile.pending<128x128xf32>
  return
}

// -----

func.func @mma_start_u4(%a: !unitile.fragment<128x64xbf16>, %k: !unitile.shared<128x64xbf16>, %i: i32) {
  // expected-error@+1 {{[U4] expected an accumulator with 128 columns to go with b, got 64}}
  %0 = unitile.mma_start %a, %k[%i] : !unitile.fragment<128x64xbf16>, !unitile.shared<128x64xbf16> -> !unitile.pending<128x64xf32>
  return
}

// -----

func.func @mma_start_acc(%a: !unitile.fragment<128x64xbf16>, %k: !unitile.shared<128x64xbf16>, %o: !unitile.fragment<64x128xf32>, %i: i32, %c: i1) {
  // expected-error@+1 {{expected acc of type '!unitile.fragment<128x128xf32>', as the result behind its wait, got '!unitile.fragment<64x128xf32>'}}
  %0 = unitile.mma_start %a, %k[%i], %o when %c : !unitile.fragment<128x64xbf16>, !unitile.shared<128x64xbf16>, !unitile.fragment<64x128xf32> -> !unitile.pending<128x128xf32>
  return
}

// -----

// A product in flight is read by its wait alone.
func.func @mma_start_read(%a: !unitile.fragment<128x64xbf16>, %k: !unitile.shared<128x64xbf16>, %p: !llvm.ptr<1>, %i: i32, %w: i64) {
  // expected-note@+1 {{prior use here}}
  %s = unitile.mma_start %a, %k[%i] : !unitile.fragment<128x64xbf16>, !unitile.shared<128x64xbf16> -> !unitile.pending<128x128xf32>
  // expected-error@+1 {{use of value '%s' expects different type than prior uses: '!unitile.fragment<128x128xf32>' vs '!unitile.pending<128x128xf32>'}}
  unitile.store %s to %p row %i limit %i stride %w : !unitile.fragment<128x128xf32>
  return
}

// -----

func.func @mma_start_stored(%s: !unitile.pending<128x128xf32>, %p: !llvm.ptr<1>, %i: i32, %w: i64) {
  // expected-error@+1 {{operand #0 must be A matrix in the registers of a group of warps or One value for each row of a fragment, but got '!unitile.pending<128x128xf32>'}}
  unitile.store %s to %p row %i limit %i stride %w : !unitile.pending<128x128xf32>
  return
}

// -----

func.func @mma_start_in_flight(%a: !unitile.fragment<128x64xbf16>, %k: !unitile.shared<128x64xbf16>, %i: i32) {
  // expected-error@+1 {{'unitile.mma_start' op result #0 must be A fragment that tensor cores are still computing, but got '!unitile.fragment<128x128xf32>'}}
  %s = unitile.mma_start %a, %k[%i] : !unitile.fragment<128x64xbf16>, !unitile.shared<128x64xbf16> -> !unitile.fragment<128x128xf32>
  return
}

// -----

func.func @mma_wait_arrived(%s: !unitile.fragment<128x128xf32>) {
  // expected-error@+1 {{'value' must be A fragment that tensor cores are still computing, but got '!unitile.fragment<128x128xf32>'}}
  %r = unitile.mma_wait 0, %s : !unitile.fragment<128x128xf32>
  return
}

// -----

func.func @mma_wait_arrived_generic(%s: !unitile.fragment<128x128xf32>) {
  // expected-error@+1 {{operand #0 must be A fragment that tensor cores are still computing, but got '!unitile.fragment<128x128xf32>'}}
  %r = "unitile.mma_wait"(%s) <{groups = 0 : i32}> : (!unitile.fragment<128x128xf32>) -> !unitile.fragment<128x128xf32>
  return
}

// -----

func.func @mma_wait_other(%s: !unitile.pending<128x128xf32>) {
  // expected-error@+1 {{failed to verify that result is the fragment that value is behind its wait}}
  %r = "unitile.mma_wait"(%s) <{groups = 0 : i32}> : (!unitile.pending<128x128xf32>) -> !unitile.fragment<128x64xf32>
  return
}

// -----

// expected-error@+1 {{expected rows of a fragment to be a positive multiple of 16, got 8}}
func.func @pending_rows(%t: !unitile.pending<8x64xf32>) { return }

// -----

func.func @fold_u14(%x: !unitile.fragment<128x64xf32>) {
  // expected-error@+1 {{[U14] expected '!unitile.fragment<128x8xf32>', got '!unitile.fragment<128x16xf32>'}}
  %0 = unitile.fold add %x : !unitile.fragment<128x64xf32> -> !unitile.fragment<128x16xf32>
  return
}

// -----

func.func @fold_u14_element(%x: !unitile.fragment<128x64xbf16>) {
  // expected-error@+1 {{[U14] expected an f32 fragment, got '!unitile.fragment<128x64xbf16>'}}
  %0 = unitile.fold add %x : !unitile.fragment<128x64xbf16> -> !unitile.fragment<128x8xf32>
  return
}

// -----

gpu.module @m {
  gpu.func @roles_u15() kernel attributes {known_block_size = array<i32: 384, 1, 1>} {
    // expected-error@+1 {{[U15] expected one unitile.partitions in a kernel's block}}
    unitile.partitions producer {
      %a = arith.constant 0 : i32
    } consumers {
      %b = arith.constant 0 : i32
    }
    unitile.partitions producer {
      %a = arith.constant 0 : i32
    } consumers {
      %b = arith.constant 0 : i32
    }
    gpu.return
  }
}

// -----

gpu.module @m {
  gpu.func @roles_u15_warps() kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    // expected-error@+1 {{[U15] expected a known_block_size of whole warpgroups, two at least}}
    unitile.partitions producer {
      %a = arith.constant 0 : i32
    } consumers {
      %b = arith.constant 0 : i32
    }
    gpu.return
  }
}

// -----

gpu.module @m {
  gpu.func @roles_u15_fragment(%x: f32) kernel attributes {known_block_size = array<i32: 384, 1, 1>} {
    unitile.partitions producer {
      // expected-error@+1 {{[U15] expected fragments and rows in the consumers' region only}}
      %a = unitile.fill %x : f32 -> !unitile.fragment<128x64xf32>
    } consumers {
      %b = arith.constant 0 : i32
    }
    gpu.return
  }
}

// -----

gpu.module @m {
  gpu.func @roles_u15_pending(%a: !unitile.shared<128x64xbf16>, %k: !unitile.shared<128x64xbf16>, %i: i32) kernel attributes {known_block_size = array<i32: 384, 1, 1>} {
    unitile.partitions producer {
      // expected-error@+1 {{[U15] expected fragments and rows in the consumers' region only}}
      %s = unitile.mma_start %a, %k[%i] : !unitile.shared<128x64xbf16>, !unitile.shared<128x64xbf16> -> !unitile.pending<128x128xf32>
    } consumers {
      %b = arith.constant 0 : i32
    }
    gpu.return
  }
}

// -----

gpu.module @m {
  gpu.func @roles_u16() kernel attributes {known_block_size = array<i32: 384, 1, 1>} {
    // expected-error@+1 {{[U16] expected registers that are multiples of 8 from 24 to 240, got 250}}
    unitile.partitions registers<40, 250> producer {
      %a = arith.constant 0 : i32
    } consumers {
      %b = arith.constant 0 : i32
    }
    gpu.return
  }
}

// -----

func.func @tensor_map_u17(%p: !llvm.ptr<1>, %n: index) {
  // expected-error@+1 {{[U17] expected 3 sizes and 2 strides, got 2 and 1}}
  %0 = unitile.tensor_map %p sizes [%n, %n] strides [%n] box [64, 128, 1] : bf16
  return
}

// -----

// expected-error@+1 {{expected one of [running, speculative] for what a row's exponentials are taken relative to, got: guess}}
func.func private @schedule() attributes {unitile.schedule = #unitile.schedule<reference = guess>}

// -----

// expected-error@+1 {{expected stages, keys, ctas, cluster, producer_registers, consumer_registers, reference, overlap or ping_pong, got 'rows'}}
func.func private @schedule_of_what() attributes {unitile.schedule = #unitile.schedule<stages = 2, rows = 64>}

// -----

// The older name says the same.
// expected-error@+1 {{expected 'blocks' once}}
func.func private @schedule_twice() attributes {unitile.schedule = #unitile.schedule<ctas = 2, blocks = 1>}

// -----

// expected-error@+1 {{expected true or false}}
func.func private @schedule_flag() attributes {unitile.schedule = #unitile.schedule<ping_pong = 1>}

// -----

func.func @copy_u10_width(%p: !llvm.ptr<1>, %r: i32, %s: i64, %t: !unitile.shared<32x80xbf16>) {
  // expected-error@+1 {{[U10] expected a width that is a multiple of 8 up to 80, got 12}}
  unitile.copy_async %p row %r limit %r stride %s width 12 to %t[%r] : !unitile.shared<32x80xbf16>
  return
}

// -----

func.func @copy_u10_wide(%p: !llvm.ptr<1>, %r: i32, %s: i64, %t: !unitile.shared<32x80xbf16>) {
  // expected-error@+1 {{[U10] expected a width that is a multiple of 8 up to 80, got 88}}
  unitile.copy_async %p row %r limit %r stride %s width 88 to %t[%r] : !unitile.shared<32x80xbf16>
  return
}

// -----

func.func @copy_u10_take(%p: !llvm.ptr<1>, %r: i32, %s: i64, %t: !unitile.shared<32x80xbf16>) {
  // expected-error@+1 {{[U10] expected 0 < take <= of, and of to divide 32 rows, got take 0 of 16}}
  unitile.copy_async %p row %r limit %r stride %s take 0 of 16 to %t[%r] : !unitile.shared<32x80xbf16>
  return
}

// -----

func.func @copy_u10_more(%p: !llvm.ptr<1>, %r: i32, %s: i64, %t: !unitile.shared<32x80xbf16>) {
  // expected-error@+1 {{[U10] expected 0 < take <= of, and of to divide 32 rows, got take 20 of 16}}
  unitile.copy_async %p row %r limit %r stride %s take 20 of 16 to %t[%r] : !unitile.shared<32x80xbf16>
  return
}

// -----

func.func @copy_u10_of(%p: !llvm.ptr<1>, %r: i32, %s: i64, %t: !unitile.shared<32x80xbf16>) {
  // expected-error@+1 {{[U10] expected 0 < take <= of, and of to divide 32 rows, got take 10 of 12}}
  unitile.copy_async %p row %r limit %r stride %s take 10 of 12 to %t[%r] : !unitile.shared<32x80xbf16>
  return
}

// -----

func.func @store_u10(%p: !llvm.ptr<1>, %r: i32, %s: i64, %x: !unitile.fragment<32x80xf32>) {
  // expected-error@+1 {{[U10] expected an even width up to 80, got 73}}
  unitile.store %x to %p row %r limit %r stride %s width 73 : !unitile.fragment<32x80xf32>
  return
}

// -----

func.func @store_u10_wide(%p: !llvm.ptr<1>, %r: i32, %s: i64, %x: !unitile.fragment<32x80xf32>) {
  // expected-error@+1 {{[U10] expected an even width up to 80, got 82}}
  unitile.store %x to %p row %r limit %r stride %s width 82 : !unitile.fragment<32x80xf32>
  return
}

// -----

// expected-error@+1 {{[U13] expected rows that are a multiple of 16 up to 128, got 144}}
func.func @schedule_u13_rows() attributes {unitile.schedule = #unitile.tiles<rows = 144, keys = 64>} { return }

// -----

// expected-error@+1 {{[U13] expected keys that are a multiple of 16 up to 256, got 40}}
func.func @schedule_u13_keys() attributes {unitile.schedule = #unitile.tiles<rows = 64, keys = 40>} { return }

// -----

// expected-error@+1 {{[U29] expected lanes and items above 0 with a product of at most 1024, got 0 and 1}}
func.func @threads_u29_lanes() attributes {unitile.schedule = #unitile.threads<lanes = 0>} { return }

// -----

// expected-error@+1 {{[U29] expected lanes and items above 0 with a product of at most 1024, got 32 and 33}}
func.func @threads_u29_items() attributes {unitile.schedule = #unitile.threads<lanes = 32, items = 33>} { return }

// -----

// expected-error@+1 {{[U29] expected ctas of at least 0, got -1}}
func.func @threads_u29_ctas() attributes {unitile.schedule = #unitile.threads<lanes = 32, ctas = -1>} { return }

// -----

// Rows and columns that the other type cannot have.

func.func @write_u1_rows(%x: !unitile.fragment<128x8xbf16>, %t: !unitile.shared<8x128xbf16>, %i: i32) {
  // expected-error@+1 {{[U1] expected a fragment with the tile's 8 rows, got '!unitile.fragment<128x8xbf16>'}}
  unitile.write %x to %t[%i] : !unitile.fragment<128x8xbf16>, !unitile.shared<8x128xbf16>
  return
}

// -----

func.func @load_u1_rows(%t: !unitile.shared<24x64xbf16>, %i: i32) {
  // expected-error@+1 {{[U1] expected a fragment with the tile's 24 rows, got '!unitile.fragment<64x64xbf16>'}}
  %a = unitile.load %t[%i] : !unitile.shared<24x64xbf16> -> !unitile.fragment<64x64xbf16>
  return
}

// -----

func.func @write_u1_element(%x: !unitile.fragment<64x64xf16>, %t: !unitile.shared<64x64xbf16>, %i: i32) {
  // expected-error@+1 {{[U1] expected a fragment with the tile's element type 'bf16', got '!unitile.fragment<64x64xf16>'}}
  unitile.write %x to %t[%i] : !unitile.fragment<64x64xf16>, !unitile.shared<64x64xbf16>
  return
}

// -----

// Lanes ask each other: not what a line computes an element with.

func.func @map_u6_reduce(%x: !unitile.rows<64xf32>, %f: !unitile.fragment<64x64xf32>) {
  %0 = unitile.map ins(%x : !unitile.rows<64xf32>) -> !unitile.rows<64xf32> {
  ^bb0(%e: f32):
    // expected-error@+1 {{[U6] expected only ops that write nothing in unitile.map}}
    %r = unitile.reduce max %f, %x : !unitile.fragment<64x64xf32>, !unitile.rows<64xf32>
    unitile.yield %e : f32
  }
  return
}

// -----

func.func @softmax_u23(%s: !unitile.fragment<64x64xf32>, %m: !unitile.rows<64xf32>, %o: !unitile.fragment<64x64xf32>) {
  // expected-error@+1 {{[U23] expected a sum of 8 columns for a speculative reference, whose check is on them, got '!unitile.rows<64xf32>'}}
  %p, %m1, %l1, %o1 = unitile.softmax speculative %s scale 0.125 from %m, %m, %o : !unitile.fragment<64x64xf32>, !unitile.rows<64xf32>, !unitile.rows<64xf32>, !unitile.fragment<64x64xf32> -> !unitile.fragment<64x64xbf16>
  return
}

// -----

func.func @softmax_u23_settled(%s: !unitile.fragment<64x64xf32>, %m: !unitile.rows<64xf32>, %l: !unitile.fragment<64x8xf32>, %o: !unitile.fragment<64x64xf32>) {
  // expected-error@+1 {{[U23] expected a reference that is speculative or settled, got both}}
  %p, %m1, %l1, %o1 = unitile.softmax speculative settled 0.0 %s scale 30.0 from %m, %l, %o : !unitile.fragment<64x64xf32>, !unitile.rows<64xf32>, !unitile.fragment<64x8xf32>, !unitile.fragment<64x64xf32> -> !unitile.fragment<64x64xbf16>
  return
}

// -----

func.func @softmax_u23_finite(%s: !unitile.fragment<64x64xf32>, %m: !unitile.rows<64xf32>, %o: !unitile.fragment<64x64xf32>) {
  // expected-error@+1 {{[U23] expected a settled reference of at most 2^20 in size, got nan}}
  %p, %m1, %l1, %o1 = unitile.softmax settled 0x7FF8000000000000 %s scale 30.0 from %m, %m, %o : !unitile.fragment<64x64xf32>, !unitile.rows<64xf32>, !unitile.rows<64xf32>, !unitile.fragment<64x64xf32> -> !unitile.fragment<64x64xbf16>
  return
}

// -----

func.func @reference_u23(%s: !unitile.fragment<64x64xf32>) {
  // expected-error@+1 {{[U23] expected a settled reference of at most 2^20 in size, got 2.000000e+20}}
  %m = unitile.reference settled 2.0e20 %s scale 30.0 : !unitile.fragment<64x64xf32> -> !unitile.rows<64xf32>
  return
}

// -----

func.func @mask_u26(%s: !unitile.fragment<64x64xf32>, %i: i32, %b: !unitile.rows<64xf32>) {
  // expected-error@+1 {{[U26] expected a position with bounds: where no bound is at or below}}
  %0 = unitile.mask %s keys %i to %i by %b : !unitile.fragment<64x64xf32>
  return
}

// -----

func.func @softmax_sums_u27(%s: !unitile.fragment<64x64xf32>, %m: !unitile.rows<64xf32>) {
  // expected-error@+1 {{[U27] expected a sum of 8 columns for a speculative reference}}
  %0:3 = unitile.softmax_sums speculative %s columns 16 scale 0.125 from %m, %m
    : !unitile.fragment<64x64xf32>, !unitile.rows<64xf32>, !unitile.rows<64xf32> -> !unitile.fragment<64x8xf32>
  return
}

// -----

func.func @softmax_sums_u27_rows(%s: !unitile.fragment<64x64xf32>, %m: !unitile.rows<32xf32>) {
  // expected-error@+1 {{[U27] expected a state of 64 rows, got '!unitile.rows<32xf32>'}}
  %0:3 = unitile.softmax_sums %s columns 16 scale 0.125 from %m, %m
    : !unitile.fragment<64x64xf32>, !unitile.rows<32xf32>, !unitile.rows<32xf32> -> !unitile.fragment<64x8xf32>
  return
}

// -----

func.func @sum_groups_u28(%s: !unitile.fragment<64x64xf32>) {
  // expected-error@+1 {{[U28] expected groups of a multiple of 8 columns that divide 64, got 24}}
  %0 = unitile.sum_groups %s columns 24 : !unitile.fragment<64x64xf32> -> !unitile.fragment<64x8xf32>
  return
}

// -----

func.func @sum_groups_u28_columns(%s: !unitile.fragment<64x128xf32>) {
  // expected-error@+1 {{[U28] expected f32 and sums as '!unitile.fragment<64x16xf32>', got '!unitile.fragment<64x128xf32>' and '!unitile.fragment<64x8xf32>'}}
  %0 = unitile.sum_groups %s columns 8 : !unitile.fragment<64x128xf32> -> !unitile.fragment<64x8xf32>
  return
}

// -----

func.func @fetch_u21_take(%q: memref<1x1x?x64xf32>, %i: i32) {
  // expected-error@+1 {{[U21] expected 0 < take <= of, with `of` a divisor of the tile's 64 rows, got take 10 of 24}}
  %0 = unitile.fetch %q[%i, %i] rows %i to %i take 10 of 24 : memref<1x1x?x64xf32> -> !unitile.tile<64x64xf32>
  return
}

// -----

func.func @worker_u31(%m: memref<i32>) {
  // expected-error@+1 {{[U31] expected memory of rank 1 at least, got 'memref<i32>'}}
  %0 = unitile.worker of %m : memref<i32>
  return
}

// -----

func.func @map_u36(%x: !unitile.fragment<64x16xf32, #unitile.row_fragment>, %m: !unitile.rows<64xf32, #unitile.mma_fragment>) {
  // expected-error@+1 {{[U36] expected one layout of all operands and results, got '!unitile.rows<64xf32, #unitile.mma_fragment>' and '!unitile.fragment<64x16xf32, #unitile.row_fragment>'}}
  %0 = unitile.map ins(%x, %m : !unitile.fragment<64x16xf32, #unitile.row_fragment>, !unitile.rows<64xf32, #unitile.mma_fragment>) -> !unitile.fragment<64x16xf32, #unitile.row_fragment> {
  ^bb0(%a: f32, %b: f32):
    unitile.yield %a : f32
  }
  return
}

// -----

func.func @reduce_u36(%x: !unitile.fragment<64x16xf32, #unitile.row_fragment>, %m: !unitile.rows<64xf32>) {
  // expected-error@+1 {{[U36] expected one layout of all operands and results, got '!unitile.fragment<64x16xf32, #unitile.row_fragment>' and '!unitile.rows<64xf32>'}}
  %0 = unitile.reduce max %x, %m : !unitile.fragment<64x16xf32, #unitile.row_fragment>, !unitile.rows<64xf32>
  return
}

// -----

func.func @fold_u36(%x: !unitile.fragment<64x16xf32, #unitile.row_fragment>) {
  // expected-error@+1 {{[U14] expected '!unitile.fragment<64x8xf32, #unitile.row_fragment>', got '!unitile.fragment<64x8xf32, #unitile.mma_fragment>'}}
  %0 = unitile.fold max %x : !unitile.fragment<64x16xf32, #unitile.row_fragment> -> !unitile.fragment<64x8xf32, #unitile.mma_fragment>
  return
}

// -----

func.func @mma_u37_elements(%a: !unitile.fragment<64x64xf32, #unitile.mma_fragment>, %k: !unitile.shared<64x64xf32>, %i: i32) {
  // expected-error@+1 {{[U37] expected an atom that takes 'f32', got #unitile.mma_sync}}
  %0 = unitile.mma %a, %k[%i], %a atom(#unitile.mma_sync) : !unitile.fragment<64x64xf32, #unitile.mma_fragment>, !unitile.shared<64x64xf32>, !unitile.fragment<64x64xf32, #unitile.mma_fragment>
  return
}

// -----

func.func @mma_u37_flight(%a: !unitile.fragment<64x64xbf16, #unitile.mma_fragment>, %k: !unitile.shared<64x64xbf16>, %o: !unitile.fragment<64x64xf32, #unitile.mma_fragment>, %i: i32) {
  // expected-error@+1 {{[U37] expected an atom that waits for its sums, got #unitile.wgmma}}
  %0 = unitile.mma %a, %k[%i], %o atom(#unitile.wgmma) : !unitile.fragment<64x64xbf16, #unitile.mma_fragment>, !unitile.shared<64x64xbf16>, !unitile.fragment<64x64xf32, #unitile.mma_fragment>
  return
}

// -----

func.func @mma_start_u37_flight(%a: !unitile.fragment<64x64xbf16, #unitile.mma_fragment>, %k: !unitile.shared<64x64xbf16>, %i: i32) {
  // expected-error@+1 {{[U37] expected an atom that leaves its sums in flight, got #unitile.mma_sync}}
  %0 = unitile.mma_start %a, %k[%i] atom(#unitile.mma_sync) : !unitile.fragment<64x64xbf16, #unitile.mma_fragment>, !unitile.shared<64x64xbf16> -> !unitile.pending<64x64xf32, #unitile.mma_fragment>
  return
}

// -----

func.func @mma_u37_a(%a: !unitile.fragment<64x64xbf16, #unitile.row_fragment>, %k: !unitile.shared<64x64xbf16>, %o: !unitile.fragment<64x64xf32, #unitile.mma_fragment>, %i: i32) {
  // expected-error@+1 {{[U37] expected a in #unitile.mma_fragment, as the atom has it, got '!unitile.fragment<64x64xbf16, #unitile.row_fragment>'}}
  %0 = unitile.mma %a, %k[%i], %o atom(#unitile.mma_sync) : !unitile.fragment<64x64xbf16, #unitile.row_fragment>, !unitile.shared<64x64xbf16>, !unitile.fragment<64x64xf32, #unitile.mma_fragment>
  return
}

// -----

func.func @mma_start_u37_sums(%a: !unitile.fragment<64x64xbf16, #unitile.mma_fragment>, %k: !unitile.shared<64x64xbf16>, %i: i32) {
  // expected-error@+1 {{[U37] expected the result in #unitile.mma_fragment, as the atom has it, got '!unitile.fragment<64x64xf32>'}}
  %0 = unitile.mma_start %a, %k[%i] atom(#unitile.wgmma) : !unitile.fragment<64x64xbf16, #unitile.mma_fragment>, !unitile.shared<64x64xbf16> -> !unitile.pending<64x64xf32>
  return
}

// -----

// expected-error@+1 {{invalid kind of attribute specified}}
func.func @layout_kind(%x: !unitile.rows<64xf32, #unitile.mma_sync>) {
  return
}
