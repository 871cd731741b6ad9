// One .tflite file of blazeport with the manifest beside it: floats in, floats out by name, whatever the file stores.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "json.h"
#include "litert_api.h"

namespace blazeport {

inline void Check(int status, const char* what) {
  if (status != 0) throw std::runtime_error(std::string(what) + " failed with LiteRT status " + std::to_string(status));
}

class Network {
 public:
  Network(const litert::Api& api, const std::string& path, int num_threads = 1)
      : manifest(ReadJson(path.substr(0, path.rfind('.')) + ".json")),
        folder(path.find('/') == std::string::npos ? "." : path.substr(0, path.rfind('/'))),
        api_(api) {
    litert::Handle environment, model, options, opaque, signature;
    Check(api.create_environment(0, nullptr, &environment), "creating an environment");
    Check(api.create_model(environment, path.c_str(), &model), "loading the model");
    Check(api.create_options(&options), "creating options");
    Check(api.set_accelerators(options, litert::kCpuAccelerator), "choosing the CPU");
    char* threads = strdup(("num_threads = " + std::to_string(num_threads) + "\n").c_str());
    Check(api.create_opaque("xnnpack", threads, std::free, &opaque), "creating CPU options");
    Check(api.add_opaque(options, opaque), "setting the number of threads");
    Check(api.create_compiled(environment, model, options, &compiled_), "compiling the model");
    Check(api.get_signature(model, 0, &signature), "reading the signature");
    size_t count;
    Check(api.num_outputs(signature, &count), "counting outputs");
    inputs_.push_back(MakeTensor(environment, signature, 0, api.input_name, api.input_tensor, api.input_requirements));
    for (size_t i = 0; i < count; ++i) {
      outputs_.push_back(
          MakeTensor(environment, signature, i, api.output_name, api.output_tensor, api.output_requirements));
    }
    Describe(manifest["input"], &inputs_[0]);
    for (const Json& record : manifest["outputs"].items) {
      for (Tensor& output : outputs_) {
        if (output.name == record["name"].text) Describe(record, &output);
      }
    }
  }

  // `image`: height x width x RGB in the range of the manifest. Returns each output's name with its values.
  std::map<std::string, std::vector<float>> Run(const std::vector<float>& image) {
    Tensor& input = inputs_[0];
    void* address;
    Check(api_.lock(input.buffer, &address, litert::kLockWrite), "locking the input");
    Store(image, input, address);
    Check(api_.unlock(input.buffer), "unlocking the input");
    std::vector<litert::Handle> buffers;
    for (const Tensor& output : outputs_) buffers.push_back(output.buffer);
    Check(api_.run(compiled_, 0, 1, &input.buffer, buffers.size(), buffers.data()), "running the model");
    std::map<std::string, std::vector<float>> results;
    for (const Tensor& output : outputs_) {
      Check(api_.lock(output.buffer, &address, litert::kLockRead), "locking an output");
      results[output.name] = Load(output, address);
      Check(api_.unlock(output.buffer), "unlocking an output");
    }
    return results;
  }

  int Side() const { return static_cast<int>(manifest["input"]["shape"].items.at(1).number); }

  const Json manifest;
  const std::string folder;

 private:
  struct Tensor {
    std::string name, dtype;
    litert::Handle buffer = nullptr;
    size_t bytes = 0;
    float scale = 0;  // 0: not quantized; else value = scale * (stored - zero_point)
    int zero_point = 0;
  };

  template <typename Name, typename Get, typename Requirements>
  Tensor MakeTensor(litert::Handle environment, litert::Handle signature, size_t index, Name name, Get get,
                    Requirements requirements) {
    litert::Handle handle, needed;
    litert::RankedTensorType type{};
    const char* text;
    size_t size;
    Tensor tensor;
    Check(name(signature, index, &text), "reading a tensor's name");
    Check(get(signature, index, &handle), "finding a tensor");
    Check(api_.tensor_type(handle, &type), "reading a tensor's type");
    Check(requirements(compiled_, 0, index, &needed), "asking for a buffer's size");
    Check(api_.requirements_size(needed, &size), "reading a buffer's size");
    Check(api_.create_buffer(environment, litert::kHostMemory, &type, size, &tensor.buffer), "creating a buffer");
    Check(api_.packed_size(tensor.buffer, &tensor.bytes), "reading a tensor's size");
    tensor.name = text;
    return tensor;
  }

  static void Describe(const Json& record, Tensor* tensor) {
    tensor->dtype = record["dtype"].text;
    if (!record["scale"].is_null) tensor->scale = static_cast<float>(record["scale"].number);
    if (!record["zero_point"].is_null) tensor->zero_point = static_cast<int>(record["zero_point"].number);
  }

  static void Store(const std::vector<float>& values, const Tensor& tensor, void* address) {
    if (tensor.dtype == "float32") {
      if (values.size() * sizeof(float) != tensor.bytes) throw std::runtime_error("the image has another size");
      std::memcpy(address, values.data(), tensor.bytes);
    } else if (tensor.dtype == "int8") {
      Quantize(values, tensor, static_cast<int8_t*>(address));
    } else if (tensor.dtype == "uint8") {
      Quantize(values, tensor, static_cast<uint8_t*>(address));
    } else {
      throw std::runtime_error("cannot store " + tensor.dtype);
    }
  }

  static std::vector<float> Load(const Tensor& tensor, const void* address) {
    if (tensor.dtype == "float32") {
      const float* begin = static_cast<const float*>(address);
      return {begin, begin + tensor.bytes / sizeof(float)};
    }
    if (tensor.dtype == "int8") return Dequantize(tensor, static_cast<const int8_t*>(address));
    if (tensor.dtype == "uint8") return Dequantize(tensor, static_cast<const uint8_t*>(address));
    throw std::runtime_error("cannot load " + tensor.dtype);
  }

  template <typename T>
  static void Quantize(const std::vector<float>& values, const Tensor& tensor, T* stored) {
    if (values.size() * sizeof(T) != tensor.bytes) throw std::runtime_error("the image has another size");
    const float low = std::numeric_limits<T>::min(), high = std::numeric_limits<T>::max();
    for (size_t i = 0; i < values.size(); ++i) {
      const float value = std::nearbyint(values[i] / tensor.scale) + static_cast<float>(tensor.zero_point);
      stored[i] = static_cast<T>(std::fmin(std::fmax(value, low), high));
    }
  }

  template <typename T>
  static std::vector<float> Dequantize(const Tensor& tensor, const T* stored) {
    std::vector<float> values(tensor.bytes / sizeof(T));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = tensor.scale * (static_cast<float>(stored[i]) - static_cast<float>(tensor.zero_point));
    }
    return values;
  }

  const litert::Api& api_;
  litert::Handle compiled_ = nullptr;
  std::vector<Tensor> inputs_, outputs_;
};

}  // namespace blazeport
