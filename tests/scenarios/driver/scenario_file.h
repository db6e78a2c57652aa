// ScenarioFile: a text that says what a subject must answer to a list of commands, and why.
//
//   # rule: what must hold, in a sentence; more lines of it
//   #   are indented by three spaces
//   # source: dissertation 3.6.2; hazard 8
//   # etcd: agrees (testdata/vote.txt)          optional: what etcd-io/raft does in this case
//
//   # A comment.
//   command
//   command
//   ----
//   a line of the answer
//   !a line that the rule decides
//
// Rule and source are demanded, and so is one decisive line ("!") in each file. A "!" that stands
// alone as the whole answer says that silence is what the rule decides. An answer that begins with
// "error:" is never right.
//
// Rewriting replaces answers by what the subject says now. A decisive line is never replaced: a
// text in which one would change is refused, with the place. Only a person changes the rule.
#pragma once

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

namespace basalt::scenario {

// What a scenario speaks to: fresh for each file.
class Subject {
 public:
  virtual ~Subject() = default;
  // The lines that one command is answered with.
  virtual std::vector<std::string> Do(const std::string& command) = 0;
  // What went wrong behind the answers' back; empty when nothing did. Asked once, in the end.
  virtual std::string violation() const { return ""; }
};

// Each fault reads "name:line: what".
using Faults = std::vector<std::string>;

// Faults of form, answers that differ, violations.
Faults CompareText(const std::string& name, const std::string& text, Subject& subject);

struct Rewritten {
  std::string text;  // only when there is no fault
  Faults faults;
};
// Faults of form, decisive lines that would change, violations.
Rewritten RewriteText(const std::string& name, const std::string& text, Subject& subject);

// RewriteText of a file in place. False, and the file is as it was, when there is a fault; `says`
// gets the faults, or a line when the file changed.
bool RewriteFile(const std::string& path, Subject& subject, std::ostream& says);

std::string ReadText(const std::string& path);

}  // namespace basalt::scenario
