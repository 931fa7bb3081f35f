// RUN: unisparse-opt %s -split-input-file --convert-unisparse-to-unitile --unitile-persist --unitile-pipeline --unitile-distribute-threads --canonicalize --cse --canonicalize | FileCheck %s

// What types left open is asserted in words in front of the launch, each rule
// with its label.
// CHECK-LABEL: func.func @attend(
// CHECK-SAME:    %[[Q:[a-z0-9]*]]: tensor<?x4x?x64xbf16> {bufferization.buffer_layout = strided<[?, ?, ?, 1], offset: ?>}
// CHECK-SAME:    %[[K:[a-z0-9]*]]: tensor<?x2x?x64xbf16> {bufferization.buffer_layout = strided<[?, ?, ?, 1], offset: ?>}
// CHECK-SAME:    %[[V:[a-z0-9]*]]: tensor<?x2x?x32xbf16> {bufferization.buffer_layout = strided<[?, ?, ?, 1], offset: ?>}
// CHECK-SAME:    %[[C:[a-z0-9]*]]: tensor<?x4x?xi32> {bufferization.buffer_layout = affine_map<(d0, d1, d2) -> (d0, d1, d2)>}
// CHECK-DAG:     %[[C0:.*]] = arith.constant 0 : index
// CHECK-DAG:     %[[C2:.*]] = arith.constant 2 : index
// CHECK-DAG:     %[[C100:.*]] = arith.constant 100 : index
// CHECK:         %[[BQ:.*]] = tensor.dim %[[Q]], %[[C0]]
// CHECK:         %[[BK:.*]] = tensor.dim %[[K]], %[[C0]]
// CHECK:         %[[I2:.*]] = arith.cmpi eq, %[[BQ]], %[[BK]]
// CHECK-NEXT:    cf.assert %[[I2]], "I2: q.size(0) == k.size(0)"
// CHECK:         cf.assert %{{.*}}, "I2: q.size(0) == v.size(0)"
// CHECK:         cf.assert %{{.*}}, "I4: k.size(2) == v.size(2)"
// CHECK:         %[[LQ:.*]] = tensor.dim %[[Q]], %[[C2]]
// CHECK:         %[[I7:.*]] = arith.cmpi sle, %[[LQ]], %[[LK:.*]] : index
// CHECK-NEXT:    cf.assert %[[I7]], "I7: the length of q <= the length of k"
// CHECK:         %[[ROWS:.*]] = arith.ceildivui %[[LQ]], %[[C100]]
// CHECK:         cf.assert %{{.*}}, "A4: q.size(0) == counts.size(0)"
// CHECK:         cf.assert %{{.*}}, "A4: counts.size(0) == indices.size(0)"
// CHECK:         %[[A4:.*]] = arith.cmpi eq, %{{.*}}, %[[ROWS]] : index
// CHECK:         cf.assert %[[A4]], "A4: counts.size(2) == query blocks"
// CHECK:         cf.assert %{{.*}}, "A4: indices.size(2) == query blocks"
// Rows of indices are as long as their counts ask for.
// CHECK-NOT:     cf.assert
// CHECK:         gpu.alloc (%[[BQ]], %[[LQ]]) : memref<?x4x?x32xbf16>
// CHECK:         gpu.alloc (%[[BQ]], %[[LQ]]) : memref<?x4x?xf32>
// The address of q is its buffer's, moved by its offset; strides are the
// caller's.
// CHECK:         %[[BASE:.*]] = memref.extract_aligned_pointer_as_index %[[BUFFER:.*]] :
// CHECK:         %{{.*}}, %[[OFFSET:.*]], %{{.*}}:4, %[[STRIDES:.*]]:4 = memref.extract_strided_metadata %[[BUFFER]] :
// CHECK:         %[[BYTES:.*]] = arith.muli %[[OFFSET]], %[[C2]]
// CHECK:         arith.addi %[[BASE]], %[[BYTES]]
// CHECK:         %[[S0:.*]] = arith.index_cast %[[STRIDES]]#0 : index to i64
// CHECK:         %[[S1:.*]] = arith.index_cast %[[STRIDES]]#1 : index to i64
// CHECK:         %[[S2:.*]] = arith.index_cast %[[STRIDES]]#2 : index to i64
// CHECK:         gpu.launch_func @unisparse_kernels::@attend blocks in (%[[ROWS]], %c4, %[[BQ]])
// CHECK-SAME:    !llvm.ptr<1>, %[[S0]] : i64, %[[S1]] : i64, %[[S2]] : i64, %{{.*}} : !llvm.ptr<1>
func.func @attend(%q: tensor<?x4x?x64xbf16>, %k: tensor<?x2x?x64xbf16>, %v: tensor<?x2x?x32xbf16>,
                  %c: tensor<?x4x?xi32>, %i: tensor<?x4x?x?xi32>) -> (tensor<?x4x?x32xbf16>, tensor<?x4x?xf32>) {
  %o, %lse = unisparse.block_sparse_attention %q, %k, %v selection(%c, %i) block <100x24> causal return_lse
    : (tensor<?x4x?x64xbf16>, tensor<?x2x?x64xbf16>, tensor<?x2x?x32xbf16>, tensor<?x4x?xi32>, tensor<?x4x?x?xi32>)
      -> (tensor<?x4x?x32xbf16>, tensor<?x4x?xf32>)
  return %o, %lse : tensor<?x4x?x32xbf16>, tensor<?x4x?xf32>
}

