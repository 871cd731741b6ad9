// Times one TFLite file with LiteRT on the CPU: raw inputs in, raw outputs and every sample out.
//
//   runner --model FILE --report FILE [--litert libLiteRt.so] [--threads N] [--min-samples N] [--min-seconds S]
//          [--warmup-runs N] [--inputs FILE] [--outputs FILE] [--nonce WORD]
//
// --inputs holds one or more packed inputs one after another; without it the input is seeded noise. --outputs receives,
// for every input, all outputs one after another, taken in this session after the timed runs. The report is JSON,
// written last and renamed: where there is one, the run was complete. Times are in nanoseconds.
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <vector>

#include "litert_api.h"

namespace {

using litert::Handle;

void Check(int status, const char* what) {
  if (status != 0) throw std::runtime_error(std::string(what) + " failed with LiteRT status " + std::to_string(status));
}

int64_t Now(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (unsigned char byte : text) {
    char escaped[8];
    if (byte == '"' || byte == '\\') {
      quoted += '\\';
      quoted += static_cast<char>(byte);
    } else if (byte < 0x20) {
      std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
      quoted += escaped;
    } else {
      quoted += static_cast<char>(byte);
    }
  }
  return quoted + '"';
}

std::string Listed(const std::vector<int64_t>& values) {
  std::string listed = "[";
  for (size_t i = 0; i < values.size(); ++i) listed += (i ? "," : "") + std::to_string(values[i]);
  return listed + "]";
}

// The CRC-32 of zlib.
uint32_t Crc32(const std::vector<char>& bytes) {
  uint32_t table[256];
  for (uint32_t i = 0; i < 256; ++i) {
    table[i] = i;
    for (int bit = 0; bit < 8; ++bit) table[i] = (table[i] >> 1) ^ (table[i] & 1 ? 0xedb88320 : 0);
  }
  uint32_t crc = ~uint32_t{0};
  for (unsigned char byte : bytes) crc = (crc >> 8) ^ table[(crc ^ byte) & 0xff];
  return ~crc;
}

std::vector<char> ReadFile(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

void WriteFile(const std::string& path, const std::string& content) {
  const std::string part = path + ".part";
  std::ofstream stream(part, std::ios::binary | std::ios::trunc);
  stream.write(content.data(), static_cast<std::streamsize>(content.size()));
  stream.close();
  if (!stream || std::rename(part.c_str(), path.c_str()) != 0) throw std::runtime_error("cannot write " + path);
}

// A count that the kernel reports; -1 where it is not readable.
int64_t NumThreadsOfProcess() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("Threads:", 0) == 0) return std::atoll(line.c_str() + 8);
  }
  return -1;
}

std::map<std::string, std::string> Parse(int count, char** words) {
  std::map<std::string, std::string> options = {
      {"--model", ""},       {"--report", ""},     {"--litert", "./libLiteRt.so"}, {"--threads", "1"}, {"--min-samples", "50"},
      {"--min-seconds", "1"}, {"--warmup-runs", "5"}, {"--inputs", ""},              {"--outputs", ""}, {"--nonce", ""}};
  for (int i = 1; i < count; i += 2) {
    if (options.find(words[i]) == options.end()) throw std::runtime_error(std::string("unknown flag ") + words[i]);
    if (i + 1 == count) throw std::runtime_error(std::string("a value is missing after ") + words[i]);
    options[words[i]] = words[i + 1];
  }
  for (const char* needed : {"--model", "--report"}) {
    if (options[needed].empty()) throw std::runtime_error(std::string(needed) + " is needed");
  }
  return options;
}

struct Tensor {
  std::string name;
  litert::RankedTensorType type{};
  size_t bytes = 0;
};

