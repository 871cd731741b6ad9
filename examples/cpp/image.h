// Photos, and the square that a network sees of them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace blazeport {

struct Image {
  int width = 0, height = 0;
  std::vector<uint8_t> rgb;  // row by row
};

// A square in px of the image, turned clockwise by `rotation` radians.
struct Square {
  float x_center, y_center, side, rotation;
};

// The whole image and the black bars that make it a square.
inline Square Letterbox(const Image& image) {
  const float width = static_cast<float>(image.width), height = static_cast<float>(image.height);
  return {width / 2, height / 2, std::max(width, height), 0};
}

// Crops a square to side x side x RGB, pixel 0 as `low` and pixel 255 as `high`. Beyond the image lies its border when
// `repeat_border`, else black. The square's corners become the corners of the crop, and pixels are blended in steps of
// 1/32 px, both as in MediaPipe: other conventions move landmarks by percents.
inline std::vector<float> Crop(const Image& image, const Square& square, int side, float low, float high,
                               bool repeat_border) {
  const double cosine = std::cos(square.rotation), sine = std::sin(square.rotation);
  const auto pixel = [&](int x, int y, int channel) -> int {
    if (repeat_border) {
      x = std::clamp(x, 0, image.width - 1), y = std::clamp(y, 0, image.height - 1);
    } else if (x < 0 || y < 0 || x >= image.width || y >= image.height) {
      return 0;
    }
    return image.rgb[(static_cast<size_t>(y) * image.width + x) * 3 + channel];
  };
  const float step = (high - low) / 255;
  std::vector<float> crop;
  crop.reserve(static_cast<size_t>(side) * side * 3);
  for (int row = 0; row < side; ++row) {
    for (int column = 0; column < side; ++column) {
      const double u = (static_cast<double>(column) / side - 0.5) * square.side;
      const double v = (static_cast<double>(row) / side - 0.5) * square.side;
      const long x = std::lrint((square.x_center + cosine * u - sine * v) * 32);
      const long y = std::lrint((square.y_center + sine * u + cosine * v) * 32);
      const int x0 = static_cast<int>(x >> 5), y0 = static_cast<int>(y >> 5);
      const int right = static_cast<int>(x & 31), below = static_cast<int>(y & 31);
      for (int channel = 0; channel < 3; ++channel) {
        const int top = pixel(x0, y0, channel) * (32 - right) + pixel(x0 + 1, y0, channel) * right;
        const int bottom = pixel(x0, y0 + 1, channel) * (32 - right) + pixel(x0 + 1, y0 + 1, channel) * right;
        const int value = (top * (32 - below) + bottom * below + 512) >> 10;
        crop.push_back(static_cast<float>(value) * step + low);
      }
    }
  }
  return crop;
}

// A binary PPM file (P6) with 8 bits per channel and no comments.
inline Image ReadPpm(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::string kind;
  int maximum = 0;
  Image image;
  stream >> kind >> image.width >> image.height >> maximum;
  stream.get();
  if (!stream || kind != "P6" || maximum != 255 || image.width < 1 || image.height < 1 || image.width > 1 << 15 ||
      image.height > 1 << 15) {
    throw std::runtime_error(path + " is no PPM file (P6, 8 bits)");
  }
  image.rgb.resize(static_cast<size_t>(image.width) * image.height * 3);
  stream.read(reinterpret_cast<char*>(image.rgb.data()), static_cast<std::streamsize>(image.rgb.size()));
  if (!stream) throw std::runtime_error(path + " is cut off");
  return image;
}

}  // namespace blazeport
