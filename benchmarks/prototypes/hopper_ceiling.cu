// Hopper block-sparse attention: a hand-written ceiling probe.
//
// This file is NOT compiler output and is not shipped as a kernel. It answers one question by measurement: which schedule brings
// block-sparse prefill attention to this chip's bound? What it taught is written down in ../NOTES.md, for a compiler to emit.
//
// Problem: B = 1, head_dim 128, bf16, 128x128 blocks, causal with query length = key length, a multiple of 128. The selection is
// counts [H, R] and ascending indices [H, R, J], int32. A row's last index may be its diagonal block, which is masked; every other
// index lies left of it. Every row selects at least one block.
//
// Build:  nvcc -O3 -std=c++20 -gencode arch=compute_90a,code=sm_90a -Xcompiler -fPIC -shared -cudart static -Xptxas -v \
//              -o hopper_ceiling.so hopper_ceiling.cu
// Run:    python3 hopper_ceiling.py --lib ./hopper_ceiling.so
#include <cstdint>
#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>

namespace ceiling {

constexpr int kBlock = 128;                  // query rows and keys of one block
constexpr int kDim = 128;                    // head dimension
constexpr int kRowsPerGroup = 64;            // query rows of one consumer warpgroup: wgmma's M
constexpr int kConsumerGroups = 2;           // two warpgroups share every K and V tile
constexpr int kThreads = 128 * (1 + kConsumerGroups);
constexpr int kTileBytes = kBlock * kDim * 2;                 // one K or V tile, and one Q tile: 32 KB
constexpr int kHalfQBytes = kTileBytes / kConsumerGroups;     // the rows of one warpgroup
constexpr int kPanelBytes = kBlock * 128;    // 128B swizzle: a tile is two panels of 64 columns, 128 bytes a row
constexpr int kHalfQPanelBytes = kRowsPerGroup * 128;

// When the two consumer warpgroups hand each other the tensor cores: never, or each after it has issued S and PV.
enum class PingPong { Off, On };
// How a row's reference maximum follows its scores. Checked: every block's maxima are compared with the reference. Speculative: the
// exponentials are taken at once, and only if their sums overflow a bound does the block ask for its maxima.
enum class Reference { Checked, Speculative };
// Leaves one stage out, to place the bound. Results are wrong by design for all but Whole.
enum class Probe { Whole, NoSoftmax, NoLoads };

// A schedule is a type; variants override single members of this one.
struct Base {
  static constexpr bool queryInRegisters = true;   // Q as register operand of S = QK^T: less shared-memory reading, one more stage
  static constexpr int stages = 3;                 // pairs of a K and a V tile, 64 KB each
  static constexpr PingPong pingPong = PingPong::Off;
  static constexpr Reference reference = Reference::Speculative;
  static constexpr int chunk = 8;                  // exponentials tied together, see Consumer::exponentials; 0 leaves them to ptxas
  static constexpr int cluster = 1;                // 2: two heads with the same selection share every K and V tile by multicast
  static constexpr Probe probe = Probe::Whole;
  static constexpr bool timeline = false;          // sum SM cycles between marks of the consumer's loop (costs a few per cent)
};

struct Params {
  const int *counts;        // [H, R]
  const int *indices;       // [H, R, J]
  float *lse;               // [H, N], natural logarithm
  int *workCounter;         // [2]: next item, CTAs that have finished; both return to 0
  long long *clocks;        // [grid, 18] SM cycles, nanoseconds, then 8 timeline sums of each warpgroup; or null
  int heads, kvHeads, rows, maxSelected;
  int sectionKvHeads;       // KV heads whose query rows are interleaved, longest first
  float scale;
  unsigned long long kvHint, qHint;   // L2 eviction policies of the bulk copies
};

// ---- PTX wrappers -------------------------------------------------------------------------------------------------------------

__device__ __forceinline__ uint32_t smemAddress(const void *p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

__device__ __forceinline__ void barrierInit(uint32_t bar, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(bar), "r"(count));
}
__device__ __forceinline__ void barrierArrive(uint32_t bar) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(bar) : "memory");
}
__device__ __forceinline__ void barrierExpect(uint32_t bar, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar), "r"(bytes) : "memory");
}
__device__ __forceinline__ void barrierWait(uint32_t bar, uint32_t parity) {
  asm volatile("{\n.reg .pred done;\nretry:\n"
               "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
               "@!done bra retry;\n}" ::"r"(bar), "r"(parity) : "memory");
}

__device__ __forceinline__ bool barrierTest(uint32_t bar, uint32_t parity) {
  uint32_t done;
  asm volatile("{\n.reg .pred done;\nmbarrier.test_wait.parity.shared::cta.b64 done, [%1], %2;\nselp.u32 %0, 1, 0, done;\n}"
               : "=r"(done) : "r"(bar), "r"(parity) : "memory");
  return done;
}

