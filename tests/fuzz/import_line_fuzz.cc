// Lines that `kvctl import` reads: what export writes comes back byte for byte.
#include <string>

#include "base/check.h"
#include "client/kvctl/row_text.h"
#include "tests/fuzz/fuzz_input.h"

namespace basalt::kvctl {
namespace {

using fuzz::FuzzInput;

void TryRoundTrip(FuzzInput& input, RowFormat format, bool base64) {
  const std::string key = input.Text(24);
  const std::string value = input.Text(24);
  const std::string line = FormatLine(format, base64, key, value);
  BASALT_CHECK(line.find('\n') == std::string::npos);
  const ParsedLine parsed = ParseLine(format, base64, line);
  BASALT_CHECK_MSG(parsed.problem.empty(), parsed.problem);
  BASALT_CHECK(parsed.key == key && parsed.value == value);
  const bool keys_only = input.Flag();
  BASALT_CHECK(IsUtf8(FormatRowJson({key, value, input.Number()}, keys_only)));
}

// A line that somebody else wrote: refused, or one that export can write.
void TryLine(FuzzInput& input, RowFormat format, bool base64) {
  const bool other_base64 = input.Flag();
  const std::string key = input.Text(8);
  std::string line = FormatLine(format, other_base64, key, input.Text(8));
  line = input.OneIn(3) ? input.Rest() : input.Damaged(std::move(line));
  const ParsedLine parsed = ParseLine(format, base64, line);
  if (!parsed.problem.empty()) return;
  const ParsedLine again =
      ParseLine(format, base64, FormatLine(format, base64, parsed.key, parsed.value));
  BASALT_CHECK(again.problem.empty() && again.key == parsed.key && again.value == parsed.value);
}

void TryWords(FuzzInput& input) {
  const std::string text = input.Rest();
  BASALT_CHECK(FromHex(ToHex(text)) == text && FromBase64(ToBase64(text)) == text);
  BASALT_CHECK(Unescape(Escape(text)) == text && IsUtf8(Escape(text)));
  if (const auto bytes = FromBase64(text)) BASALT_CHECK(ToBase64(*bytes) == text);
  if (const auto bytes = Unescape(text)) BASALT_CHECK(Unescape(Escape(*bytes)) == *bytes);
  (void)FromHex(text);
}

void Fuzz(FuzzInput& input) {
  const RowFormat format = input.Flag() ? RowFormat::kTsv : RowFormat::kJsonLines;
  const bool base64 = input.Flag();
  switch (input.Below(3)) {
    case 0:
      return TryWords(input);
    case 1:
      return TryRoundTrip(input, format, base64);
    default:
      return TryLine(input, format, base64);
  }
}

}  // namespace
}  // namespace basalt::kvctl

void basalt::fuzz::FuzzOne(FuzzInput input) { kvctl::Fuzz(input); }
