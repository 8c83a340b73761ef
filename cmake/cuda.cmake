# equishare._cuda: machine code for Turing, Ampere and Hopper, and PTX of the last for what is newer.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 90)
endif()
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

string(REGEX REPLACE "-(real|virtual)" "" architectures "${CMAKE_CUDA_ARCHITECTURES}")
string(REPLACE ";" ", " architectures "${architectures}")
pybind11_add_module(_cuda MODULE csrc/bind_cuda.cpp)
target_compile_options(_cuda PRIVATE -Wall -Wextra)
target_compile_definitions(_cuda PRIVATE EQUISHARE_CUDA_ARCHITECTURES="${architectures}")
target_include_directories(_cuda PRIVATE csrc)
target_link_libraries(_cuda PRIVATE kernels_cuda)
# Linked in, so that the module needs no CUDA toolkit where it runs, and loads where there is no driver.
set_target_properties(_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static LINKER_LANGUAGE CUDA)

install(TARGETS _cuda LIBRARY DESTINATION equishare)