__device__ __forceinline__ void tmaLoad(uint32_t dst, const CUtensorMap *map, uint32_t bar, int row, unsigned long long hint) {
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint"
               " [%0], [%1, {%3, %4, %3}], [%2], %5;" ::"r"(dst), "l"(map), "r"(bar), "r"(0), "r"(row), "l"(hint) : "memory");
}
__device__ __forceinline__ void tmaStore(const CUtensorMap *map, uint32_t src, int row, unsigned long long hint) {
  asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.bulk_group.L2::cache_hint [%0, {%2, %3, %2}], [%1], %4;" ::"l"(map),
               "r"(src), "r"(0), "r"(row), "l"(hint) : "memory");
}

// One 64-column panel of a tile into both CTAs of a cluster, at the same place in each, signalling each one's barrier.
__device__ __forceinline__ void tmaMulticastPanel(uint32_t dst, const CUtensorMap *map, uint32_t bar, int row, int panel, unsigned long long hint) {
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster.L2::cache_hint"
               " [%0], [%1, {%3, %4, %5}], [%2], %6, %7;" ::"r"(dst), "l"(map), "r"(bar), "r"(0), "r"(row), "r"(panel), "h"(uint16_t(3)),
               "l"(hint) : "memory");
}
__device__ __forceinline__ int clusterRank() {
  int r;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
  return r;
}
__device__ __forceinline__ void clusterSync() {
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
__device__ __forceinline__ void barrierArriveAt(uint32_t bar, int rank) {
  asm volatile("{\n.reg .b32 remote;\nmapa.shared::cluster.u32 remote, %0, %1;\n"
               "mbarrier.arrive.shared::cluster.b64 _, [remote];\n}" ::"r"(bar), "r"(rank) : "memory");
}

__device__ __forceinline__ void namedSync(int id, int threads) { asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory"); }
__device__ __forceinline__ void namedArrive(int id, int threads) { asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory"); }

__device__ __forceinline__ void wgmmaFence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmmaCommit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N> __device__ __forceinline__ void wgmmaWait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory"); }

// Register arithmetic does not depend on wait_group in data flow; this pins it behind the wait and costs no instruction.
template <int N> __device__ __forceinline__ void pin(float (&d)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

// Hides a value's origin, so that what is computed from it is computed here: addresses hoisted out of the block loop would be kept in
// registers that it does not have.
__device__ __forceinline__ int opaque(int x) {
  asm volatile("" : "+r"(x));
  return x;
}

// A register operand is read until its group has completed, which data flow does not show either.
template <int N> __device__ __forceinline__ void keep(const uint32_t (&a)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) asm volatile("" ::"r"(a[i]) : "memory");
}

// Shared-memory matrix descriptor (128-byte swizzle):
//   bits  0-13  start address >> 4          bits 16-29  leading byte offset >> 4
//   bits 32-45  stride byte offset >> 4     bits 49-51  base offset, 0 (tiles are 1024-byte aligned)
//   bits 62-63  1 = 128-byte swizzle
// K-major (Q, K): stride = 1024 (next 8 rows); leading is not used (1). A k step of 16 advances the address by 32 bytes.
// MN-major (V):   leading = 16384 (next 64 columns of D), stride = 1024 (next 8 keys). A k step of 16 keys advances it by 2048.
// The high word is a constant of the layout; a k step adds to the low word alone, so one uniform add makes each descriptor.
constexpr uint32_t kDescriptorHigh = (1u << 30) | (1024 >> 4);
constexpr uint32_t kLeadingK = 1u << 16, kLeadingMN = uint32_t(kPanelBytes >> 4) << 16;
// The start address field has 14 bits. In a cluster a shared address carries the CTA's rank in its upper bits, which must not leak into
// the leading offset beside it.
__device__ __forceinline__ uint32_t descriptorAddress(uint32_t address) { return (address & 0x3ffff) >> 4; }
__device__ __forceinline__ uint64_t descriptor(uint32_t low) { return uint64_t(kDescriptorHigh) << 32 | low; }

#define ACC_OPERANDS \
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63 "
#define ACC_REGISTERS(d) \
  "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), \
  "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), \
  "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), \
  "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), \
  "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), \
  "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), \
  "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]), \
  "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])

// d[64x128] = (accumulate ? d : 0) + a[64x16] b[128x16]^T, both from shared memory, both K-major.
__device__ __forceinline__ void wgmmaSS(float (&d)[64], uint64_t a, uint64_t b, int accumulate) {
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
               "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" ACC_OPERANDS "}, %64, %65, p, 1, 1, 0, 0;\n}"
               : ACC_REGISTERS(d)
               : "l"(a), "l"(b), "r"(accumulate));
}
// The same with A from registers; TransposeB reads B as MN-major.
template <int TransposeB>
__device__ __forceinline__ void wgmmaRS(float (&d)[64], const uint32_t *a, uint64_t b, int accumulate) {
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
               "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" ACC_OPERANDS "}, {%64, %65, %66, %67}, %68, p, 1, 1, %70;\n}"
               : ACC_REGISTERS(d)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate), "n"(TransposeB));
}

