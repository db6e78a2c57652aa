// txn: operations on any keys from standard input, all or nothing.
#include <fmt/format.h>

#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/kvctl/row_text.h"
#include "client/kvctl/txn_script.h"
#include "client/kvctl/verbs.h"

namespace basalt::kvctl {
namespace {

constexpr std::string_view kCheckFailed = "a check did not hold";

// What one run of the operations saw.
struct Seen {
  std::vector<std::pair<std::string, std::optional<Value>>> gets;
  std::string failed;  // the key whose check did not hold
};

Status RunLines(const TxnScript& script, Transaction& transaction, Seen& seen) {
  seen = {};
  for (const TxnLine& line : script.lines) {
    switch (line.kind) {
      case TxnLine::Kind::kPut:
        transaction.Put(line.key, line.value);
        continue;
      case TxnLine::Kind::kDelete:
        transaction.Delete(line.key);
        continue;
      case TxnLine::Kind::kGet:
      case TxnLine::Kind::kCheck:
        break;
    }
    Result<std::optional<Value>> value = transaction.Get(line.key);
    if (!value.ok()) return value.status();
    if (line.kind == TxnLine::Kind::kGet) {
      seen.gets.emplace_back(line.key, std::move(*value));
    } else if (!Holds(line.condition, *value)) {
      seen.failed = line.key;
      return Status(Code::kAborted, Outcome::kNotApplied, std::string(kCheckFailed));
    }
  }
  return Status();
}

void PrintGets(const Arguments& arguments, const Seen& seen) {
  for (const auto& [key, value] : seen.gets) {
    if (!value) {
      Complain(Shown(arguments, key) + ": not found");
    } else if (arguments.output == OutputFormat::kJson) {
      Print(FormatRowJson({key, value->bytes, value->version}, false) + "\n");
    } else {
      Print(Shown(arguments, key) + "\t" + Shown(arguments, value->bytes) + "\n");
    }
  }
}

}  // namespace

ExitCode RunTxn(const Arguments& arguments) {
  std::string text;
  char block[1 << 16];
  for (size_t n = 0; (n = std::fread(block, 1, sizeof block, stdin)) > 0;) text.append(block, n);
  if (std::ferror(stdin) != 0) {
    Complain("standard input cannot be read; nothing was done");
    return kUsage;
  }
  const TxnScript script = ParseTxnScript(text, arguments.hex);
  if (script.breaks_limit) {
    return Report(Status(Code::kInvalidArgument, Outcome::kNotApplied, script.problem));
  }
  if (!script.problem.empty()) {
    Complain(script.problem + "; nothing was done");
    return kUsage;
  }
  Result<Client> client = Client::Connect(ClientOptionsOf(arguments));
  if (!client.ok()) return Report(client.status());
  Seen seen;
  const Status status = client->Transact(
      [&](Transaction& transaction) { return RunLines(script, transaction, seen); });
  // The library's word for what the script itself returned; else what was read may not stand.
  if (!status.ok() && status.message() == kCheckFailed) {
    if (arguments.output == OutputFormat::kJson) Print("{\"outcome\":\"not applied\"}\n");
    Complain(fmt::format("the check of {} does not hold; nothing was done",
                         Shown(arguments, seen.failed)));
    return kNotFound;
  }
  if (!status.ok()) return Report(status);
  PrintGets(arguments, seen);
  if (arguments.output == OutputFormat::kTable) Print("OK\n");
  if (arguments.output == OutputFormat::kJson) Print("{\"outcome\":\"applied\"}\n");
  return kDone;
}

}  // namespace basalt::kvctl
