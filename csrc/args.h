// Arguments of the kernels: pointers and sizes, every array contiguous in the layout beside it.
//
//   B batch (all leading dimensions), K rows, G groups, C columns
//
// Kernels assume valid input; Python checks it. The caller owns every array. The split of the work
// depends on sizes and `threads` alone, and partial sums are added in a fixed order, so equal
// arguments give equal bits.
#pragma once

#include <cstdint>

namespace equishare {

struct Shape {
  int64_t batch, rows, groups, columns;
  int threads;
};

// What a tensor stores and what a kernel computes with: halves are stored and read as such, and
// every sum, exponential and gradient is formed in float.
struct bfloat16 {
  uint16_t bits;
};
struct float16 {
  uint16_t bits;
};

template <class S>
struct ArithmeticOf {
  using type = float;
};
template <>
struct ArithmeticOf<double> {
  using type = double;
};
template <class S>
using Arithmetic = typename ArithmeticOf<S>::type;

template <class S>
struct SoftGatherArgs {
  Shape shape;
  const S* logits;       // (B, K, G)
  const S* values;       // (B, G, C)
  S* theta;              // (B, K, C) out
  Arithmetic<S>* stats;  // (B, K, 2) out: pivot of the row, 1 / sum of exp(logit - pivot)
};

template <class S>
struct SoftGatherBackwardArgs {
  Shape shape;
  const S* logits;             // (B, K, G)
  const S* values;             // (B, G, C)
  const S* cotangent;          // (B, K, C) u
  const S* theta;              // (B, K, C)
  const Arithmetic<S>* stats;  // (B, K, 2)
  S* grad_logits;              // (B, K, G) out
  S* grad_values;              // (B, G, C) out, or null: sum_k A[k,g] u[k,c]
};

template <class S>
struct SoftScatterArgs {
  Shape shape;
  const S* logits;  // (B, K, G)
  const S* x;       // (B, K, C)
  S* out;           // (B, G, C) out
};

// The penalties of A, and in the same pass theta = A values if values are given.
template <class T>
struct PenaltiesArgs {
  Shape shape;      // one column
  const T* logits;  // (B, K, G)
  const T* values;  // (B, G) or null
  T* theta;         // (B, K) out, or null as values
  T* entropy;       // (B) out: mean over k of -sum_g A log A
  T* column_norm;   // (B) out: sum_g |A[:, g]|
  T* stats;  // (B, K, 3) out: largest logit, log of the sum of exp(logit - largest), row entropy
  T* norms;  // (B, G) out: |A[:, g]|
};

template <class T>
struct PenaltiesBackwardArgs {
  Shape shape;                  // one column
  const T* logits;              // (B, K, G)
  const T* values;              // (B, G) or null
  const T* cotangent;           // (B, K) u, or null as values
  const T* theta;               // (B, K) or null as values
  const T* stats;               // (B, K, 3)
  const T* norms;               // (B, G)
  const T* entropy_weight;      // (B) cotangents
  const T* column_norm_weight;  // (B)
  T* grad_logits;               // (B, K, G) out
  T* grad_values;               // (B, G) out, or null as values
};

// u4, of shared_linear alone and on the CPU: two labels a byte, the first in its low half; a row of
// labels fills whole bytes.
enum class LabelType { u8, i16, i32, i64, u4 };

struct Labels {
  const void* data;  // (B, K), or (K) shared by the whole batch when stride is 0
  LabelType type;
  int64_t stride;  // entries from one problem's labels to the next: K or 0
};

template <class S>
struct HardArgs {
  Shape shape;
  Labels labels;
  const S* in;  // hard_gather: (B, G, C) values;  hard_scatter: (B, K, C) x
  S* out;       // hard_gather: (B, K, C);         hard_scatter: (B, G, C)
};

// Kernels check the labels that they read and return whether all lie in 0..G-1.
struct LabelRange {
  int64_t least, greatest;  // of no labels: 0, -1
};

// y[n,o] = bias[o] + sum_i x[n,i] values[o / stride, label[o,i]], on the CPU; stride 0, and
// elsewhere: values[label[o,i]]
template <class S>
struct SharedLinearArgs {
  int64_t samples, outputs, inputs, groups;  // N, O, I, G
  int threads;
  Labels labels;    // (O, I); their stride: outputs that share a codebook, 0 for all
  const S* x;       // (N, I)
  const S* values;  // (ceil(O / stride), G)
  const S* bias;    // (O) or null
  S* y;             // (N, O) out
};

template <class S>
struct SharedLinearBackwardArgs {
  int64_t samples, outputs, inputs, groups;
  int threads;
  Labels labels;       // (O, I)
  const S* x;          // (N, I)
  const S* values;     // (G)
  const S* cotangent;  // (N, O) u
  S* grad_x;           // (N, I) out, or null
  S* grad_values;      // (G) out, or null
};

// theta = A psi, psi = diag(1 / colsum A) A^T x, and the penalties of A. A group that no row uses
// has psi = 0.
template <class T>
struct RelaxArgs {
  Shape shape;      // columns unused
  const T* logits;  // (B, K, G)
  const T* x;       // (B, K)
  T* theta;         // (B, K) out
  T* psi;           // (B, G) out
  T* colsum;        // (B, G) out
  T* entropy;       // (B) out
  T* column_norm;   // (B) out
  T* workspace;     // relax_workspace(shape) entries, aligned to 64 bytes; for backward
};

// Cotangents of a relaxation. One of two things happens to the gradient: it is written, or it is
// spent on one Adam step and never stored.
template <class T>
struct RelaxBackwardArgs {
  Shape shape;
  T* logits;                    // (B, K, G) those of forward; stepped in place if moments is given
  const T* x;                   // (B, K)
  const T* theta_weight;        // (B, K) u = dU / dtheta
  const T* entropy_weight;      // (B)
  const T* column_norm_weight;  // (B)
  const T* workspace;           // as forward left it
  T* grad_logits;               // (B, K, G) out; unused if moments is given
  T* moments;                   // relax_moments(shape) entries, zero before the first step, or null
  T rate, beta1, beta2, epsilon;
  T correction1, correction2;  // 1 - beta^step
};

// e^x, or log x of x >= 1, of each number.
template <class T>
struct FunctionArgs {
  int64_t count;
  const T* in;
  T* out;
};

}  // namespace equishare
