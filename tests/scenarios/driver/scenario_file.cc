#include "tests/scenarios/driver/scenario_file.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>

namespace basalt::scenario {
namespace {

using Lines = std::vector<std::string>;

constexpr std::string_view kSilence = "!";
constexpr std::array<std::string_view, 4> kSources = {"dissertation ", "paper ", "hazard ",
                                                      "design: "};

struct Block {
  Lines head;               // comments, commands and empty lines as they stand
  Lines expected;           // with their "!"
  bool has_answer = false;  // "----" was there
  size_t head_line = 1;
  size_t answer_line = 0;
};

bool IsCommand(const std::string& line) { return !line.empty() && line[0] != '#'; }
bool IsDecisive(const std::string& line) { return line.starts_with('!'); }
std::string Bare(const std::string& line) { return IsDecisive(line) ? line.substr(1) : line; }

bool HasCommand(const Block& block) {
  return std::any_of(block.head.begin(), block.head.end(), IsCommand);
}

bool ExpectsSilence(const Block& block) {
  return block.expected.size() == 1 && block.expected[0] == kSilence;
}

std::string Joined(const Lines& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

Lines Split(const std::string& text) {
  Lines lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<Block> Parse(const Lines& lines) {
  std::vector<Block> blocks(1);
  for (size_t i = 0; i < lines.size(); ++i) {
    Block& block = blocks.back();
    if (!block.has_answer && lines[i] == "----") {
      block.has_answer = true;
      block.answer_line = i + 2;
    } else if (block.has_answer && lines[i].empty()) {
      blocks.emplace_back().head_line = i + 2;
    } else {
      (block.has_answer ? block.expected : block.head).push_back(lines[i]);
    }
  }
  return blocks;
}

// One file's faults, with their places.
class Findings {
 public:
  explicit Findings(std::string name) : name_(std::move(name)) {}

  void Add(size_t line, const std::string& what) {
    faults_.push_back(name_ + ":" + std::to_string(line) + ": " + what);
  }
  Faults Take() { return std::move(faults_); }
  bool empty() const { return faults_.empty(); }

 private:
  std::string name_;
  Faults faults_;
};

// "# key: value" and its further lines from `at` on, which moves behind them; empty when absent.
std::string TakeField(const Lines& lines, const std::string& key, size_t& at) {
  const std::string start = "# " + key + ": ";
  if (at >= lines.size() || !lines[at].starts_with(start)) return "";
  std::string value = lines[at++].substr(start.size());
  for (; at < lines.size() && lines[at].starts_with("#   "); ++at) value += lines[at].substr(3);
  return value;
}

void CheckHeader(const Lines& lines, Findings& findings) {
  size_t at = 0;
  if (TakeField(lines, "rule", at).empty()) {
    findings.Add(at + 1, "a scenario opens with \"# rule: ...\"");
    return;
  }
  const size_t source_line = at + 1;
  const std::string source = TakeField(lines, "source", at);
  if (source.empty()) {
    findings.Add(source_line, "\"# source: ...\" follows the rule");
    return;
  }
  const bool known = std::any_of(kSources.begin(), kSources.end(), [&](std::string_view word) {
    return source.find(word) != std::string::npos;
  });
  if (!known) {
    findings.Add(source_line,
                 "a source is \"dissertation N\", \"paper ...\", \"hazard N\" or "
                 "\"design: ...\"");
  }
  TakeField(lines, "etcd", at);
  if (at < lines.size() && !lines[at].empty()) {
    findings.Add(at + 1, "after rule, source and etcd comes an empty line");
  }
}

void CheckForm(const Lines& lines, const std::vector<Block>& blocks, Findings& findings) {
  CheckHeader(lines, findings);
  bool has_decisive = false;
  for (const Block& block : blocks) {
    if (HasCommand(block) != block.has_answer) {
      findings.Add(block.head_line, "commands and \"----\" come together");
    }
    for (size_t i = 0; i < block.expected.size(); ++i) {
      has_decisive = has_decisive || IsDecisive(block.expected[i]);
      if (block.expected[i] == kSilence && block.expected.size() > 1) {
        findings.Add(block.answer_line + i, "\"!\" alone is a whole answer");
      }
    }
  }
  if (!has_decisive) findings.Add(lines.size(), "no line is marked decisive (\"!\")");
}

Lines Answer(const Block& block, Subject& subject, Findings& findings) {
  Lines answer;
  for (size_t i = 0; i < block.head.size(); ++i) {
    if (!IsCommand(block.head[i])) continue;
    for (std::string& line : subject.Do(block.head[i])) {
      if (line.starts_with("error:")) findings.Add(block.head_line + i, line);
      answer.push_back(std::move(line));
    }
  }
  return answer;
}

Lines Expected(const Block& block) {
  Lines expected;
  if (ExpectsSilence(block)) return expected;
  for (const std::string& line : block.expected) expected.push_back(Bare(line));
  return expected;
}

void CompareBlock(const Block& block, const Lines& answer, Findings& findings) {
  const Lines expected = Expected(block);
  if (answer == expected) return;
  size_t at = 0;
  while (at < answer.size() && at < expected.size() && answer[at] == expected[at]) ++at;
  findings.Add(block.answer_line + at,
               "expected \"" + (at < expected.size() ? expected[at] : "") + "\"\n  answered \"" +
                   (at < answer.size() ? answer[at] : "") + "\"\nthe whole answer after\n" +
                   Joined(block.head) + "----\n" + Joined(answer));
}

// The answer with the marks of what was expected, which must be in it in their order.
Lines MarkedAnswer(const Block& block, Lines answer, Findings& findings) {
  if (ExpectsSilence(block)) {
    if (answer.empty()) return block.expected;
    findings.Add(block.answer_line, "the silence that the rule decides would change");
    return answer;
  }
  if (answer == Expected(block)) return block.expected;
  size_t from = 0;
  for (size_t i = 0; i < block.expected.size(); ++i) {
    if (!IsDecisive(block.expected[i])) continue;
    while (from < answer.size() && answer[from] != Bare(block.expected[i])) ++from;
    if (from == answer.size()) {
      findings.Add(block.answer_line + i, "a decisive line would change: " + block.expected[i]);
      return answer;
    }
    answer[from++] = block.expected[i];
  }
  return answer;
}

void CheckViolation(const Lines& lines, const Subject& subject, Findings& findings) {
  const std::string violation = subject.violation();
  if (!violation.empty()) findings.Add(lines.size(), "violation: " + violation);
}

}  // namespace

Faults CompareText(const std::string& name, const std::string& text, Subject& subject) {
  const Lines lines = Split(text);
  const std::vector<Block> blocks = Parse(lines);
  Findings findings(name);
  CheckForm(lines, blocks, findings);
  for (const Block& block : blocks) {
    CompareBlock(block, Answer(block, subject, findings), findings);
  }
  CheckViolation(lines, subject, findings);
  return findings.Take();
}

Rewritten RewriteText(const std::string& name, const std::string& text, Subject& subject) {
  const Lines lines = Split(text);
  const std::vector<Block> blocks = Parse(lines);
  Findings findings(name);
  CheckForm(lines, blocks, findings);
  std::string written;
  for (const Block& block : blocks) {
    const Lines answer = MarkedAnswer(block, Answer(block, subject, findings), findings);
    written += Joined(block.head);
    if (block.has_answer) written += "----\n" + Joined(answer) + "\n";
  }
  CheckViolation(lines, subject, findings);
  if (!findings.empty()) return {"", findings.Take()};
  while (written.ends_with("\n\n")) written.pop_back();
  return {written, {}};
}

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

bool RewriteFile(const std::string& path, Subject& subject, std::ostream& says) {
  const std::string text = ReadText(path);
  const std::string name = std::filesystem::path(path).filename().string();
  const Rewritten now = RewriteText(name, text, subject);
  for (const std::string& fault : now.faults) says << fault << "\n";
  if (!now.faults.empty()) return false;
  if (now.text == text) return true;
  std::ofstream file(path);
  file << now.text;
  file.close();
  says << name << (file ? ": rewritten\n" : ": cannot be written\n");
  return static_cast<bool>(file);
}

}  // namespace basalt::scenario
