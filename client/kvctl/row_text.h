// Bytes as text and back: hex, base64, escapes, and the lines that import and export exchange.
//
// A line of JSON is {"key":K,"value":V}. Bytes that are not valid UTF-8 stand in base64 under
// "key_base64" or "value_base64" instead; with --base64 "key" and "value" themselves are base64.
// A line of TSV is key, tab, value, with backslash escapes (\\ \t \n \r \xHH); with --base64 both
// are base64. Either way every key and value survives the round trip byte for byte.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "basalt/result.h"
#include "basalt/scan.h"
#include "client/kvctl/arguments.h"

namespace basalt::kvctl {

std::string ToHex(std::string_view bytes);
std::optional<std::string> FromHex(std::string_view text);
std::string ToBase64(std::string_view bytes);
// Strict: padded, no other characters.
std::optional<std::string> FromBase64(std::string_view text);
bool IsUtf8(std::string_view bytes);

// Printable on one line, and undone by Unescape: \\ \t \n \r, and \xHH for other controls and for
// bytes that are not UTF-8.
std::string Escape(std::string_view bytes);
std::optional<std::string> Unescape(std::string_view text);

// Without the end of line.
std::string FormatLine(RowFormat format, bool base64, std::string_view key, std::string_view value);

struct ParsedLine {
  std::string key;
  std::string value;
  std::string problem;  // not empty: why the line is malformed
};
ParsedLine ParseLine(RowFormat format, bool base64, std::string_view line);

// A row as `get` and `scan` print it in JSON: with its version, and without a value if keys_only.
std::string FormatRowJson(const Row& row, bool keys_only);

}  // namespace basalt::kvctl