// -----

// A kernel goes by the counts, whatever columns the indices have.
// CHECK-LABEL: func.func @columns(
// CHECK-NOT:     cf.assert
// CHECK:         gpu.launch_func
func.func @columns(%q: tensor<1x4x256x64xbf16>, %c: tensor<1x4x4xi32>, %i: tensor<1x4x4x2xi32>) -> tensor<1x4x256x64xbf16> {
  %o = unisparse.block_sparse_attention %q, %q, %q selection(%c, %i) block <64x64> causal
    : (tensor<1x4x256x64xbf16>, tensor<1x4x256x64xbf16>, tensor<1x4x256x64xbf16>, tensor<1x4x4xi32>, tensor<1x4x4x2xi32>) -> tensor<1x4x256x64xbf16>
  return %o : tensor<1x4x256x64xbf16>
}

// -----

// Types that say it all leave nothing to assert.
// CHECK-LABEL: func.func @static(
// CHECK-NOT:     cf.assert
// CHECK:         gpu.launch_func
func.func @static(%q: tensor<1x4x256x64xbf16>) -> tensor<1x4x256x64xbf16> {
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> causal
    : (tensor<1x4x256x64xbf16>, tensor<1x4x256x64xbf16>, tensor<1x4x256x64xbf16>) -> tensor<1x4x256x64xbf16>
  return %o : tensor<1x4x256x64xbf16>
}

// -----

// Slots of a packed batch: floor(L / f) + S. Each sequence's lengths are the
// caller's promise (I7); that there are as many of both is not (I8).
// CHECK-LABEL: func.func @packed(
// CHECK-SAME:    %[[Q:[a-z0-9]*]]: tensor<1x4x?x64xbf16>
// CHECK-SAME:    %[[CQ:[a-z0-9]*]]: tensor<?xi32>
// CHECK-SAME:    %[[CK:[a-z0-9]*]]: tensor<?xi32>
// CHECK-DAG:     %[[C64:.*]] = arith.constant 64 : index
// CHECK-NOT:     "I7
// CHECK:         %[[ENDS:.*]] = tensor.dim %[[CQ]]
// CHECK:         %[[KENDS:.*]] = tensor.dim %[[CK]]
// CHECK:         %[[I8:.*]] = arith.cmpi eq, %[[ENDS]], %[[KENDS]]
// CHECK-NEXT:    cf.assert %[[I8]], "I8: cu_seqlens_q.size(0) == cu_seqlens_k.size(0)"
// CHECK:         cf.assert %{{.*}}, "I8: 1 <= cu_seqlens_q.size(0)"
// CHECK:         %[[S:.*]] = arith.subi %[[ENDS]], %{{.*}} : index
// CHECK:         arith.index_cast %[[S]] : index to i32
// CHECK:         %[[WHOLE:.*]] = arith.divui %{{.*}}, %[[C64]] : index
// CHECK:         %[[SLOTS:.*]] = arith.addi %[[WHOLE]], %[[S]]
// CHECK:         gpu.launch_func @unisparse_kernels::@attend blocks in (%[[SLOTS]], %c4, %c1)
func.func @packed(%q: tensor<1x4x?x64xbf16>, %k: tensor<1x4x?x64xbf16>, %cq: tensor<?xi32>, %ck: tensor<?xi32>) -> tensor<1x4x?x64xbf16> {
  %o = unisparse.block_sparse_attention %q, %k, %k cu_seqlens(%cq, %ck) block <64x64> causal
    : (tensor<1x4x?x64xbf16>, tensor<1x4x?x64xbf16>, tensor<1x4x?x64xbf16>, tensor<?xi32>, tensor<?xi32>) -> tensor<1x4x?x64xbf16>
  return %o : tensor<1x4x?x64xbf16>
}

