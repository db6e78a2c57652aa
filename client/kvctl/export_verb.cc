// export: every row of a range as lines that import takes, in key order.
#include <fmt/format.h>

#include <cstdio>
#include <optional>
#include <string>

#include "client/kvctl/progress.h"
#include "client/kvctl/quantities.h"
#include "client/kvctl/row_text.h"
#include "client/kvctl/verbs.h"

namespace basalt::kvctl {

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
    // The least key above the last one.
    Complain(count == 0 ? std::string("nothing was exported")
                        : fmt::format("{} rows were exported; go on with --at {} --hex --from {}00",
                                      count, snapshot->timestamp(), ToHex(last_key)));
    return code;
  }
  Complain(fmt::format("exported {} rows, {}, in {}", CountForPeople(count), BytesForPeople(bytes),
                       SpanForPeople(progress.elapsed())));
  return kDone;
}

}  // namespace basalt::kvctl
