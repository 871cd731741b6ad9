// Reads JSON. An app that has a JSON library uses that instead.
#pragma once

#include <cctype>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace blazeport {

struct Json {
  bool is_null = false;
  double number = 0;  // of true 1
  std::string text;
  std::vector<Json> items;
  std::map<std::string, Json> members;

  const Json& operator[](const std::string& name) const {
    const auto found = members.find(name);
    if (found == members.end()) throw std::runtime_error("the JSON has no \"" + name + "\"");
    return found->second;
  }
};

class JsonReader {
 public:
  explicit JsonReader(std::string text) : text_(std::move(text)) {}

  Json Read() {
    Json value = Value(0);
    if (Next() != '\0') Fail();
    return value;
  }

 private:
  static constexpr int kMaxDepth = 64;

  [[noreturn]] void Fail() { throw std::runtime_error("not JSON at byte " + std::to_string(at_)); }

  char Next() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  void Take(char expected) {
    if (Next() != expected) Fail();
    ++at_;
  }

  bool Took(char expected) { return Next() == expected && ++at_; }

  Json Value(int depth) {
    Json value;
    if (depth > kMaxDepth) Fail();
    if (Took('{')) {
      if (Took('}')) return value;
      do {
        if (Next() != '"') Fail();
        const std::string name = Text();
        Take(':');
        value.members[name] = Value(depth + 1);
      } while (Took(','));
      Take('}');
    } else if (Took('[')) {
      if (Took(']')) return value;
      do value.items.push_back(Value(depth + 1));
      while (Took(','));
      Take(']');
    } else if (Next() == '"') {
      value.text = Text();
    } else if (text_.compare(at_, 4, "null") == 0) {
      at_ += 4, value.is_null = true;
    } else if (text_.compare(at_, 4, "true") == 0) {
      at_ += 4, value.number = 1;
    } else if (text_.compare(at_, 5, "false") == 0) {
      at_ += 5;
    } else {
      const char* begin = text_.c_str() + at_;
      char* end;
      value.number = std::strtod(begin, &end);
      if (end == begin) Fail();
      at_ += static_cast<size_t>(end - begin);
    }
    return value;
  }

  // Escapes are kept as they stand: nothing that is read here has any.
  std::string Text() {
    const size_t begin = ++at_;
    while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
    if (at_ >= text_.size()) Fail();
    return text_.substr(begin, at_++ - begin);
  }

  std::string text_;
  size_t at_ = 0;
};

inline Json ReadJson(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot read " + path);
  try {
    return JsonReader({std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()}).Read();
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(path + ": " + error.what());
  }
}

}  // namespace blazeport
