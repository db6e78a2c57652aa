// TextTable: columns aligned by spaces, for terminals.
#pragma once

#include <string>
#include <vector>

namespace basalt::kvctl {

class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header);
  // As many cells as the header has.
  void Add(std::vector<std::string> cells);
  // Ends with a newline. No spaces at the ends of lines.
  std::string ToString() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace basalt::kvctl
