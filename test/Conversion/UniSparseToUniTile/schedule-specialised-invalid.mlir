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
  // expected-error@+1 {{expected registers of a producer and 2 consumers that fit the 504 of a launch's threads, got 520}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> {unitile.schedule = #unitile.schedule<consumer_registers = 240>} : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

!q = tensor<1x8x1000x128xbf16>
func.func @ctas(%q: !q) -> !q {
  // expected-error@+1 {{expected ctas whose shared memory holds 2 stages of 128 keys, got 3}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> {unitile.schedule = #unitile.schedule<ctas = 3>} : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

!q = tensor<1x8x1000x128xbf16>
func.func @negative_ctas(%q: !q) -> !q {
  // expected-error@+1 {{expected ctas whose shared memory holds 2 stages of 128 keys, got -1}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> {unitile.schedule = #unitile.schedule<ctas = -1>} : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

!q = tensor<1x8x1000x128xbf16>
func.func @turns(%q: !q) -> !q {
  // expected-error@+1 {{expected query blocks of 128 rows for ping_pong, got 64}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> {unitile.schedule = #unitile.schedule<ping_pong = true>} : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

!q = tensor<1x8x1000x128xbf16>
func.func @query_block(%q: !q) -> !q {
  // expected-error@+1 {{expected query blocks of 64 or 128 rows, got 48}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <48x64> {unitile.schedule = #unitile.schedule<stages = 2>} : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

func.func @element(%q: tensor<1x8x1000x64xf32>, %v: tensor<1x8x1000x64xf32>) -> tensor<1x8x1000x64xf32> {
  // expected-error@+1 {{expected f16 or bf16, got 'f32'}}
  %o = unisparse.block_sparse_attention %q, %q, %v block <64x64> {unitile.schedule = #unitile.schedule<stages = 2>} : (tensor<1x8x1000x64xf32>, tensor<1x8x1000x64xf32>, tensor<1x8x1000x64xf32>) -> tensor<1x8x1000x64xf32>
  return %o : tensor<1x8x1000x64xf32>
}

// -----

func.func @scale(%q: tensor<1x8x1000x64xf16>, %v: tensor<1x8x1000x64xf16>) -> tensor<1x8x1000x64xf16> {
  // expected-error@+1 {{expected a scale above 0, got -1.250000e-01}}
  %o = unisparse.block_sparse_attention %q, %q, %v block <64x64> scale -1.250000e-01 {unitile.schedule = #unitile.schedule<stages = 2>} : (tensor<1x8x1000x64xf16>, tensor<1x8x1000x64xf16>, tensor<1x8x1000x64xf16>) -> tensor<1x8x1000x64xf16>
  return %o : tensor<1x8x1000x64xf16>
}

// -----

func.func @head_dim(%q: tensor<1x8x1000x40xf16>, %v: tensor<1x8x1000x64xf16>) -> tensor<1x8x1000x64xf16> {
  // expected-error@+1 {{expected a head_dim that is a multiple of 16 up to 256, got 40}}
  %o = unisparse.block_sparse_attention %q, %q, %v block <64x64> {unitile.schedule = #unitile.schedule<stages = 2>} : (tensor<1x8x1000x40xf16>, tensor<1x8x1000x40xf16>, tensor<1x8x1000x64xf16>) -> tensor<1x8x1000x64xf16>
  return %o : tensor<1x8x1000x64xf16>
}

// -----

func.func @head_dim_of_v(%q: tensor<1x8x1000x128xbf16>, %v: tensor<1x8x1000x136xbf16>) -> tensor<1x8x1000x136xbf16> {
  // expected-error@+1 {{expected a head_dim of v that is a multiple of 16 up to 256, got 136}}
  %o = unisparse.block_sparse_attention %q, %q, %v block <64x64> {unitile.schedule = #unitile.schedule<stages = 2>} : (tensor<1x8x1000x128xbf16>, tensor<1x8x1000x128xbf16>, tensor<1x8x1000x136xbf16>) -> tensor<1x8x1000x136xbf16>
  return %o : tensor<1x8x1000x136xbf16>
}

// -----

func.func @key_block(%q: tensor<1x8x1000x128xbf16>, %v: tensor<1x8x1000x128xbf16>) -> tensor<1x8x1000x128xbf16> {
  // expected-error@+1 {{expected a key block that is a multiple of 16, got 72}}
  %o = unisparse.block_sparse_attention %q, %q, %v block <64x72> {unitile.schedule = #unitile.schedule<stages = 2>} : (tensor<1x8x1000x128xbf16>, tensor<1x8x1000x128xbf16>, tensor<1x8x1000x128xbf16>) -> tensor<1x8x1000x128xbf16>
  return %o : tensor<1x8x1000x128xbf16>
}

// -----

func.func @keys(%q: tensor<1x8x1000x128xbf16>) -> tensor<1x8x1000x128xbf16> {
  // expected-error@+1 {{expected keys that are a part of the key block of 128, a multiple of 16 up to 128, got 48}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x128> {unitile.schedule = #unitile.schedule<keys = 48>} : (tensor<1x8x1000x128xbf16>, tensor<1x8x1000x128xbf16>, tensor<1x8x1000x128xbf16>) -> tensor<1x8x1000x128xbf16>
  return %o : tensor<1x8x1000x128xbf16>
}

// -----

!q = tensor<1x8x1000x128xbf16>
!k = tensor<1x2x1000x128xbf16>
func.func @cluster(%q: !q, %k: !k) -> !q {
  // expected-error@+1 {{expected a cluster of 1 or 2, got 4}}
  %o = unisparse.block_sparse_attention %q, %k, %k block <128x128> {unitile.schedule = #unitile.schedule<cluster = 4>} : (!q, !k, !k) -> !q
  return %o : !q
}

// -----

!q = tensor<1x8x1000x128xbf16>
func.func @cluster_of_own_keys(%q: !q) -> !q {
  // expected-error@+1 {{expected a cluster of 1 where heads do not share keys and selection in pairs, got 2}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> {unitile.schedule = #unitile.schedule<cluster = 2>} : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

!q = tensor<1x8x1000x128xbf16>
!k = tensor<1x2x1000x128xbf16>
func.func @cluster_of_own_selections(%q: !q, %k: !k, %c: tensor<1x8x8xi32>, %i: tensor<1x8x8x8xi32>) -> !q {
  // expected-error@+1 {{expected a cluster of 1 where heads do not share keys and selection in pairs, got 2}}
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) block <128x128> {unitile.schedule = #unitile.schedule<cluster = 2>}
    : (!q, !k, !k, tensor<1x8x8xi32>, tensor<1x8x8x8xi32>) -> !q
  return %o : !q
}

// -----

!q = tensor<1x8x1000x128xbf16>
!k = tensor<1x2x1000x128xbf16>
func.func @cluster_packed(%q: !q, %k: !k, %cu: tensor<3xi32>) -> !q {
  // expected-error@+1 {{expected a cluster of 1 for a packed batch, whose tiles are cleared block by block, got 2}}
  %o = unisparse.block_sparse_attention %q, %k, %k cu_seqlens(%cu, %cu) block <128x128> {unitile.schedule = #unitile.schedule<cluster = 2>}
    : (!q, !k, !k, tensor<3xi32>, tensor<3xi32>) -> !q
  return %o : !q
}

// -----

!q = tensor<1x2x256x128xbf16>

// All of a multiprocessor's registers, but more than 168 for each of the 384
// threads, with which they begin: the second warpgroup would wait for ever.
func.func @more_than_the_launch_has(%q: !q) -> !q {
  // expected-error@+1 {{expected registers of a producer and 2 consumers that fit the 504 of a launch's threads, got 512}}
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> {unitile.schedule = #unitile.schedule<producer_registers = 48, consumer_registers = 232>} : (!q, !q, !q) -> !q
  return %o : !q
}
