# Tries whether there is what the kernels are built with: headers of Python, and a C++ compiler with C++20, vector types
# and OpenMP.
#
# Sets kernels_trouble: empty, or why they cannot be built, as the rest of a sentence.
include(CheckCXXSourceCompiles)
set(kernels_trouble "")
find_package(Python COMPONENTS Interpreter Development.Module)
if(NOT Python_Development.Module_FOUND)
  set(kernels_trouble "the headers of Python are missing (on Debian: apt install python3-dev)")
  return()
endif()
find_package(OpenMP COMPONENTS CXX)
if(NOT OpenMP_CXX_FOUND)
  set(kernels_trouble "${CMAKE_CXX_COMPILER} has no OpenMP")
  return()
endif()
set(CMAKE_REQUIRED_LIBRARIES OpenMP::OpenMP_CXX)
check_cxx_source_compiles([[
#include <concepts>
#include <omp.h>
typedef float Four __attribute__((vector_size(16)));
template <class T>
concept Struct = requires(T t) { t.a; };
struct One { int a, b; };
template <std::floating_point T>
T first(T x) { Four v = {float(x), 2, 3, 4}; v = v < 2 ? v + v : v; return v[0]; }
int main() {
  static_assert(Struct<One>);
  One one = {.a = omp_get_max_threads(), .b = 0};
  return first(1.0f) > 3 || one.a < 0;
}
]] KERNELS_CAN_BE_BUILT)
unset(CMAKE_REQUIRED_LIBRARIES)
if(NOT KERNELS_CAN_BE_BUILT)
  set(kernels_trouble "${CMAKE_CXX_COMPILER} lacks C++20, vector types or a working OpenMP (GCC 11, Clang 14 or newer)")
endif()
