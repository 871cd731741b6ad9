// Prints what is found in a photo as JSON, positions in px.
//
//   on_device LIBRARY face DETECTOR.tflite PHOTO.ppm
//   on_device LIBRARY pose DETECTOR.tflite LANDMARKS.tflite PHOTO.ppm
//
// LIBRARY is libLiteRt.so: of the ai-edge-litert package on a computer, of the LiteRT release on a phone. Beside each
// .tflite file lie the manifest and the anchors that blazeport wrote with it.
#include <cstdio>

#include "decode.h"

namespace {

void PrintPoints(const char* name, const std::vector<blazeport::Point>& points) {
  std::printf(", \"%s\": [", name);
  for (size_t i = 0; i < points.size(); ++i) std::printf("%s[%.9g, %.9g]", i ? ", " : "", points[i][0], points[i][1]);
  std::printf("]");
}

void PrintFaces(const std::vector<blazeport::Detection>& faces) {
  std::printf("[");
  for (size_t i = 0; i < faces.size(); ++i) {
    std::printf("%s{\"score\": %.9g", i ? ",\n " : "", faces[i].score);
    PrintPoints("box", {faces[i].low, faces[i].high});
    PrintPoints("keypoints", faces[i].keypoints);
    std::printf("}");
  }
  std::printf("]\n");
}

void PrintPerson(const std::optional<blazeport::Person>& person) {
  if (!person) {
    std::printf("null\n");
    return;
  }
  std::printf("{\"presence\": %.9g, \"landmarks\": [", person->presence);
  for (size_t i = 0; i < person->landmarks.size(); ++i) {
    const blazeport::Landmark& mark = person->landmarks[i];
    std::printf("%s[%.9g, %.9g, %.9g, %.9g, %.9g]", i ? ",\n " : "", mark.x, mark.y, mark.z, mark.visibility,
                mark.presence);
  }
  std::printf("]}\n");
}

void Run(const std::vector<std::string>& words) {
  const bool is_face = words.size() == 5 && words[2] == "face", is_pose = words.size() == 6 && words[2] == "pose";
  if (!is_face && !is_pose) {
    throw std::runtime_error("usage: on_device LIBRARY face DETECTOR PHOTO | LIBRARY pose DETECTOR LANDMARKS PHOTO");
  }
  const litert::Api api(words[1]);
  const blazeport::Image photo = blazeport::ReadPpm(words.back());
  blazeport::Detector detector(api, words[3]);
  const std::vector<blazeport::Detection> found = detector.Detect(photo);
  if (is_face) {
    PrintFaces(found);
    return;
  }
  const std::optional<blazeport::Square> region = found.empty() ? std::nullopt : detector.Region(found[0]);
  PrintPerson(region ? blazeport::Landmarker(api, words[4]).Find(photo, *region) : std::nullopt);
}

}  // namespace

int main(int count, char** words) {
  try {
    Run({words, words + count});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  std::fflush(nullptr);
  std::_Exit(0);  // LiteRT's global destructors have nothing to save.
}