class Session {
 public:
  Session(const litert::Api& api, const std::string& model_path, int num_threads) : api_(api) {
    Handle model, options, opaque, signature;
    Check(api.create_environment(0, nullptr, &environment_), "creating an environment");
    Check(api.create_model(environment_, model_path.c_str(), &model), "loading the model");
    Check(api.create_options(&options), "creating options");
    Check(api.set_accelerators(options, litert::kCpuAccelerator), "choosing the CPU");
    char* payload = strdup(("num_threads = " + std::to_string(num_threads) + "\n").c_str());
    Check(api.create_opaque("xnnpack", payload, std::free, &opaque), "creating CPU options");
    Check(api.add_opaque(options, opaque), "setting the number of threads");
    Check(api.create_compiled(environment_, model, options, &compiled_), "compiling the model");
    Check(api.fully_accelerated(compiled_, &fully_accelerated), "asking for the delegate");
    Check(api.get_signature(model, 0, &signature), "reading the signature");
    size_t num_inputs, num_outputs;
    Check(api.num_inputs(signature, &num_inputs), "counting inputs");
    Check(api.num_outputs(signature, &num_outputs), "counting outputs");
    for (size_t i = 0; i < num_inputs; ++i) {
      Add(signature, i, api.input_name, api.input_tensor, api.input_requirements, &inputs, &input_buffers_);
    }
    for (size_t i = 0; i < num_outputs; ++i) {
      Add(signature, i, api.output_name, api.output_tensor, api.output_requirements, &outputs, &output_buffers_);
    }
    for (const Tensor& input : inputs) input_bytes += input.bytes;
  }

  void Write(const char* packed) {
    for (size_t i = 0; i < inputs.size(); packed += inputs[i++].bytes) {
      void* address;
      Check(api_.lock(input_buffers_[i], &address, litert::kLockWrite), "locking an input");
      std::memcpy(address, packed, inputs[i].bytes);
      Check(api_.unlock(input_buffers_[i]), "unlocking an input");
    }
  }

  int64_t Run() {
    const int64_t start = Now(CLOCK_MONOTONIC);
    const int status = api_.run(compiled_, 0, input_buffers_.size(), input_buffers_.data(), output_buffers_.size(),
                                output_buffers_.data());
    const int64_t end = Now(CLOCK_MONOTONIC);
    Check(status, "running the model");
    return end - start;
  }

  void Read(std::vector<char>* packed) {
    for (size_t i = 0; i < outputs.size(); ++i) {
      void* address;
      Check(api_.lock(output_buffers_[i], &address, litert::kLockRead), "locking an output");
      packed->insert(packed->end(), static_cast<char*>(address), static_cast<char*>(address) + outputs[i].bytes);
      Check(api_.unlock(output_buffers_[i]), "unlocking an output");
    }
  }

  std::vector<Tensor> inputs, outputs;
  size_t input_bytes = 0;
  bool fully_accelerated = false;

 private:
  template <typename Name, typename Get, typename Requirements>
  void Add(Handle signature, size_t index, Name name, Get get, Requirements requirements, std::vector<Tensor>* tensors,
           std::vector<Handle>* buffers) {
    Handle handle, needed, buffer;
    const char* text;
    Tensor tensor;
    size_t size;
    Check(name(signature, index, &text), "reading a tensor's name");
    tensor.name = text;
    Check(get(signature, index, &handle), "finding a tensor");
    Check(api_.tensor_type(handle, &tensor.type), "reading a tensor's type");
    Check(requirements(compiled_, 0, index, &needed), "asking for a buffer's size");
    Check(api_.requirements_size(needed, &size), "reading a buffer's size");
    Check(api_.create_buffer(environment_, litert::kHostMemory, &tensor.type, size, &buffer), "creating a buffer");
    Check(api_.packed_size(buffer, &tensor.bytes), "reading a tensor's size");
    tensors->push_back(tensor);
    buffers->push_back(buffer);
  }

  const litert::Api& api_;
  Handle environment_ = nullptr, compiled_ = nullptr;
  std::vector<Handle> input_buffers_, output_buffers_;
};

std::string Described(const std::vector<Tensor>& tensors) {
  std::ostringstream json;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& tensor = tensors[i];
    const std::vector<int64_t> shape(tensor.type.dimensions, tensor.type.dimensions + tensor.type.rank());
    json << (i ? "," : "") << "{\"name\":" << Quoted(tensor.name) << ",\"element_type\":" << tensor.type.element_type
         << ",\"shape\":" << Listed(shape) << ",\"bytes\":" << tensor.bytes << "}";
  }
  return "[" + json.str() + "]";
}

