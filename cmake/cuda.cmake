# equishare._cuda, for the architectures of cuda_compiler.cmake, which has tried the compiler.
set(CMAKE_CUDA_ARCHITECTURES ${cuda_architectures})
enable_language(CUDA)
# Words for several, in numbers: the module tells which devices have code in it.
if(CMAKE_CUDA_ARCHITECTURES MATCHES "^(all|all-major)$")
  string(TOUPPER "${CMAKE_CUDA_ARCHITECTURES}" word)
  string(REPLACE "-" "_" word "${word}")
  set(numbers ${CMAKE_CUDA_ARCHITECTURES_${word}})
  list(POP_BACK numbers newest)
  list(TRANSFORM numbers APPEND "-real")
  set(CMAKE_CUDA_ARCHITECTURES ${numbers} ${newest})
elseif(CMAKE_CUDA_ARCHITECTURES STREQUAL "native")
  set(CMAKE_CUDA_ARCHITECTURES ${CMAKE_CUDA_ARCHITECTURES_NATIVE})
endif()
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)

add_library(kernels_cuda OBJECT
  csrc/cuda/hard_sharing.cu csrc/cuda/penalties.cu csrc/cuda/relax.cu csrc/cuda/shared_linear.cu
  csrc/cuda/soft_sharing.cu)
target_include_directories(kernels_cuda PRIVATE csrc)
target_compile_options(kernels_cuda PRIVATE -Xcompiler=-Wall,-Wextra)
set_target_properties(kernels_cuda PROPERTIES CUDA_VISIBILITY_PRESET hidden)

list(JOIN CMAKE_CUDA_ARCHITECTURES " " architectures)
pybind11_add_module(_cuda MODULE csrc/bind_cuda.cpp)
target_compile_options(_cuda PRIVATE -Wall -Wextra)
target_compile_definitions(_cuda PRIVATE EQUISHARE_CUDA_ARCHITECTURES="${architectures}")
target_include_directories(_cuda PRIVATE csrc)
target_link_libraries(_cuda PRIVATE kernels_cuda)
# Linked in, so that the module needs no CUDA toolkit where it runs, and loads where there is no driver.
set_target_properties(_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static LINKER_LANGUAGE CUDA)

install(TARGETS _cuda LIBRARY DESTINATION equishare)