// -----

// A block larger than a tile: two tiles a row of blocks.
// CHECK-LABEL: func.func @large(
// CHECK-DAG:     %[[TILES:.*]] = arith.constant 6 : index
// CHECK:         gpu.launch_func @unisparse_kernels::@attend blocks in (%[[TILES]], %c4, %c1)
func.func @large(%q: tensor<1x4x600x64xbf16>) -> tensor<1x4x600x64xbf16> {
  %o = unisparse.block_sparse_attention %q, %q, %q block <200x256> causal
    : (tensor<1x4x600x64xbf16>, tensor<1x4x600x64xbf16>, tensor<1x4x600x64xbf16>) -> tensor<1x4x600x64xbf16>
  return %o : tensor<1x4x600x64xbf16>
}

// -----

// A buffer that a program brings itself is taken with its strides: only one of
// identity layout is known to be contiguous.
// CHECK-LABEL: func.func @own_buffer(
// CHECK:         %{{.*}}, %{{.*}}, %{{.*}}:4, %[[STRIDES:.*]]:4 = memref.extract_strided_metadata
// CHECK:         %[[ROW:.*]] = arith.index_cast %[[STRIDES]]#2 : index to i64
// CHECK:         gpu.launch_func @unisparse_kernels::@pool{{.*}} %[[ROW]] : i64
func.func @own_buffer(%m: memref<1x4x512x64xbf16, strided<[?, ?, ?, 1], offset: ?>>) -> tensor<1x4x64x64xbf16> {
  %x = bufferization.to_tensor %m restrict : memref<1x4x512x64xbf16, strided<[?, ?, ?, 1], offset: ?>> to tensor<1x4x512x64xbf16>
  %0 = unisparse.pool %x by 8 : (tensor<1x4x512x64xbf16>) -> tensor<1x4x64x64xbf16>
  return %0 : tensor<1x4x64x64xbf16>
}

// -----

// Stages of a program's own: composites and masses are as many as the lengths ask for.
// CHECK-LABEL: func.func @own_stages(
// CHECK:         cf.assert %{{.*}}, "I2: q.size(0) == k.size(0)"
// CHECK:         cf.assert %{{.*}}, "I7: the length of q <= the length of k"
// CHECK:         cf.assert %{{.*}}, "P5: q.size(0) == rows.size(0)"
// CHECK:         cf.assert %{{.*}}, "P5: rows.size(2) == query blocks"
// CHECK:         cf.assert %{{.*}}, "S4: q.size(2) == the composites of its length"
// CHECK:         cf.assert %{{.*}}, "S4: k.size(2) == the composites of its length"
// CHECK:         cf.assert %{{.*}}, "L6: mass.size(2) == query blocks"
// CHECK:         cf.assert %{{.*}}, "L6: mass.size(3) == key blocks"
func.func @own_stages(%q: tensor<?x4x?x64xbf16>, %rows: tensor<?x4x?x16xi32>, %k: tensor<?x2x?x64xbf16>, %m: tensor<?x4x?x?xf32>, %lq: index, %lk: index)
    -> (tensor<?x4x?x?xf32>, tensor<?x4x?x?xi32>) {
  %mass = unisparse.block_score %q, %k rows(%rows) lengths [%lq, %lk] block <128x128> pooling <8x8, representatives = 16> causal
    : (tensor<?x4x?x64xbf16>, tensor<?x2x?x64xbf16>, index, index, tensor<?x4x?x16xi32>) -> tensor<?x4x?x?xf32>
  %c, %i, %d = unisparse.block_select %m lengths [%lq, %lk] block <128x128> rule <top_p = 0.5> causal
    : (tensor<?x4x?x?xf32>, index, index) -> (tensor<?x4x?xi32>, tensor<?x4x?x?xi32>, tensor<?x4xf32>)
  return %mass, %i : tensor<?x4x?x?xf32>, tensor<?x4x?x?xi32>
}
