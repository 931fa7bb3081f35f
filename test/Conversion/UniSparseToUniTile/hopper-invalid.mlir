// RUN: unisparse-opt %s -split-input-file --unisparse-select-schedule=chip=sm_90a --convert-unisparse-to-unitile -verify-diagnostics

!q = tensor<1x8x1000x128xbf16>
func.func @stages(%q: !q) -> !q {
  // expected-error@+1 {{expected 2 to 3 stages, as many as fit shared memory, got 4}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> causal {unitile.schedule = #unitile.schedule<stages = 4>} : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

!q = tensor<1x8x1000x128xbf16>
func.func @registers(%q: !q) -> !q {
  // expected-error@+1 {{expected registers that fit a multiprocessor's 65536, got 66560}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> {unitile.schedule = #unitile.schedule<consumer_registers = 240>} : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

!q = tensor<1x8x1000x128xbf16>
func.func @turns(%q: !q) -> !q {
  // expected-error@+1 {{expected query blocks of 128 rows for turns, got 64}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> {unitile.schedule = #unitile.schedule<turns = true>} : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

!q = tensor<1x8x1000x128xbf16>
func.func @query_block(%q: !q) -> !q {
  // expected-error@+1 {{expected query blocks of 64 or 128 rows, got 48}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <48x64> {unitile.schedule = #unitile.schedule<stages = 2>} : (!q, !q, !q) -> !q
  return %o : !q
}
