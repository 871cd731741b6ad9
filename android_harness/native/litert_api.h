// The part of the LiteRT C API (litert/c/*.h, ai-edge-litert 2.3) that the runner uses, looked up by name at run time.
#pragma once

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace litert {

using Handle = void*;

// LiteRtRankedTensorType. Its layout is part of the ABI; the size is checked because a larger one would overwrite memory.
struct RankedTensorType {
  int32_t element_type;
  uint32_t rank_and_flags;  // rank: the low 7 bits; has_strides: the next
  int32_t dimensions[8];
  uint32_t strides[8];

  uint32_t rank() const { return rank_and_flags & 0x7f; }
};
static_assert(sizeof(RankedTensorType) == 72, "LiteRtRankedTensorType");

constexpr int kHostMemory = 1;      // kLiteRtTensorBufferTypeHostMemory
constexpr int kCpuAccelerator = 1;  // kLiteRtHwAcceleratorCpu
constexpr int kLockRead = 0, kLockWrite = 1;

inline void* Symbol(void* library, const char* name) {
  void* address = dlsym(library, name);
  if (address == nullptr) throw std::runtime_error(std::string("the LiteRT library has no ") + name);
  return address;
}

// Every function of the API that can fail returns 0 when it did not.
struct Api {
  explicit Api(const std::string& path) {
    library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw std::runtime_error(std::string("cannot load LiteRT: ") + dlerror());
#define BLAZEPORT_LOOK_UP(member, name) member = reinterpret_cast<decltype(member)>(Symbol(library, "LiteRt" name))
    BLAZEPORT_LOOK_UP(create_environment, "CreateEnvironment");
    BLAZEPORT_LOOK_UP(create_model, "CreateModelFromFile");
    BLAZEPORT_LOOK_UP(create_options, "CreateOptions");
    BLAZEPORT_LOOK_UP(set_accelerators, "SetOptionsHardwareAccelerators");
    BLAZEPORT_LOOK_UP(create_opaque, "CreateOpaqueOptions");
    BLAZEPORT_LOOK_UP(add_opaque, "AddOpaqueOptions");
    BLAZEPORT_LOOK_UP(create_compiled, "CreateCompiledModel");
    BLAZEPORT_LOOK_UP(fully_accelerated, "CompiledModelIsFullyAccelerated");
    BLAZEPORT_LOOK_UP(get_signature, "GetModelSignature");
    BLAZEPORT_LOOK_UP(num_inputs, "GetNumSignatureInputs");
    BLAZEPORT_LOOK_UP(num_outputs, "GetNumSignatureOutputs");
    BLAZEPORT_LOOK_UP(input_name, "GetSignatureInputName");
    BLAZEPORT_LOOK_UP(output_name, "GetSignatureOutputName");
    BLAZEPORT_LOOK_UP(input_tensor, "GetSignatureInputTensorByIndex");
    BLAZEPORT_LOOK_UP(output_tensor, "GetSignatureOutputTensorByIndex");
    BLAZEPORT_LOOK_UP(tensor_type, "GetRankedTensorType");
    BLAZEPORT_LOOK_UP(input_requirements, "GetCompiledModelInputBufferRequirements");
    BLAZEPORT_LOOK_UP(output_requirements, "GetCompiledModelOutputBufferRequirements");
    BLAZEPORT_LOOK_UP(requirements_size, "GetTensorBufferRequirementsBufferSize");
    BLAZEPORT_LOOK_UP(create_buffer, "CreateManagedTensorBuffer");
    BLAZEPORT_LOOK_UP(packed_size, "GetTensorBufferPackedSize");
    BLAZEPORT_LOOK_UP(lock, "LockTensorBuffer");
    BLAZEPORT_LOOK_UP(unlock, "UnlockTensorBuffer");
    BLAZEPORT_LOOK_UP(run, "RunCompiledModel");
#undef BLAZEPORT_LOOK_UP
  }

  void* library;
  int (*create_environment)(int, const void*, Handle*);
  int (*create_model)(Handle environment, const char* path, Handle*);
  int (*create_options)(Handle*);
  int (*set_accelerators)(Handle options, int);
  int (*create_opaque)(const char* identifier, void* payload, void (*destroy)(void*), Handle*);
  int (*add_opaque)(Handle options, Handle opaque);
  int (*create_compiled)(Handle environment, Handle model, Handle options, Handle*);
  int (*fully_accelerated)(Handle compiled, bool*);
  int (*get_signature)(Handle model, size_t, Handle*);
  int (*num_inputs)(Handle signature, size_t*);
  int (*num_outputs)(Handle signature, size_t*);
  int (*input_name)(Handle signature, size_t, const char**);
  int (*output_name)(Handle signature, size_t, const char**);
  int (*input_tensor)(Handle signature, size_t, Handle*);
  int (*output_tensor)(Handle signature, size_t, Handle*);
  int (*tensor_type)(Handle tensor, RankedTensorType*);
  int (*input_requirements)(Handle compiled, size_t signature, size_t, Handle*);
  int (*output_requirements)(Handle compiled, size_t signature, size_t, Handle*);
  int (*requirements_size)(Handle requirements, size_t*);
  int (*create_buffer)(Handle environment, int kind, const RankedTensorType*, size_t, Handle*);
  int (*packed_size)(Handle buffer, size_t*);
  int (*lock)(Handle buffer, void**, int mode);
  int (*unlock)(Handle buffer);
  int (*run)(Handle compiled, size_t signature, size_t, Handle* inputs, size_t, Handle* outputs);
};

}  // namespace litert
