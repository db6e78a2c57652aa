// export: every row of a range as lines that import takes, in key order.
#include <fmt/format.h>

#include <cstdio>
#include <optional>
#include <string>

#include "client/kvctl/progress.h"
#include "client/kvctl/quantities.h"
#include "client/kvctl/row_text.h"
#include "client/kvctl/verbs.h"
#include "client/scan_reader.h"

namespace basalt::kvctl {
namespace {

// What exports the rest of what broke off behind `last_key`, as options.
std::string TheRest(const ScanOptions& scan, const Snapshot& snapshot, const std::string& last_key,
                    uint64_t exported) {
  // The least key above the last one.
  std::string rest =
      fmt::format("--at {} --hex --from {}00", snapshot.timestamp(), ToHex(last_key));
  const std::string to = scan.prefix.empty() ? scan.to : client::EndOfPrefix(scan.prefix);
  if (!to.empty()) rest += " --to " + ToHex(to);
  if (scan.limit != 0) rest += fmt::format(" --limit {}", scan.limit - exported);
  return rest;
}

}  // namespace

ExitCode RunExport(const Arguments& arguments) {
  Result<Client> client = Client::Connect(ClientOptionsOf(arguments));
  if (!client.ok()) return Report(client.status());
  const CallOptions options = CallOptionsOf(arguments);
  const Result<Snapshot> snapshot = client->Snapshot(options);
  if (!snapshot.ok()) return Report(snapshot.status());
  RowStream rows = snapshot->Scan(arguments.scan, options);
  Progress progress("export", 0);
  std::string last_key;
  uint64_t count = 0;
  uint64_t bytes = 0;
  for (const Row& row : rows) {
    Print(FormatLine(arguments.row_format, arguments.base64, row.key, row.value) + "\n");
    ++count;
    bytes += row.key.size() + row.value.size();
    last_key = row.key;
    progress.Update(count, bytes);
  }
  progress.Clear();
  if (!rows.status().ok()) {
    const ExitCode code = Report(rows.status());
    Complain(count == 0 ? std::string("nothing was exported")
                        : fmt::format("{} rows were exported; go on with {}", count,
                                      TheRest(arguments.scan, *snapshot, last_key, count)));
    return code;
  }
  Complain(fmt::format("exported {} rows, {}, in {}", CountForPeople(count), BytesForPeople(bytes),
                       SpanForPeople(progress.elapsed())));
  return kDone;
}

}  // namespace basalt::kvctl