// Floats in [0, 1); integers of any value.
std::vector<char> Noise(const Session& session) {
  std::vector<char> bytes;
  uint32_t state = 0x9e3779b9;
  for (const Tensor& input : session.inputs) {
    const bool is_float = input.type.element_type == 1;
    for (size_t i = 0; i < input.bytes; i += 4) {
      state ^= state << 13, state ^= state >> 17, state ^= state << 5;
      const float value = static_cast<float>(state >> 8) / 16777216.0f;
      const char* word = is_float ? reinterpret_cast<const char*>(&value) : reinterpret_cast<const char*>(&state);
      bytes.insert(bytes.end(), word, word + std::min<size_t>(4, input.bytes - i));
    }
  }
  return bytes;
}

void Benchmark(std::map<std::string, std::string>& options) {
  const int64_t started = Now(CLOCK_MONOTONIC);
  const litert::Api api(options["--litert"]);
  const int64_t loaded = Now(CLOCK_MONOTONIC);
  Session session(api, options["--model"], std::atoi(options["--threads"].c_str()));
  const int64_t ready = Now(CLOCK_MONOTONIC);

  const std::vector<char> data = options["--inputs"].empty() ? Noise(session) : ReadFile(options["--inputs"]);
  if (data.empty() || data.size() % session.input_bytes != 0) {
    throw std::runtime_error("the inputs are " + std::to_string(data.size()) + " bytes, not a multiple of " +
                             std::to_string(session.input_bytes));
  }
  const size_t num_inputs = data.size() / session.input_bytes;
  size_t next = 0;
  const auto sample = [&] {
    session.Write(data.data() + session.input_bytes * (next++ % num_inputs));
    return session.Run();
  };

  const int64_t first = sample();
  std::vector<int64_t> warmup, samples;
  for (int i = std::atoi(options["--warmup-runs"].c_str()); i > 0; --i) warmup.push_back(sample());
  const size_t min_samples = std::strtoull(options["--min-samples"].c_str(), nullptr, 10);
  const int64_t min_ns = static_cast<int64_t>(std::atof(options["--min-seconds"].c_str()) * 1e9);
  samples.reserve(std::max<size_t>(min_samples, 4096));
  const int64_t cpu_start = Now(CLOCK_PROCESS_CPUTIME_ID), steady_start = Now(CLOCK_MONOTONIC);
  while (samples.size() < min_samples || Now(CLOCK_MONOTONIC) - steady_start < min_ns) samples.push_back(sample());
  const int64_t steady_ns = Now(CLOCK_MONOTONIC) - steady_start, cpu_ns = Now(CLOCK_PROCESS_CPUTIME_ID) - cpu_start;
  const int64_t threads_alive = NumThreadsOfProcess();
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);

  std::vector<char> outputs;
  if (!options["--outputs"].empty()) {
    for (size_t i = 0; i < num_inputs; ++i) {
      session.Write(data.data() + session.input_bytes * i);
      session.Run();
      session.Read(&outputs);
    }
    WriteFile(options["--outputs"], std::string(outputs.begin(), outputs.end()));
  }
  std::ostringstream json;
  json << "{\"runner\":\"blazeport native\",\"report_version\":1,\"nonce\":" << Quoted(options["--nonce"])
       << ",\"threads_asked\":" << std::atoi(options["--threads"].c_str()) << ",\"threads_alive\":" << threads_alive
       << ",\"fully_accelerated\":" << (session.fully_accelerated ? "true" : "false")
       << ",\"load_ns\":" << loaded - started << ",\"init_ns\":" << ready - loaded << ",\"first_ns\":" << first
       << ",\"warmup_ns\":" << Listed(warmup) << ",\"samples_ns\":" << Listed(samples)
       << ",\"steady_wall_ns\":" << steady_ns << ",\"steady_cpu_ns\":" << cpu_ns
       << ",\"peak_rss_bytes\":" << int64_t{usage.ru_maxrss} * 1024 << ",\"num_inputs\":" << num_inputs
       << ",\"inputs\":" << Described(session.inputs) << ",\"outputs\":" << Described(session.outputs)
       << ",\"outputs_bytes\":" << outputs.size() << ",\"outputs_crc32\":" << Crc32(outputs) << "}\n";
  WriteFile(options["--report"], json.str());
}

}  // namespace

int main(int count, char** words) {
  try {
    auto options = Parse(count, words);
    Benchmark(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  // LiteRT's global destructors have nothing to save, and a slow exit is nobody's gain.
  std::fflush(nullptr);
  std::_Exit(0);
}