__device__ __forceinline__ float exp2Fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float log2Fast(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ uint32_t packBf16(float lo, float hi) {
  uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
  return r;
}
__device__ __forceinline__ float quadMax(float x) {
  x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
  return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}
__device__ __forceinline__ float quadSum(float x) {
  x += __shfl_xor_sync(~0u, x, 1);
  return x + __shfl_xor_sync(~0u, x, 2);
}

// ---- Shared memory ------------------------------------------------------------------------------------------------------------

struct alignas(16) RowInfo {
  int row;     // first query row of the block, over all heads; it addresses Q, O and LSE
  int count;   // selected blocks; -1 ends the stream
  int masked;  // the first block of the row is the diagonal
  int pad;
};

template <class S> struct Shared {
  // With Q in registers its buffer is only a landing place, and O leaves through the same bytes. With Q in shared memory the tile
  // lives as long as its row, so the next row's Q needs a second buffer for the stream of blocks never to pause.
  static constexpr int queryBuffers = S::queryInRegisters ? 1 : 2;
  alignas(1024) char query[queryBuffers][kTileBytes];
  alignas(1024) char ring[S::stages][2][kTileBytes];   // [][0] K, [][1] V
  alignas(8) uint64_t full[2][S::stages], empty[2][S::stages], queryFull[queryBuffers], queryEmpty[queryBuffers];
  RowInfo info[queryBuffers];
};

// A position in a ring of n buffers, with the parity its barrier completes next.
template <int N> struct Cursor {
  int slot = 0;
  uint32_t parity = 0;
  __device__ __forceinline__ void advance() {
    if constexpr (N == 1) {
      parity ^= 1;
    } else if (++slot == N) {
      slot = 0;
      parity ^= 1;
    }
  }
};

// ---- Producer: one warp walks the work items and their block lists --------------------------------------------------------------

template <class S>
__device__ __forceinline__ void produce(Shared<S> &sm, const Params &p, const CUtensorMap *mapQ, const CUtensorMap *mapK,
                                        const CUtensorMap *mapV) {
  const int lane = threadIdx.x & 31;
  // A cluster takes two neighbouring heads as one item, and items in fixed turns, so that its CTAs agree without talking.
  const int rank = S::cluster > 1 ? clusterRank() : 0;
  const int group = p.heads / p.kvHeads, total = p.heads * p.rows / S::cluster;
  Cursor<S::stages> ring[2];   // K, V
  Cursor<Shared<S>::queryBuffers> query;
  int tilesLoaded = 0;

  auto load = [&](int which, int row) {
    Cursor<S::stages> &at = ring[which];
    if (lane == 0) {
      const uint32_t bar = smemAddress(&sm.full[which][at.slot]);
      barrierWait(smemAddress(&sm.empty[which][at.slot]), at.parity ^ 1);
      if (S::probe == Probe::NoLoads && tilesLoaded >= 2 * S::stages) {
        barrierArrive(bar);
      } else {
        barrierExpect(bar, kTileBytes);
        const CUtensorMap *map = which ? mapV : mapK;
        if (S::cluster == 1) tmaLoad(smemAddress(sm.ring[at.slot][which]), map, bar, row, p.kvHint);
        else tmaMulticastPanel(smemAddress(sm.ring[at.slot][which]) + rank * kPanelBytes, map, bar, row, rank, p.kvHint);
      }
      ++tilesLoaded;
    }
    at.advance();
  };
  struct Item {
    int index;          // head * R + row: addresses counts, lists, and rows of Q
    int row, kvBlock;   // row within the head; first block of its KV head
    int count, firstIndices;
  };
  // Items run through a section of KV heads, longest rows first, all heads of the section side by side.
  auto fetch = [&](int item) {
    Item w{0, 0, 0, 0, 0};
    if (item < total) {
      const int width = p.sectionKvHeads * group / S::cluster, perSection = width * p.rows;
      const int section = item / perSection, rest = item - section * perSection;
      const int head = (section * width + rest % width) * S::cluster + rank;
      w.row = p.rows - 1 - rest / width;
      w.index = head * p.rows + w.row;
      w.kvBlock = (head / group) * p.rows;
      w.count = p.counts[w.index];
      if (lane < p.maxSelected) w.firstIndices = p.indices[int64_t(w.index) * p.maxSelected + lane];
    }
    return w;
  };

  int item = blockIdx.x / S::cluster;
  Item work = fetch(item);
  int pendingV = -1;   // V of the block whose K went last: the stream is K0 K1 V0 K2 V1 ..., across rows too
  while (item < total) {
    if (S::cluster > 1) item += gridDim.x / S::cluster;
    else item = lane == 0 ? int(gridDim.x) + atomicAdd(p.workCounter, 1) : 0;
    const int *list = p.indices + int64_t(work.index) * p.maxSelected;
    const int last = work.count <= 32 ? __shfl_sync(~0u, work.firstIndices, work.count - 1) : list[work.count - 1];

    if (lane == 0) {
      const uint32_t bar = smemAddress(&sm.queryFull[query.slot]);
      barrierWait(smemAddress(&sm.queryEmpty[query.slot]), query.parity ^ 1);
      sm.info[query.slot] = RowInfo{work.index * kBlock, work.count, last == work.row, 0};
      barrierExpect(bar, kTileBytes);
      for (int g = 0; g < kConsumerGroups; ++g)
        tmaLoad(smemAddress(sm.query[query.slot]) + g * kHalfQBytes, mapQ, bar, work.index * kBlock + g * kRowsPerGroup, p.qHint);
    }
    query.advance();

    // The diagonal goes first: its mask meets an empty pipeline, and every row's maximum is finite from then on.
    load(0, (work.kvBlock + last) * kBlock);
    if (pendingV >= 0) load(1, pendingV);
    pendingV = (work.kvBlock + last) * kBlock;
    if (S::cluster == 1) item = __shfl_sync(~0u, item, 0);
    const Item next = fetch(item);   // the next list is on its way while this row runs
    int chunk = 0, nextChunk = work.firstIndices;
    for (int j = 0; j < work.count - 1; ++j) {
      if ((j & 31) == 0) {
        chunk = nextChunk;
        if (j + 32 + lane < work.count) nextChunk = list[j + 32 + lane];
      }
      const int block = (work.kvBlock + __shfl_sync(~0u, chunk, j & 31)) * kBlock;
      load(0, block);
      load(1, pendingV);
      pendingV = block;
    }
    work = next;
  }
  if (pendingV >= 0) load(1, pendingV);
  if (lane == 0) {
    barrierWait(smemAddress(&sm.queryEmpty[query.slot]), query.parity ^ 1);
    sm.info[query.slot].count = -1;
    barrierArrive(smemAddress(&sm.queryFull[query.slot]));
    if (atomicAdd(p.workCounter + 1, 1) == int(gridDim.x) - 1) p.workCounter[0] = p.workCounter[1] = 0;
  }
}

// ---- Consumer: 64 query rows of every row block ---------------------------------------------------------------------------------

enum NamedBarrier { kTurn = 1 /* +group: this group's turn at the tensor cores */, kGroup = 3 /* +group: its 128 threads */ };

template <class S> struct Consumer {
  Shared<S> &sm;
  const Params &p;
  const CUtensorMap *mapO;
  const int group, warp, lane;
  float s[64], o[64];
  uint32_t probs[32];
  uint32_t q[S::queryInRegisters ? 32 : 1];
  float offset[2], sum[2]; // per row of this thread: reference maximum in units of log2, this thread's part of the normaliser
  float alpha[2];          // factor that brings O to the new reference
  const float scaleLog2;
  bool moved;
  RowInfo row;
  Cursor<S::stages> now, behind;   // the pair of this block's K, and of the previous block's V
  bool ready = false;              // both have arrived
  bool accumulate = false;         // the previous block was not the first of its row
  Cursor<Shared<S>::queryBuffers> query;
  int querySlot = 0;               // buffer of the current row
  unsigned markSum[8] = {}, markTime;

  __device__ __forceinline__ Consumer(Shared<S> &sm, const Params &p, const CUtensorMap *mapO, int group, int warp, int lane)
      : sm(sm), p(p), mapO(mapO), group(group), warp(warp), lane(lane), scaleLog2(p.scale * 1.4426950408889634f) {}

  // Address of the 8x8 matrices this lane names to ldmatrix / stmatrix, for columns 16t..16t+15 of the warp's 16 rows.
  __device__ __forceinline__ uint32_t tileAddress(int slot, int lane, int t) const {
    const int matrix = lane >> 3, r = warp * 16 + (lane & 7) + (matrix & 1) * 8, chunk = 2 * t + (matrix >> 1);
    return smemAddress(sm.query[slot]) + group * kHalfQBytes + (chunk >> 3) * kHalfQPanelBytes + r * 128 + (((chunk & 7) ^ (r & 7)) << 4);
  }

  // Adds the cycles since the previous mark to the interval that ends at mark i.
  __device__ __forceinline__ void mark(int i) {
    if constexpr (S::timeline) {
      unsigned now;
      asm volatile("mov.u32 %0, %%clock;" : "=r"(now)::"memory");
      if (i > 0) markSum[i - 1] += now - markTime;
      markTime = now;
    }
  }

  // Hands the buffer back once the store engine has read O out of it.
  __device__ __forceinline__ void releaseQuery(int slot) {
    if (warp == 0 && lane == 0) {
      asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
      barrierArrive(smemAddress(&sm.queryEmpty[slot]));
    }
  }

  // False at the end of the stream.
  __device__ __forceinline__ bool nextRow(bool first) {
    querySlot = query.slot;
    barrierWait(smemAddress(&sm.queryFull[query.slot]), query.parity);
    row = sm.info[query.slot];
    query.advance();
    if (row.count < 0) return false;
    if constexpr (S::queryInRegisters) {
      const int here = opaque(lane);
#pragma unroll
      for (int t = 0; t < 8; ++t)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(q[4 * t]), "=r"(q[4 * t + 1]), "=r"(q[4 * t + 2]), "=r"(q[4 * t + 3])
                     : "r"(tileAddress(querySlot, here, t)) : "memory");
      if (first) {   // no O is waiting to leave through this buffer, so it is free at once
        namedSync(kGroup + group, 128);
        if (warp == 0 && lane == 0) barrierArrive(smemAddress(&sm.queryEmpty[querySlot]));
      }
    }
    return true;
  }

  __device__ __forceinline__ void waitTile(int which, const Cursor<S::stages> &at) {
    barrierWait(smemAddress(&sm.full[which][at.slot]), at.parity);
  }
  __device__ __forceinline__ void releaseTile(int which, int slot) {
    if (S::cluster == 1) {
      if (lane == 0) barrierArrive(smemAddress(&sm.empty[which][slot]));
    } else if (lane < S::cluster) {
      barrierArriveAt(smemAddress(&sm.empty[which][slot]), lane);
    }
  }

  __device__ __forceinline__ void issueScores(int slot) {
    const uint32_t k = descriptorAddress(smemAddress(sm.ring[slot][0])) | kLeadingK;
    const uint32_t a = descriptorAddress(smemAddress(sm.query[querySlot]) + group * kHalfQBytes) | kLeadingK;
#pragma unroll
    for (int t = 0; t < 8; ++t) {
      const uint64_t b = descriptor(k + ((t >> 2) * kPanelBytes + (t & 3) * 32 >> 4));
      if constexpr (S::queryInRegisters) wgmmaRS<0>(s, q + 4 * t, b, t > 0);
      else wgmmaSS(s, descriptor(a + ((t >> 2) * kHalfQPanelBytes + (t & 3) * 32 >> 4)), b, t > 0);
    }
    wgmmaCommit();
  }
  __device__ __forceinline__ void issueOutput(int slot, bool accumulate) {
    const uint32_t v = descriptorAddress(smemAddress(sm.ring[slot][1])) | kLeadingMN;
#pragma unroll
    for (int t = 0; t < 8; ++t) wgmmaRS<1>(o, probs + 4 * t, descriptor(v + t * (2048 >> 4)), t > 0 || accumulate);
    wgmmaCommit();
  }

  // Accumulator layout: thread holds rows lane/4 and lane/4 + 8 of its warp's 16; s[4n..4n+1] and s[4n+2..4n+3] are columns
  // 8n + 2*(lane%4) + {0, 1} of the two rows.
  __device__ __forceinline__ void maskDiagonal() {
    const int here = opaque(lane), r = group * kRowsPerGroup + warp * 16 + (here >> 2), c = 2 * (here & 3);
#pragma unroll
    for (int i = 0; i < 64; ++i)
      if (c + (i >> 2) * 8 + (i & 1) > r + ((i >> 1) & 1) * 8) s[i] = -INFINITY;
  }
  // The largest score of each row among this thread's columns. Four chains a row: fewer would run at the latency of the maximum.
  __device__ __forceinline__ void ownMaxima(float (&own)[2]) {
    float part[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) part[i] = fmaxf(s[i], s[i + 8]);
#pragma unroll
    for (int i = 16; i < 64; ++i) part[i & 7] = fmaxf(part[i & 7], s[i]);
#pragma unroll
    for (int r = 0; r < 2; ++r) own[r] = fmaxf(fmaxf(part[2 * r], part[2 * r + 1]), fmaxf(part[2 * r + 4], part[2 * r + 5]));
  }
  // The reference of a row is the true maximum of its first block.
  __device__ __forceinline__ void firstReference(bool masked) {
    if (S::probe == Probe::NoSoftmax) {
      offset[0] = offset[1] = 0.f;
      return;
    }
    if (masked) maskDiagonal();
    float own[2];
    ownMaxima(own);
#pragma unroll
    for (int r = 0; r < 2; ++r) offset[r] = quadMax(own[r]) * scaleLog2;
  }
  // A row keeps its reference until a score exceeds it by 2^8: exact, since the normaliser uses the same reference, and P and O are
  // floating-point. The question needs no exchange between threads, and is almost always answered no.
  __device__ __forceinline__ void updateReference() {
    if (S::probe == Probe::NoSoftmax) {
      moved = false;
      return;
    }
    float own[2];
    ownMaxima(own);
    moved = __any_sync(~0u, own[0] * scaleLog2 > offset[0] + 8.f || own[1] * scaleLog2 > offset[1] + 8.f);
    if (moved) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const float block = quadMax(own[r]) * scaleLog2, old = offset[r];
        if (block > old + 8.f) offset[r] = block;
        alpha[r] = exp2Fast(old - offset[r]);
        sum[r] *= alpha[r];
      }
    }
  }

  // 2^(s - reference), added up and converted: the accumulator layout of S is the A-operand layout of PV, so no thread needs another's
  // values. S itself stays, for takeExponentials to ask for it again. ptxas likes to issue all multiply-adds, then all exponentials
  // (one in 8 cycles), then all sums; a multiply-add by zero ties every chunk to the sums of two chunks before, so that the scheduler
  // fills the cycles between exponentials. Where the sums overflow, the tie makes NaNs, and the block is taken again.
  __device__ __forceinline__ void exponentials(uint32_t (&dst)[32], float (&blockSum)[2]) {
    blockSum[0] = blockSum[1] = 0.f;
    if (S::probe != Probe::NoSoftmax) {
      constexpr int chunk = S::chunk ? S::chunk : 8;
      float part[4] = {0.f, 0.f, 0.f, 0.f}, tie[64 / chunk];
#pragma unroll
      for (int c = 0; c < 64 / chunk; ++c) {
        float scale = scaleLog2, x[chunk];
        if (S::chunk && c >= 2) asm volatile("fma.rn.f32 %0, %1, 0f00000000, %2;" : "=f"(scale) : "f"(tie[c - 2]), "f"(scaleLog2));
#pragma unroll
        for (int i = 0; i < chunk; ++i) x[i] = exp2Fast(fmaf(s[chunk * c + i], scale, -offset[(i >> 1) & 1]));
#pragma unroll
        for (int i = 0; i < chunk; ++i) part[i & 3] += x[i];
#pragma unroll
        for (int i = 0; i < chunk / 2; ++i) dst[chunk / 2 * c + i] = packBf16(x[2 * i], x[2 * i + 1]);
        tie[c] = part[c & 3];
      }
      blockSum[0] = part[0] + part[1];
      blockSum[1] = part[2] + part[3];
    } else {
#pragma unroll
      for (int i = 0; i < 32; ++i) dst[i] = packBf16(s[2 * i], s[2 * i + 1]);
    }
  }

  __device__ __forceinline__ void rescaleOutput() {
    if (!moved) return;
#pragma unroll
    for (int i = 0; i < 64; ++i) o[i] *= alpha[(i >> 1) & 1];
  }

  __device__ __forceinline__ void storeRow(int doneRow, int slot, const float (&doneOffset)[2], const float (&doneSum)[2]) {
    const int here = opaque(lane);
    float inverse[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float total = quadSum(doneSum[r]);
      asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse[r]) : "f"(total));
      if ((lane & 3) == 0)
        p.lse[doneRow + group * kRowsPerGroup + warp * 16 + (here >> 2) + r * 8] = (doneOffset[r] + log2Fast(total)) * 0.6931471805599453f;
    }
