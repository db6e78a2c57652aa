#include <charconv>

#include "basalt/request.h"
#include "base/slot.h"

namespace basalt {
namespace {

constexpr std::string_view kBegin = "rq1-";
constexpr size_t kChecksumDigits = 4;

std::string Hex(uint64_t number, size_t digits) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(digits, '0');
  for (size_t i = digits; i > 0; --i, number >>= 4) text[i - 1] = kDigits[number & 15];
  return text;
}

std::string ChecksumOf(std::string_view text) {
  return Hex(base::Crc16Xmodem(text), kChecksumDigits);
}

}  // namespace

std::string RequestToken::ToString() const {
  std::string text(kBegin);
  text += Hex(slot, 4) + "-" + Hex(sequence, 4) + "-" + Hex(issued, 16) + "-";
  text += Hex(client_high, 16) + Hex(client_low, 16) + "-";
  return text + ChecksumOf(text);
}

// What it makes of the digits is written down anew and held against the text: any other text of
// the same numbers is none.
std::optional<RequestToken> RequestToken::Parse(std::string_view text) {
  RequestToken token;
  if (text.size() != token.ToString().size()) return std::nullopt;
  const auto take = [&text](size_t at, size_t digits, auto& number) {
    const char* const begin = text.data() + at;
    std::from_chars(begin, begin + digits, number, 16);
  };
  take(4, 4, token.slot);
  take(9, 4, token.sequence);
  take(14, 16, token.issued);
  take(31, 16, token.client_high);
  take(47, 16, token.client_low);
  const bool possible = token.slot < base::kSlotCount && token.sequence > 0;
  if (!possible || token.ToString() != text) return std::nullopt;
  return token;
}

}  // namespace basalt
