// From the outputs of the networks to faces and people, as the manifest's `decoding` says. Positions are in px.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

#include "image.h"
#include "network.h"

namespace blazeport {

using Point = std::array<float, 2>;  // x, y

struct Detection {
  float score;
  Point low, high;               // corners of the box
  std::vector<Point> keypoints;  // in the order of `decoding.keypoints`
};

struct Landmark {
  float x, y, z, visibility, presence;  // z in the unit of x, smaller is nearer
};

struct Person {
  float presence;
  std::vector<Landmark> landmarks;
};

inline float Sigmoid(float value) { return 1 / (1 + std::exp(-value)); }

inline std::vector<Point> ReadAnchors(const std::string& path) {
  const Json record = ReadJson(path);
  std::vector<Point> anchors;
  for (const Json& anchor : record["anchors"].items) {
    anchors.push_back({static_cast<float>(anchor.items.at(0).number), static_cast<float>(anchor.items.at(1).number)});
  }
  return anchors;
}

inline float Overlap(const Detection& a, const Detection& b) {
  const auto area = [](const Point& low, const Point& high) {
    return std::max(high[0] - low[0], 0.0f) * std::max(high[1] - low[1], 0.0f);
  };
  const Point low = {std::max(a.low[0], b.low[0]), std::max(a.low[1], b.low[1])};
  const Point high = {std::min(a.high[0], b.high[0]), std::min(a.high[1], b.high[1])};
  const float common = area(low, high), both = area(a.low, a.high) + area(b.low, b.high) - common;
  return both > 0 ? common / both : 0;
}

// BlazeFace blends detections that overlap the best one, weighted by score, instead of dropping them.
inline std::vector<Detection> Blend(std::vector<Detection> left, float min_overlap) {
  std::stable_sort(left.begin(), left.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
  std::vector<Detection> blended;
  while (!left.empty()) {
    const Detection best = left.front();
    Detection mean{best.score, {0, 0}, {0, 0}, std::vector<Point>(best.keypoints.size(), Point{0, 0})};
    std::vector<Detection> others;
    float total = 0;
    for (const Detection& each : left) {
      if (!(Overlap(best, each) > min_overlap)) {
        others.push_back(each);
        continue;
      }
      total += each.score;
      for (int axis = 0; axis < 2; ++axis) {
        mean.low[axis] += each.score * each.low[axis], mean.high[axis] += each.score * each.high[axis];
        for (size_t i = 0; i < mean.keypoints.size(); ++i) {
          mean.keypoints[i][axis] += each.score * each.keypoints[i][axis];
        }
      }
    }
    if (total == 0) {  // The best has no area and overlaps nothing, not even itself.
      blended.push_back(best);
      break;
    }
    for (int axis = 0; axis < 2; ++axis) {
      mean.low[axis] /= total, mean.high[axis] /= total;
      for (Point& point : mean.keypoints) point[axis] /= total;
    }
    blended.push_back(mean);
    left = others;
  }
  return blended;
}

class Detector {
 public:
  Detector(const litert::Api& api, const std::string& path)
      : network_(api, path),
        decoding_(network_.manifest["decoding"]),
        anchors_(ReadAnchors(network_.folder + "/" + decoding_["anchors"].text)) {}

  // Best first.
  std::vector<Detection> Detect(const Image& image) {
    const Square seen = Letterbox(image);
    const float low = Number(decoding_["input_range"].items.at(0)), high = Number(decoding_["input_range"].items.at(1));
    const auto outputs = network_.Run(Crop(image, seen, network_.Side(), low, high, false));
    const std::vector<float>&boxes = outputs.at("boxes"), &scores = outputs.at("scores");
    const size_t num_keypoints = decoding_["keypoints"].items.size(), row = 4 + 2 * num_keypoints;
    if (scores.size() != anchors_.size() || boxes.size() != anchors_.size() * row) {
      throw std::runtime_error("the anchors are those of another network");
    }
    const float side = static_cast<float>(network_.Side());
    const Point corner = {seen.x_center - seen.side / 2, seen.y_center - seen.side / 2};
    std::vector<Detection> found;
    for (size_t i = 0; i < anchors_.size(); ++i) {
      const float score = Sigmoid(scores[i]);
      if (!(score >= Number(decoding_["min_score"]))) continue;
      // Boxes hold dx dy w h and then x y of each keypoint, in px of the input and relative to the anchor.
      const float* values = &boxes[i * row];
      if (!(values[2] >= 0 && values[3] >= 0)) continue;
      const auto place = [&](float offset, int axis) {
        return corner[axis] + (offset / side + anchors_[i][axis]) * seen.side;
      };
      Detection detection{score, {}, {}, {}};
      for (int axis = 0; axis < 2; ++axis) {
        detection.low[axis] = place(values[axis] - values[axis + 2] / 2, axis);
        detection.high[axis] = place(values[axis] + values[axis + 2] / 2, axis);
      }
      for (size_t k = 2; k < 2 + num_keypoints; ++k) {
        detection.keypoints.push_back({place(values[2 * k], 0), place(values[2 * k + 1], 1)});
      }
      found.push_back(detection);
    }
    return Blend(found, Number(decoding_["nms_iou"]));
  }

  // A pose detector's: the square in which the landmark network looks for this person, upright.
  std::optional<Square> Region(const Detection& person) const {
    const Point center = person.keypoints.at(Index(0)), rim = person.keypoints.at(Index(1));
    const float dx = rim[0] - center[0], dy = rim[1] - center[1], radius = std::hypot(dx, dy);
    if (!(radius > 0) || !std::isfinite(radius)) return std::nullopt;
    return Square{center[0], center[1], 2 * radius * Number(decoding_["roi_scale"]), std::atan2(dx, -dy)};
  }

 private:
  static float Number(const Json& value) { return static_cast<float>(value.number); }

  size_t Index(size_t which) const { return static_cast<size_t>(decoding_["roi_points"].items.at(which).number); }

  Network network_;
  const Json& decoding_;
  std::vector<Point> anchors_;
};

class Landmarker {
 public:
  Landmarker(const litert::Api& api, const std::string& path)
      : network_(api, path), decoding_(network_.manifest["decoding"]) {}

  // The person in a region; nothing where there is none. A file with a heatmap is used without it.
  std::optional<Person> Find(const Image& image, const Square& region) {
    const float low = static_cast<float>(decoding_["input_range"].items.at(0).number);
    const float high = static_cast<float>(decoding_["input_range"].items.at(1).number);
    const auto outputs = network_.Run(Crop(image, region, network_.Side(), low, high, true));
    Person person{outputs.at("presence").at(0), {}};
    if (!(person.presence > decoding_["min_presence"].number)) return std::nullopt;
    const std::vector<float>& values = outputs.at("landmarks");
    const float side = static_cast<float>(network_.Side());
    const float cosine = std::cos(region.rotation), sine = std::sin(region.rotation);
    for (size_t i = 0; i < static_cast<size_t>(decoding_["num_body_landmarks"].number); ++i) {
      // x y z in px of the input, then visibility and presence as logits.
      const float* value = &values.at(5 * i);
      const float u = (value[0] / side - 0.5f) * region.side, v = (value[1] / side - 0.5f) * region.side;
      person.landmarks.push_back({region.x_center + cosine * u - sine * v, region.y_center + sine * u + cosine * v,
                                  value[2] / side * region.side, Sigmoid(value[3]), Sigmoid(value[4])});
    }
    return person;
  }

 private:
  Network network_;
  const Json& decoding_;
};

}  // namespace blazeport