#pragma unroll
    for (int t = 0; t < 8; ++t) {
      uint32_t w[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) w[i] = packBf16(o[8 * t + 2 * i] * inverse[i & 1], o[8 * t + 2 * i + 1] * inverse[i & 1]);
      asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(tileAddress(slot, here, t)), "r"(w[0]),
                   "r"(w[1]), "r"(w[2]), "r"(w[3]) : "memory");
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    namedSync(kGroup + group, 128);
    if (warp == 0 && lane == 0) {
      tmaStore(mapO, smemAddress(sm.query[slot]) + group * kHalfQBytes, doneRow + group * kRowsPerGroup, p.qHint);
      asm volatile("cp.async.bulk.commit_group;" ::: "memory");
    }
  }

  // P and the normaliser. Speculative: no maximum is asked for first. A reference only has to keep 2^(s - reference) in range; P, O
  // and the normaliser are floating-point and share it, so a low one costs no precision. A block whose scores exceed it by 2^64
  // (44 nats) is rare; the scores still stand in their registers, so the reference moves, O is rescaled and P taken again.
  template <bool NewRow> __device__ __forceinline__ void takeExponentials() {
    float blockSum[2];
    exponentials(probs, blockSum);
    if (!NewRow && S::reference == Reference::Speculative && S::probe == Probe::Whole) {
      const bool fits = blockSum[0] < 0x1p64f && blockSum[1] < 0x1p64f;   // false for NaN too
      if (__builtin_expect(!__all_sync(~0u, fits), 0)) {
        updateReference();
        rescaleOutput();
        exponentials(probs, blockSum);
      }
    }
    sum[0] += blockSum[0];
    sum[1] += blockSum[1];
  }

  // One block: its scores, the previous block's output, its P. A new row closes the one before it.
  template <bool NewRow> __device__ __forceinline__ void step(int doneRow, int doneSlot) {
    // Both tiles are awaited ahead of the turn, so that nothing stands between the two products.
    mark(0);
    if (!ready) {
      waitTile(0, now);
      waitTile(1, behind);
    }
    mark(1);
    if (S::pingPong == PingPong::On) namedSync(kTurn + group, 256);
    mark(2);
    wgmmaFence();
    issueScores(now.slot);
    mark(3);
    issueOutput(behind.slot, accumulate);
    if (S::pingPong == PingPong::On) namedArrive(kTurn + 1 - group, 256);
    mark(4);

    wgmmaWait<1>();
    pin(s);
    releaseTile(0, now.slot);
    mark(5);
    const float doneOffset[2] = {offset[0], offset[1]}, doneSum[2] = {sum[0], sum[1]};
    if constexpr (NewRow) {
      firstReference(row.masked);
      sum[0] = sum[1] = 0.f;
    } else if constexpr (S::reference == Reference::Checked) {
      updateReference();
    }
    // Asking for the next block's tiles here, with PV and the exponentials still to come, takes the latency of the question out of
    // the loop's critical path. (Asked after the wait below, ptxas sinks it to the end of the loop.)
    const int slotV = behind.slot;
    behind = now;
    now.advance();
    ready = barrierTest(smemAddress(&sm.full[0][now.slot]), now.parity) & barrierTest(smemAddress(&sm.full[1][behind.slot]), behind.parity);
    mark(6);
    wgmmaWait<0>();
    pin(o);
    keep(probs);
    releaseTile(1, slotV);
    if constexpr (NewRow) storeRow(doneRow, doneSlot, doneOffset, doneSum);
    else if constexpr (S::reference == Reference::Checked) rescaleOutput();
    accumulate = !NewRow;

    mark(7);
    takeExponentials<NewRow>();
    if constexpr (NewRow) releaseQuery(doneSlot);
    if constexpr (S::timeline) keep(probs);
    mark(8);
  }

  // One stream of blocks over all rows of this CTA: the first scores of a row are issued before the last PV of the row before it,
  // so neither the start nor the end of a row drains the tensor cores. Masks, true maxima and stores live at the row boundary only,
  // whose step is a second copy: branches in the steady step would cut it into pieces that ptxas cannot schedule across.
  __device__ __forceinline__ void run() {
    if (!nextRow(true)) return;
    waitTile(0, now);
    wgmmaFence();
    issueScores(now.slot);
    wgmmaWait<0>();
    pin(s);
    releaseTile(0, now.slot);
    firstReference(row.masked);
    exponentials(probs, sum);
    behind = now;
    now.advance();
#pragma unroll
    for (int i = 0; i < 64; ++i) o[i] = 0.f;   // never read (the first PV overwrites), but undefined registers cost a wgmma fence
    if (S::pingPong == PingPong::On && group == 1) namedArrive(kTurn + 0, 256);

    for (;;) {
      for (int left = row.count - 1; left > 0; --left) step<false>(0, 0);
      const int doneRow = row.row, doneSlot = querySlot;
      if (nextRow(false)) {
        step<true>(doneRow, doneSlot);
        continue;
      }
      waitTile(1, behind);
      wgmmaFence();
      issueOutput(behind.slot, accumulate);
      wgmmaWait<0>();
      pin(o);
      storeRow(doneRow, doneSlot, offset, sum);
      break;
    }
    if (warp == 0 && lane == 0) asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
  }
};

