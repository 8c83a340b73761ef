// values[label] for vectors of labels. A small table of values stays in registers, where a
// permutation reads it: 2 to 4 times as fast as loads at 16 groups and as fast or faster up to 256.
#pragma once

#include "cpu/labels.h"

namespace equishare::EQUISHARE_ISA {
namespace {

// How many registers a table may take; 0 where no instruction permutes by a variable index.
#ifdef __AVX512F__
constexpr int table_registers = 8;
#elif defined(__AVX2__)
constexpr int table_registers = 4;
#else
constexpr int table_registers = 0;
#endif

// Lane l is lane index[l] of a register, or of two.
#ifdef __AVX512F__
EQUISHARE_INLINE Vec<float> permuted(Vec<float> a, Simd<float>::Bits index) {
  return (Vec<float>)_mm512_maskz_permutexvar_ps(0xffff, (__m512i)index, (__m512)a);
}
EQUISHARE_INLINE Vec<double> permuted(Vec<double> a, Simd<double>::Bits index) {
  return (Vec<double>)_mm512_maskz_permutexvar_pd(0xff, (__m512i)index, (__m512d)a);
}
EQUISHARE_INLINE Vec<float> permuted(Vec<float> a, Vec<float> b, Simd<float>::Bits index) {
  return (Vec<float>)_mm512_permutex2var_ps((__m512)a, (__m512i)index, (__m512)b);
}
EQUISHARE_INLINE Vec<double> permuted(Vec<double> a, Vec<double> b, Simd<double>::Bits index) {
  return (Vec<double>)_mm512_permutex2var_pd((__m512d)a, (__m512i)index, (__m512d)b);
}
#elif defined(__AVX2__)
EQUISHARE_INLINE Vec<float> permuted(Vec<float> a, Simd<float>::Bits index) {
  return (Vec<float>)_mm256_permutevar8x32_ps((__m256)a, (__m256i)index);
}
EQUISHARE_INLINE Vec<double> permuted(Vec<double> a, Simd<double>::Bits index) {
  const Simd<double>::Bits low = index + index, words = low | ((low + 1) << 32);
  return (Vec<double>)_mm256_permutevar8x32_ps((__m256)a, (__m256i)words);
}
#endif

// A table of values in the forms that the tables in registers are loaded from. The array of values
// is the caller's and outlives it.
template <class T>
class Lookup {
 public:
  // Few entries are not worth a table.
  Lookup(const T* values, int64_t groups, int64_t entries) : values_(values), groups_(groups) {
    constexpr int64_t most = table_registers * lanes<T>;
    small_ = groups > 0 && groups <= (planes ? 256 : most) && entries >= 2 * groups;
    if (!small_) return;
    __builtin_memset(padded_, 0, sizeof padded_);
    __builtin_memcpy(padded_, values, sizeof(T) * groups);
    if constexpr (planes) {
      if (groups <= 2 * lanes<T>) return;
      uint32_t bits[256];
      __builtin_memcpy(bits, padded_, sizeof bits);
      for (int g = 0; g < 256; ++g) {
        plane_[0][g] = static_cast<uint16_t>(bits[g]);
        plane_[1][g] = static_cast<uint16_t>(bits[g] >> 16);
      }
    }
  }
  int64_t groups() const { return groups_; }

  // Calls f with the fastest table. One in registers takes labels of a byte, which hold its few
  // groups.
  template <class F>
  void with_table(F f) const;

 private:
#ifdef __AVX512BW__
  static constexpr bool planes = std::is_same_v<T, float>;
#else
  static constexpr bool planes = false;
#endif
  const T* values_;
  int64_t groups_;
  bool small_;
  T padded_[planes ? 256 : table_registers * lanes<T> + 1];
  uint16_t plane_[2][planes ? 256 : 1];
};

template <class T>
struct MemoryTable {
  static constexpr bool in_registers = false;
  const T* values;
};

// Tables in registers never read outside of them: a label out of range gives a wrong value.
template <class T, int R>
struct RegisterTable {
  static constexpr bool in_registers = true;
  Vec<T> entry[R];

  explicit RegisterTable(const T* padded) { __builtin_memcpy(entry, padded, sizeof entry); }

  template <int First, int Count>
  EQUISHARE_MEMBER Vec<T> find(typename Simd<T>::Bits index) const {
    if constexpr (Count == 1) {
      return permuted(entry[First], index);
    } else if constexpr (Count == 2 && EQUISHARE_VECTOR_BYTES == 64) {
      return permuted(entry[First], entry[First + 1], index);
    } else {
      const Vec<T> low = find<First, Count / 2>(index);
      const Vec<T> high = find<First + Count / 2, Count / 2>(index);
      return (index & (lanes<T> * Count / 2)) != 0 ? high : low;
    }
  }

