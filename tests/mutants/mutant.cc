#include "tests/mutants/mutant.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace basalt::testing {
namespace {

constexpr std::array<std::string_view, BASALT_MUTANT_COUNT> kNames = {BASALT_MUTANT_NAMES};

int ReadMutant() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread; ends when the check tells getenv from setenv
  const char* name = std::getenv("BASALT_MUTANT");
  if (name == nullptr || *name == '\0') return 0;
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<int>(i) + 1;
  }
  std::fprintf(stderr, "no mutant is named %s\n", name);
  std::_Exit(2);
}

bool ReadCoreChecks() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread; ends when the check tells getenv from setenv
  const char* word = std::getenv("BASALT_CORE_CHECKS");
  return word == nullptr || std::string_view(word) != "off";
}

}  // namespace

int PlantedMutant() {
  static const int kPlanted = ReadMutant();
  return kPlanted;
}

bool CoreChecksAreOn() {
  static const bool kOn = ReadCoreChecks();
  return kOn;
}

}  // namespace basalt::testing