template <class S>
__global__ void __launch_bounds__(kThreads, 1)
    attention(const __grid_constant__ CUtensorMap mapQ, const __grid_constant__ CUtensorMap mapK, const __grid_constant__ CUtensorMap mapV,
              const __grid_constant__ CUtensorMap mapO, const Params p) {
  extern __shared__ __align__(1024) char bytes[];
  auto &sm = *reinterpret_cast<Shared<S> *>(bytes);
  const int warpgroup = __shfl_sync(~0u, threadIdx.x / 128, 0), warp = __shfl_sync(~0u, threadIdx.x / 32 % 4, 0);
  if (threadIdx.x == 0) {
    for (int i = 0; i < S::stages; ++i) {
      for (int which = 0; which < 2; ++which) {
        barrierInit(smemAddress(&sm.full[which][i]), 1);
        barrierInit(smemAddress(&sm.empty[which][i]), 4 * kConsumerGroups * S::cluster);   // one arrival per consumer warp
      }
    }
    for (int i = 0; i < Shared<S>::queryBuffers; ++i) {
      barrierInit(smemAddress(&sm.queryFull[i]), 1);
      barrierInit(smemAddress(&sm.queryEmpty[i]), kConsumerGroups);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  if (S::cluster > 1) clusterSync();

  // 128 * 40 + 256 * 232 registers fit the file of 65536.
  if (warpgroup == 0) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (warp == 0) produce(sm, p, &mapQ, &mapK, &mapV);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    long long cycles = 0, nanoseconds = 0;
    if (p.clocks) {
      cycles = clock64();
      asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(nanoseconds));
    }
    Consumer<S> consumer(sm, p, &mapO, warpgroup - 1, warp, threadIdx.x & 31);
    consumer.run();
    if (S::timeline && p.clocks && threadIdx.x % 128 == 0)
      for (int i = 0; i < 8; ++i) p.clocks[18 * blockIdx.x + 2 + 8 * (warpgroup - 1) + i] = consumer.markSum[i];
    if (p.clocks && threadIdx.x == 128) {
      long long end;
      asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(end));
      p.clocks[18 * blockIdx.x] = clock64() - cycles;
      p.clocks[18 * blockIdx.x + 1] = end - nanoseconds;
    }
  }
  if (S::cluster > 1) {   // the other CTA may still write here
    __syncwarp();
    clusterSync();
  }
}