  // The values of 2 * lanes labels.
  EQUISHARE_MEMBER void pair(const uint8_t* labels, Vec<T>& a, Vec<T>& b) const {
    a = find<0, R>(load_index<T>(labels));
    b = find<0, R>(load_index<T>(labels + lanes<T>));
  }
};

#ifdef __AVX512BW__
// 64 * Q values as two planes of 16 bits: one permutation reads 64 entries for 32 labels, where
// one of 32-bit words reads 32 entries for 16.
template <int Q>
struct PlaneTable {
  static constexpr bool in_registers = true;
  typedef uint16_t Plane __attribute__((vector_size(64)));
  Plane low[2 * Q], high[2 * Q];

  PlaneTable(const uint16_t* lows, const uint16_t* highs) {
    __builtin_memcpy(low, lows, sizeof low);
    __builtin_memcpy(high, highs, sizeof high);
  }

  template <int First, int Count>
  EQUISHARE_MEMBER static Plane find(const Plane* plane, Plane index) {
    if constexpr (Count == 1) {
      return (Plane)_mm512_permutex2var_epi16((__m512i)plane[2 * First], (__m512i)index,
                                              (__m512i)plane[2 * First + 1]);
    } else {
      const Plane a = find<First, Count / 2>(plane, index);
      const Plane b = find<First + Count / 2, Count / 2>(plane, index);
      return (index & static_cast<uint16_t>(32 * Count)) != 0 ? b : a;
    }
  }

  EQUISHARE_MEMBER void pair(const uint8_t* labels, Vec<float>& a, Vec<float>& b) const {
    // The order from which unpacking the two planes, 128 bits at a time, gives lanes in order.
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(labels));
    const Plane index = (Plane)_mm512_cvtepu8_epi16(_mm256_permutevar8x32_epi32(bytes, order));
    const __m512i lows = (__m512i)find<0, Q>(low, index);
    const __m512i highs = (__m512i)find<0, Q>(high, index);
    a = (Vec<float>)_mm512_unpacklo_epi16(lows, highs);
    b = (Vec<float>)_mm512_unpackhi_epi16(lows, highs);
  }
};
#endif

template <class T>
template <class F>
void Lookup<T>::with_table(F f) const {
  if constexpr (table_registers > 0) {
    constexpr int64_t width = lanes<T>;
    if (small_ && groups_ <= width) return f(RegisterTable<T, 1>(padded_));
    if (small_ && groups_ <= 2 * width) return f(RegisterTable<T, 2>(padded_));
    if constexpr (planes) {
#ifdef __AVX512BW__
      if (small_ && groups_ <= 64) return f(PlaneTable<1>(plane_[0], plane_[1]));
      if (small_ && groups_ <= 128) return f(PlaneTable<2>(plane_[0], plane_[1]));
      if (small_) return f(PlaneTable<4>(plane_[0], plane_[1]));
#endif
    } else {
      if (small_ && groups_ <= 4 * width) return f(RegisterTable<T, 4>(padded_));
      if constexpr (table_registers == 8)
        if (small_ && groups_ <= 8 * width) return f(RegisterTable<T, 8>(padded_));
    }
  }
  f(MemoryTable<T>{values_});
}

// out[k] = values[labels[k]]; the labels lie in range.
template <class T, class L, class Table>
EQUISHARE_INLINE void look_up(const Table& table, const L* labels, int64_t count, T* out) {
  if constexpr (!Table::in_registers) {
    for (int64_t k = 0; k < count; ++k) out[k] = table.values[labels[k]];
  } else {
    constexpr int64_t step = 2 * lanes<T>;
    Vec<T> a, b;
    int64_t k = 0;
    for (; k + step <= count; k += step) {
      table.pair(labels + k, a, b);
      store(out + k, a, Full{});
      store(out + k + lanes<T>, b, Full{});
    }
    if (k == count) return;
    L rest[step] = {};
    T found[step];
    __builtin_memcpy(rest, labels + k, count - k);
    table.pair(rest, a, b);
    store(found, a, Full{});
    store(found + lanes<T>, b, Full{});
    __builtin_memcpy(out + k, found, sizeof(T) * (count - k));
  }
}

// Calls f with labels as the table takes them: bytes, or from memory any.
template <class Table, class F>
EQUISHARE_INLINE void with_block_for(const Table&, const Labels& labels, int64_t at, int64_t count,
                                     F f) {
  if constexpr (Table::in_registers) {
    uint8_t buffer[label_block];
    f(block_of(labels, at, count, buffer));
  } else {
    with_labels(labels, [&](auto* all) { f(all + at); });
  }
}

}  // namespace
}  // namespace equishare::EQUISHARE_ISA
