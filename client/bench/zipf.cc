#include "client/bench/zipf.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace basalt::bench {
namespace {

constexpr uint64_t kExactTerms = 10'000;

// Uniform in [0, 1): the 53 bits that a double holds.
double Fraction(base::Random& random) {
  return static_cast<double>(random.Next() >> 11) * 0x1.0p-53;
}

}  // namespace

double Zeta(uint64_t count, double constant) {
  const uint64_t exact = std::min(count, kExactTerms);
  double sum = 0;
  // The small terms first: they would be lost beside a large sum.
  for (uint64_t i = exact; i > 0; --i) sum += std::pow(static_cast<double>(i), -constant);
  if (count == exact) return sum;
  const auto from = static_cast<double>(exact);
  const auto to = static_cast<double>(count);
  const auto power = [&](double x, double exponent) { return std::pow(x, exponent); };
  const double integral = (power(to, 1 - constant) - power(from, 1 - constant)) / (1 - constant);
  const double ends = (power(to, -constant) - power(from, -constant)) / 2;
  const double slopes = constant * (power(from, -constant - 1) - power(to, -constant - 1)) / 12;
  return sum + integral + ends + slopes;
}

Zipf::Zipf(uint64_t count, double constant)
    : count_(count), constant_(constant), zeta_(Zeta(count, constant)) {
  BASALT_CHECK(count > 0 && constant > 0 && constant < 1);
  Derive();
}

void Zipf::Grow() {
  ++count_;
  zeta_ += std::pow(static_cast<double>(count_), -constant_);
  Derive();
}

void Zipf::Derive() {
  const double first_two = 1 + std::pow(2.0, -constant_);
  eta_ = (1 - std::pow(2.0 / static_cast<double>(count_), 1 - constant_)) / (1 - first_two / zeta_);
}

uint64_t Zipf::Next(base::Random& random) const {
  const double fraction = Fraction(random);
  const double place = fraction * zeta_;
  if (place < 1 || count_ == 1) return 0;
  if (place < 1 + std::pow(0.5, constant_) || count_ == 2) return 1;
  const double rank =
      static_cast<double>(count_) * std::pow(eta_ * fraction - eta_ + 1, 1 / (1 - constant_));
  return std::min(static_cast<uint64_t>(rank), count_ - 1);
}

uint64_t Scatter(uint64_t rank) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (int byte = 0; byte < 8; ++byte) {
    hash = (hash ^ (rank & 0xff)) * 0x100000001b3ULL;
    rank >>= 8;
  }
  return hash;
}

}  // namespace basalt::bench
