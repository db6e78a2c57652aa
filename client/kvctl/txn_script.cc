#include "client/kvctl/txn_script.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <utility>

#include "client/kvctl/row_text.h"

namespace basalt::kvctl {
namespace {

// What follows the word before is a value, perhaps the empty one. Without the space behind that
// word there is none: a variable of a script that was not set.
constexpr const char* kNoValue = "the value is missing; an empty one has a space before it";

constexpr size_t kWordShown = 40;  // of what is no word of a script

// Up to the next space, which goes too. `more`: there was one.
std::string_view TakeWord(std::string_view& rest, bool* more = nullptr) {
  const size_t space = rest.find(' ');
  const std::string_view word = rest.substr(0, space);
  rest.remove_prefix(space == std::string_view::npos ? rest.size() : space + 1);
  if (more != nullptr) *more = space != std::string_view::npos;
  return word;
}

std::optional<std::string> ToBytes(std::string_view text, bool hex) {
  return hex ? FromHex(text) : Unescape(text);
}

// The rest of a line with the carriage return that ends it: bytes are kept as they came. In hex it
// is no byte of a value.
std::optional<std::string> ToValue(std::string_view rest, bool carriage_return, bool hex) {
  std::optional<std::string> value = ToBytes(rest, hex);
  if (value && carriage_return && !hex) value->push_back('\r');
  return value;
}

std::string ParseCheck(std::string_view rest, bool carriage_return, bool hex,
                       Condition& condition) {
  bool more = false;
  const std::string_view what = TakeWord(rest, &more);
  if (what == "absent") {
    condition = Condition::Absent();
    return rest.empty() ? "" : "nothing may follow 'absent'";
  }
  if (what == "version") {
    uint64_t version = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), version);
    if (error != std::errc() || end != rest.data() + rest.size()) return "the version is no number";
    condition = Condition::VersionIs(version);
    return "";
  }
  if (what == "value") {
    if (!more) return kNoValue;
    std::optional<std::string> value = ToValue(rest, carriage_return, hex);
    if (!value) return "the value is malformed";
    condition = Condition::ValueIs(*std::move(value));
    return "";
  }
  return "check wants 'version', 'value' or 'absent' behind the key";
}

// Empty, or what is wrong.
std::string ParseLine(std::string_view rest, bool carriage_return, bool hex, TxnLine& line) {
  const std::string_view verb = TakeWord(rest);
  bool more = false;
  std::optional<std::string> key = ToBytes(TakeWord(rest, &more), hex);
  if (verb != "get" && verb != "put" && verb != "del" && verb != "check") {
    if (verb == "scan" || verb == "count") {
      return fmt::format("'{}': a transaction is of keys, not of ranges", verb);
    }
    return fmt::format("'{}' is none of get, put, del, check", Escape(verb.substr(0, kWordShown)));
  }
  if (!key || key->empty()) return "the key is missing or malformed";
  line.key = *std::move(key);
  if (verb == "check") {
    line.kind = TxnLine::Kind::kCheck;
    return ParseCheck(rest, carriage_return, hex, line.condition);
  }
  if (verb == "put") {
    if (!more) return kNoValue;
    line.kind = TxnLine::Kind::kPut;
    std::optional<std::string> value = ToValue(rest, carriage_return, hex);
    if (!value) return "the value is malformed";
    line.value = *std::move(value);
    return "";
  }
  line.kind = verb == "get" ? TxnLine::Kind::kGet : TxnLine::Kind::kDelete;
  return rest.empty() ? "" : fmt::format("nothing may follow the key of {}", verb);
}

// The limit of a key or a value that the line breaks; empty: none. The library would refuse it as
// well, but cannot tell which line it was.
std::string BrokenLimit(const TxnLine& line) {
  if (line.key.size() > kKeyBytesMax) {
    return fmt::format("the key has {} bytes; the limit is 4 KiB", line.key.size());
  }
  if (line.value.size() > kValueBytesMax) {
    return fmt::format("the value has {} bytes; the limit is 8 MiB", line.value.size());
  }
  return "";
}

}  // namespace

TxnScript ParseTxnScript(std::string_view text, bool hex) {
  TxnScript script;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    std::string_view rest = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const bool carriage_return = rest.ends_with('\r');
    if (carriage_return) rest.remove_suffix(1);
    if (rest.empty() || rest.front() == '#') continue;
    TxnLine& line = script.lines.emplace_back();
    std::string problem = ParseLine(rest, carriage_return, hex, line);
    if (problem.empty()) {
      problem = BrokenLimit(line);
      script.breaks_limit = !problem.empty();
    }
    if (problem.empty()) continue;
    script.problem = fmt::format("line {}: {}", number, problem);
    return script;
  }
  if (script.lines.empty()) script.problem = "no operation on standard input";
  return script;
}

bool Holds(const Condition& condition, const std::optional<Value>& value) {
  switch (condition.kind) {
    case Condition::Kind::kValue:
      return value && value->bytes == condition.value;
    case Condition::Kind::kAbsent:
      return !value;
    case Condition::Kind::kVersion:
      return (value ? value->version : 0) == condition.version;
  }
  return false;
}

}  // namespace basalt::kvctl
