// JSON strings by hand: for lines and answers that are built as text.
#pragma once

#include <string>
#include <string_view>

namespace basalt::server {

// Appends `text` in double quotes. Always valid JSON: control bytes are escaped, bytes that are not
// UTF-8 become U+FFFD.
void AppendJsonString(std::string_view text, std::string& to);

inline std::string JsonString(std::string_view text) {
  std::string quoted;
  AppendJsonString(text, quoted);
  return quoted;
}

}  // namespace basalt::server