// ---- Host -----------------------------------------------------------------------------------------------------------------------

// {64 columns, rows, 2 panels}: one bulk copy brings both 64-column panels of a tile, each in the 128-byte swizzle.
bool encode(CUtensorMap *map, const void *base, int64_t rows, int boxRows, int boxPanels) {
  static auto fn = [] {
    void *f = nullptr;
    cudaDriverEntryPointQueryResult found;
    cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &f, 12000, cudaEnableDefault, &found);
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(f);
  }();
  const cuuint64_t sizes[3] = {64, cuuint64_t(rows), 2}, strides[2] = {kDim * 2, 128};
  const cuuint32_t box[3] = {64, cuuint32_t(boxRows), cuuint32_t(boxPanels)}, steps[3] = {1, 1, 1};
  return fn && fn(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, const_cast<void *>(base), sizes, strides, box, steps,
                  CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                  CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

struct Problem {
  void *q, *k, *v, *o;
  int64_t queryRows, keyRows;   // over all heads
};

template <class S> int launch(const Problem &x, const Params &p, int grid, cudaStream_t stream) {
  static const cudaError_t configured =
      cudaFuncSetAttribute(attention<S>, cudaFuncAttributeMaxDynamicSharedMemorySize, sizeof(Shared<S>));
  if (configured != cudaSuccess) return configured;
  CUtensorMap q, k, v, o;
  const int panels = S::cluster == 1 ? 2 : 1;
  if (!encode(&q, x.q, x.queryRows, kRowsPerGroup, 2) || !encode(&k, x.k, x.keyRows, kBlock, panels) ||
      !encode(&v, x.v, x.keyRows, kBlock, panels) || !encode(&o, x.o, x.queryRows, kRowsPerGroup, 2))
    return -1;
  cudaLaunchAttribute attribute;
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {S::cluster, 1, 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = grid / S::cluster * S::cluster;
  config.blockDim = kThreads;
  config.dynamicSmemBytes = sizeof(Shared<S>);
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, attention<S>, q, k, v, o, p);
}

using Launch = int (*)(const Problem &, const Params &, int, cudaStream_t);
struct Variant {
  const char *name;
  Launch launch;
};

struct TakeTurns : Base { static constexpr PingPong pingPong = PingPong::On; };
struct ChunkOff : Base { static constexpr int chunk = 0; };
struct ChunkFour : Base { static constexpr int chunk = 4; };
struct Checked : Base { static constexpr Reference reference = Reference::Checked; };
struct QuerySmem : Base { static constexpr bool queryInRegisters = false; static constexpr int stages = 2; };
struct TwoStages : Base { static constexpr int stages = 2; };
struct Multicast : Base { static constexpr int cluster = 2; };
struct NoSoftmax : Base { static constexpr Probe probe = Probe::NoSoftmax; };
struct NoLoads : Base { static constexpr Probe probe = Probe::NoLoads; };
struct Timeline : Base { static constexpr bool timeline = true; };

#define VARIANT(S) {#S, launch<S>}
constexpr Variant kVariants[] = {
    VARIANT(Base), VARIANT(TakeTurns), VARIANT(ChunkOff), VARIANT(ChunkFour), VARIANT(Checked), VARIANT(QuerySmem),
    VARIANT(TwoStages), VARIANT(Multicast), VARIANT(NoSoftmax), VARIANT(NoLoads), VARIANT(Timeline),
};

}  // namespace ceiling

using namespace ceiling;

extern "C" int hopper_ceiling_variants() { return sizeof(kVariants) / sizeof(kVariants[0]); }
extern "C" const char *hopper_ceiling_name(int variant) { return kVariants[variant].name; }

// Device pointers throughout; q, o [H, N, 128], k, v [Hkv, N, 128], contiguous. Returns a cudaError_t, or -1 for a failed encoding.
extern "C" int hopper_ceiling_run(int variant, void *q, void *k, void *v, void *o, float *lse, const int *counts, const int *indices,
                                  int *workCounter, long long *clocks, int heads, int kvHeads, int n, int maxSelected,
                                  int sectionKvHeads, float scale, unsigned long long kvHint, unsigned long long qHint, int grid,
                                  void *stream) {
  const Params p{counts, indices, lse, workCounter, clocks, heads, kvHeads, n / kBlock, maxSelected, sectionKvHeads, scale, kvHint, qHint};
  return kVariants[variant].launch(Problem{q, k, v, o, int64_t(heads) * n, int64_t(kvHeads) * n}, p, grid, static_cast<cudaStream_t>(stream));
}
