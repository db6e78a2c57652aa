#include "server/config/config_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>

#include "server/config/settings.h"

namespace basalt::server {
namespace {

constexpr size_t kIndent = 27;
constexpr size_t kWidth = 96;

// `text` in lines of kWidth, each behind kIndent blanks but for the first.
std::string Wrapped(std::string_view text) {
  std::string lines;
  size_t column = kIndent;
  while (!text.empty()) {
    const size_t space = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, space);
    if (column != kIndent && column + 1 + word.size() > kWidth) {
      lines += fmt::format("\n{:{}}", "", kIndent);
      column = kIndent;
    } else if (column != kIndent) {
      lines += ' ';
      ++column;
    }
    lines += word;
    column += word.size();
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  return lines;
}

void AppendRow(std::string& text, const std::string& left, std::string_view right) {
  text += fmt::format("  {:<{}}", left, kIndent - 2);
  if (left.size() + 3 > kIndent) text += fmt::format("\n{:{}}", "", kIndent);
  text += Wrapped(right);
  text += '\n';
}

std::string DefaultText(const Setting& setting) {
  if (setting.default_text.empty()) return setting.print(NodeConfig{});
  return std::string(setting.default_text);
}

bool IsPlainScalar(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(),
                     [](unsigned char c) {
                       return c < 0x80 && (std::isalnum(c) != 0 || c == '_' || c == '.' ||
                                           c == '/' || c == '-' || c == ':');
                     }) &&
         text.back() != ':' && text.front() != '-';
}

std::string YamlScalar(std::string_view text) {
  if (IsPlainScalar(text)) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      quoted += fmt::format("\\x{:02x}", byte);
      continue;
    }
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

}  // namespace

std::string HelpText() {
  std::string text =
      "basaltd: one node of a Basalt cluster, a distributed key-value store\n"
      "\n"
      "usage: basaltd --node-id N --data-dir DIR [settings]\n"
      "       basaltd --config FILE [settings]\n"
      "       basaltd --dev\n"
      "\n"
      "Every setting is a flag (--data-dir D), an environment variable (BASALT_DATA_DIR=D) and a\n"
      "line of the YAML file (data_dir: D): flag over variable over file over default. Sizes have "
      "a\n"
      "unit (64MiB), times too (10s, 500ms).\n";
  std::optional<SettingGroup> group;
  for (const Setting& setting : Settings()) {
    if (setting.group != group) {
      group = setting.group;
      text += fmt::format("\n{}:\n", Title(setting.group));
    }
    const std::string left =
        setting.is_switch() ? setting.flag() : fmt::format("{} {}", setting.flag(), setting.value);
    AppendRow(text, left, fmt::format("{} [{}]", setting.help, DefaultText(setting)));
  }
  text += "\nConfiguration:\n";
  AppendRow(text, "--config FILE", "the YAML file; also BASALT_CONFIG [none]");
  AppendRow(text, "--check-config", "check all settings and exit");
  AppendRow(text, "--print-config", "print all settings, as a YAML file, and exit");
  AppendRow(text, "--version", "print release, commit, date and compiler, and exit");
  AppendRow(text, "-h, --help", "print this and exit");
  text +=
      "\nExit codes: 0 asked to stop, 1 could not start, 2 bad usage, 70 a bug, 74 the disk "
      "failed.\n";
  return text;
}

std::string ConfigYaml(const NodeConfig& config,
                       const std::map<std::string, std::string, std::less<>>& sources) {
  std::string text;
  std::optional<SettingGroup> group;
  for (const Setting& setting : Settings()) {
    if (setting.group != group) {
      if (group) text += '\n';
      group = setting.group;
      text += fmt::format("# {}\n", Title(setting.group));
    }
    const auto source = sources.find(setting.name);
    const std::string from = source == sources.end() ? "default" : source->second;
    if (setting.name == "data-dir" && config.dev) {
      text += "# data_dir: a temporary directory\n";
      continue;
    }
    text += fmt::format("{}: {}  # {}\n", setting.key(), YamlScalar(setting.print(config)), from);
  }
  return text;
}

}  // namespace basalt::server
