#include "client/kvctl/row_text.h"

#include <array>
#include <cstdint>

#include <nlohmann/json.hpp>

namespace basalt::kvctl {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::string_view kBase64Digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr std::array<int8_t, 256> MakeBase64Values() {
  std::array<int8_t, 256> values{};
  for (int8_t& value : values) value = -1;
  for (size_t i = 0; i < kBase64Digits.size(); ++i) {
    values[static_cast<uint8_t>(kBase64Digits[i])] = static_cast<int8_t>(i);
  }
  return values;
}
constexpr std::array<int8_t, 256> kBase64Values = MakeBase64Values();

// The length of the valid UTF-8 sequence at the start of `bytes` (RFC 3629: no overlong forms, no
// surrogates, nothing above U+10FFFF); 0: none.
size_t Utf8SequenceLength(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const uint8_t first = at(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || bytes.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  if ((first == 0xe0 && at(1) < 0xa0) || (first == 0xed && at(1) > 0x9f) ||
      (first == 0xf0 && at(1) < 0x90) || (first == 0xf4 && at(1) > 0x8f)) {
    return 0;
  }
  return length;
}

void AppendHexEscape(std::string* text, char c) {
  const auto byte = static_cast<uint8_t>(c);
  text->append("\\x");
  text->push_back(kHexDigits[byte >> 4]);
  text->push_back(kHexDigits[byte & 15]);
}

void AddBytes(Json* object, const char* name, std::string_view bytes) {
  if (IsUtf8(bytes)) {
    (*object)[name] = bytes;
  } else {
    (*object)[std::string(name) + "_base64"] = ToBase64(bytes);
  }
}

// Empty problem: `out` has the field's bytes.
std::string TakeField(const nlohmann::json& object, const std::string& name, bool base64,
                      std::string* out) {
  const auto plain = object.find(name);
  const auto coded = object.find(name + "_base64");
  if (plain != object.end() && coded != object.end())
    return "both " + name + " and " + name + "_base64";
  if (plain == object.end() && coded == object.end()) return "no " + name;
  const nlohmann::json& field = plain != object.end() ? *plain : *coded;
  if (!field.is_string()) return name + " is not a string";
  const auto& text = field.get_ref<const std::string&>();
  if (plain != object.end() && !base64) {
    *out = text;
    return {};
  }
  std::optional<std::string> bytes = FromBase64(text);
  if (!bytes.has_value()) return name + " is not base64";
  *out = std::move(*bytes);
  return {};
}

ParsedLine ParseJsonLine(bool base64, std::string_view line) {
  ParsedLine parsed;
  const nlohmann::json object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    parsed.problem = object.is_discarded() ? "not JSON" : "not a JSON object";
    return parsed;
  }
  parsed.problem = TakeField(object, "key", base64, &parsed.key);
  if (parsed.problem.empty()) parsed.problem = TakeField(object, "value", base64, &parsed.value);
  return parsed;
}

ParsedLine ParseTsvLine(bool base64, std::string_view line) {
  const size_t tab = line.find('\t');
  if (tab == std::string_view::npos) return {.problem = "no tab between key and value"};
  const std::string_view key = line.substr(0, tab);
  const std::string_view value = line.substr(tab + 1);
  if (value.find('\t') != std::string_view::npos) return {.problem = "more than one tab"};
  std::optional<std::string> key_bytes = base64 ? FromBase64(key) : Unescape(key);
  std::optional<std::string> value_bytes = base64 ? FromBase64(value) : Unescape(value);
  const char* what = base64 ? " is not base64" : " has an unknown escape";
  if (!key_bytes.has_value()) return {.problem = std::string("key") + what};
  if (!value_bytes.has_value()) return {.problem = std::string("value") + what};
  return {.key = std::move(*key_bytes), .value = std::move(*value_bytes)};
}

}  // namespace

std::string ToHex(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    text.push_back(kHexDigits[static_cast<uint8_t>(c) >> 4]);
    text.push_back(kHexDigits[static_cast<uint8_t>(c) & 15]);
  }
  return text;
}

