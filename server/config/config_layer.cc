#include "server/config/config_layer.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <sstream>
#include <string>

#include "base/status.h"
#include "server/config/quantity.h"
#include "server/config/settings.h"

namespace basalt::server {
namespace {

constexpr std::string_view kPrefix = "BASALT_";

// "LISTEN_ADRESS" or "listen_adress" as a flag would spell it.
std::string AsSettingName(std::string_view text) {
  std::string name;
  for (const char c : text) {
    name += c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return name;
}

const Setting* FindByVariable(std::string_view variable) {
  for (const Setting& setting : Settings()) {
    if (setting.variable() == variable) return &setting;
  }
  return nullptr;
}

const Setting* FindByKey(std::string_view key) {
  for (const Setting& setting : Settings()) {
    if (setting.key() == key) return &setting;
  }
  return nullptr;
}

absl::Status UnknownKey(const std::string& place, const std::string& key) {
  if (key == "config") {
    return base::InvalidArgument(fmt::format("{}: config cannot stand in the file itself", place));
  }
  const Setting* nearest = NearestSetting(AsSettingName(key));
  return base::InvalidArgument(
      fmt::format("{}: unknown setting {}{}", place, Quoted(key),
                  nearest != nullptr ? fmt::format("; did you mean {}?", nearest->key()) : ""));
}

// Hears a document and keeps nothing of it.
class DeafHandler final : public YAML::EventHandler {
  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& /*mark*/, YAML::anchor_t /*anchor*/) override {}
  void OnAlias(const YAML::Mark& /*mark*/, YAML::anchor_t /*anchor*/) override {}
  void OnScalar(const YAML::Mark& /*mark*/, const std::string& /*tag*/, YAML::anchor_t /*anchor*/,
                const std::string& /*value*/) override {}
  void OnSequenceStart(const YAML::Mark& /*mark*/, const std::string& /*tag*/,
                       YAML::anchor_t /*anchor*/, YAML::EmitterStyle::value /*style*/) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark& /*mark*/, const std::string& /*tag*/, YAML::anchor_t /*anchor*/,
                  YAML::EmitterStyle::value /*style*/) override {}
  void OnMapEnd() override {}
};

// Whether anything follows the first document. Never all of them at once: on a lone comma
// yaml-cpp 0.7 finds empty documents for ever, until the memory is used up.
bool HasSecondDocument(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  DeafHandler handler;
  return parser.HandleNextDocument(handler) && parser.HandleNextDocument(handler);
}

// A scalar's text, or the scalars of a list with commas between.
absl::StatusOr<std::string> ValueText(const std::string& place, const YAML::Node& value) {
  if (value.IsScalar()) return value.Scalar();
  if (value.IsNull()) return base::InvalidArgument(fmt::format("{}: has no value", place));
  if (!value.IsSequence()) {
    return base::InvalidArgument(fmt::format("{}: must be a single value", place));
  }
  std::string joined;
  for (const YAML::Node& item : value) {
    if (!item.IsScalar() || item.Scalar().empty()) {
      return base::InvalidArgument(fmt::format("{}: must be a list of plain values", place));
    }
    if (!joined.empty()) joined += ',';
    joined += item.Scalar();
  }
  return joined;
}

absl::StatusOr<ConfigLayer> ReadMapping(const std::string& path, const YAML::Node& root) {
  ConfigLayer layer;
  for (const auto& pair : root) {
    const std::string place = fmt::format("{}:{}", path, pair.first.Mark().line + 1);
    if (!pair.first.IsScalar()) {
      return base::InvalidArgument(fmt::format("{}: a setting's name must be plain text", place));
    }
    const std::string& key = pair.first.Scalar();
    const Setting* setting = FindByKey(key);
    if (setting == nullptr) return UnknownKey(place, key);
    const std::string source = fmt::format("{}: {}", place, key);
    if (pair.second.IsSequence() && setting->name != "join") {
      return base::InvalidArgument(fmt::format("{}: must be a single value", source));
    }
    BASALT_ASSIGN_OR_RETURN(std::string text, ValueText(source, pair.second));
    const bool inserted =
        layer.try_emplace(std::string(setting->name), Assignment{std::move(text), source}).second;
    if (!inserted) return base::InvalidArgument(fmt::format("{}: stands there twice", source));
  }
  return layer;
}

}  // namespace

absl::StatusOr<ConfigLayer> ReadEnvironment(const std::map<std::string, std::string>& environment) {
  ConfigLayer layer;
  const auto tools = ToolVariables();
  for (const auto& [variable, text] : environment) {
    if (!variable.starts_with(kPrefix) || variable == kConfigVariable) continue;
    if (std::find(tools.begin(), tools.end(), variable) != tools.end()) continue;
    const Setting* setting = FindByVariable(variable);
    if (setting == nullptr) {
      const Setting* nearest = NearestSetting(AsSettingName(variable.substr(kPrefix.size())));
      return base::InvalidArgument(fmt::format(
          "{}: unknown variable; {}", Quoted(variable),
          nearest != nullptr ? fmt::format("did you mean {}?", nearest->variable())
                             : "basaltd knows every BASALT_ variable that --help lists"));
    }
    layer[std::string(setting->name)] = {text, variable};
  }
  return layer;
}

absl::StatusOr<ConfigLayer> ReadConfigFile(const std::string& path, const std::string& text) {
  try {
    const YAML::Node root = YAML::Load(text);
    if (HasSecondDocument(text)) {
      return base::InvalidArgument(
          fmt::format("{}: holds more than one document, or what is none", path));
    }
    if (root.IsNull()) return ConfigLayer{};
    if (!root.IsMap()) {
      return base::InvalidArgument(fmt::format("{}:{}: must hold lines of the form `name: value`",
                                               path, root.Mark().line + 1));
    }
    return ReadMapping(path, root);
  } catch (const YAML::Exception& error) {
    return base::InvalidArgument(
        fmt::format("{}:{}: not YAML: {}", path, error.mark.line + 1, Quoted(error.msg)));
  }
}

}  // namespace basalt::server
