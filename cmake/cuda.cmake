# equishare._cuda, for the architectures of cuda_compiler.cmake, which has tried the compiler.
set(CMAKE_CUDA_ARCHITECTURES ${cuda_architectures})
enable_language(CUDA)
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)

add_library(kernels_cuda OBJECT
  csrc/cuda/hard_sharing.cu csrc/cuda/penalties.cu csrc/cuda/relax.cu csrc/cuda/shared_linear.cu
  csrc/cuda/soft_sharing.cu)
target_include_directories(kernels_cuda PRIVATE csrc)
target_compile_options(kernels_cuda PRIVATE -Xcompiler=-Wall,-Wextra)
set_target_properties(kernels_cuda PROPERTIES CUDA_VISIBILITY_PRESET hidden)

# The module tells in numbers for which devices it has code, also where a word stands for several.
set(architectures ${CMAKE_CUDA_ARCHITECTURES})
if(architectures STREQUAL "native")
  set(architectures ${CMAKE_CUDA_ARCHITECTURES_NATIVE})
elseif(architectures MATCHES "^all")
  execute_process(COMMAND "${CMAKE_CUDA_COMPILER}" --list-gpu-code OUTPUT_VARIABLE known)
  string(REGEX MATCHALL "[0-9]+" known "${known}")
  list(SORT known COMPARE NATURAL)
  if(architectures STREQUAL "all-major")
    list(GET known 0 least)
    list(FILTER known INCLUDE REGEX "0$")
    list(PREPEND known ${least})
    list(REMOVE_DUPLICATES known)
  endif()
  list(POP_BACK known newest)
  list(TRANSFORM known APPEND "-real")
  set(architectures ${known} ${newest})
endif()
list(JOIN architectures " " architectures)
pybind11_add_module(_cuda MODULE csrc/bind_cuda.cpp)
target_compile_options(_cuda PRIVATE -Wall -Wextra)
target_compile_definitions(_cuda PRIVATE EQUISHARE_CUDA_ARCHITECTURES="${architectures}")
target_include_directories(_cuda PRIVATE csrc)
target_link_libraries(_cuda PRIVATE kernels_cuda)
# Linked in, so that the module needs no CUDA toolkit where it runs, and loads where there is no driver.
set_target_properties(_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static LINKER_LANGUAGE CUDA)

install(TARGETS _cuda LIBRARY DESTINATION equishare)