std::optional<std::string> FromHex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  bytes.reserve(text.size() / 2);
  for (size_t i = 0; i < text.size(); i += 2) {
    const int high = HexDigit(text[i]);
    const int low = HexDigit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(high * 16 + low));
  }
  return bytes;
}

std::string ToBase64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8 | (i + j < bytes.size() ? static_cast<uint8_t>(bytes[i + j]) : 0);
    }
    for (size_t j = 0; j < 4; ++j) {
      const bool padding = i + j > bytes.size();
      text.push_back(padding ? '=' : kBase64Digits[group >> (18 - 6 * j) & 63]);
    }
  }
  return text;
}

std::optional<std::string> FromBase64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  for (size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    const size_t padding = !last || text[i + 3] != '=' ? 0 : text[i + 2] == '=' ? 2 : 1;
    uint32_t group = 0;
    for (size_t j = 0; j < 4; ++j) {
      const int value = j >= 4 - padding ? 0 : kBase64Values[static_cast<uint8_t>(text[i + j])];
      if (value < 0) return std::nullopt;
      group = group << 6 | static_cast<uint32_t>(value);
    }
    // Bits that no byte takes must be 0, or two texts would mean one value.
    if ((padding == 1 && (group & 0xff) != 0) || (padding == 2 && (group & 0xffff) != 0)) {
      return std::nullopt;
    }
    for (size_t j = 0; j < 3 - padding; ++j) {
      bytes.push_back(static_cast<char>(group >> (16 - 8 * j) & 0xff));
    }
  }
  return bytes;
}

bool IsUtf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t length = Utf8SequenceLength(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

std::string Escape(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const char c = bytes.front();
    const size_t length = Utf8SequenceLength(bytes);
    if (c == '\\') {
      text.append("\\\\");
    } else if (c == '\t') {
      text.append("\\t");
    } else if (c == '\n') {
      text.append("\\n");
    } else if (c == '\r') {
      text.append("\\r");
    } else if (length == 0 || (length == 1 && (static_cast<uint8_t>(c) < 0x20 || c == 0x7f))) {
      AppendHexEscape(&text, c);
    } else {
      text.append(bytes.substr(0, length));
    }
    bytes.remove_prefix(length == 0 ? 1 : length);
  }
  return text;
}

std::optional<std::string> Unescape(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      bytes.push_back(text[i]);
      continue;
    }
    if (++i == text.size()) return std::nullopt;
    switch (text[i]) {
      case '\\':
        bytes.push_back('\\');
        break;
      case 't':
        bytes.push_back('\t');
        break;
      case 'n':
        bytes.push_back('\n');
        break;
      case 'r':
        bytes.push_back('\r');
        break;
      case 'x': {
        const std::optional<std::string> byte = FromHex(text.substr(i + 1, 2));
        if (!byte.has_value() || byte->size() != 1) return std::nullopt;
        bytes += *byte;
        i += 2;
        break;
      }
      default:
        return std::nullopt;
    }
  }
  return bytes;
}

std::string FormatLine(RowFormat format, bool base64, std::string_view key,
                       std::string_view value) {
  if (format == RowFormat::kTsv) {
    return base64 ? ToBase64(key) + "\t" + ToBase64(value) : Escape(key) + "\t" + Escape(value);
  }
  Json object;
  if (base64) {
    object["key"] = ToBase64(key);
    object["value"] = ToBase64(value);
  } else {
    AddBytes(&object, "key", key);
    AddBytes(&object, "value", value);
  }
  return object.dump();
}

ParsedLine ParseLine(RowFormat format, bool base64, std::string_view line) {
  return format == RowFormat::kTsv ? ParseTsvLine(base64, line) : ParseJsonLine(base64, line);
}

std::string FormatRowJson(const Row& row, bool keys_only) {
  Json object;
  AddBytes(&object, "key", row.key);
  if (!keys_only) AddBytes(&object, "value", row.value);
  object["version"] = std::to_string(row.version);
  return object.dump();
}

}  // namespace basalt::kvctl
