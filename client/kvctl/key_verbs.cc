// put, get, mget, del, cas, incr, scan, count.
#include <fmt/format.h>

#include <cstdio>
#include <optional>
#include <string>

#include "client/kvctl/row_text.h"
#include "client/kvctl/standard_input.h"
#include "client/kvctl/verbs.h"

namespace basalt::kvctl {
namespace {

void PrintRow(const Arguments& arguments, const Row& row) {
  if (arguments.output == OutputFormat::kJson) {
    Print(FormatRowJson(row, arguments.scan.keys_only));
  } else {
    Print(Shown(arguments, row.key));
    if (!arguments.scan.keys_only) {
      Print("\t");
      Print(Shown(arguments, row.value));
    }
  }
  Print("\n");
}

}  // namespace

std::string Shown(const Arguments& arguments, std::string_view bytes) {
  if (arguments.hex) return ToHex(bytes);
  return arguments.output == OutputFormat::kRaw ? std::string(bytes) : Escape(bytes);
}

ExitCode TakeValue(const Arguments& arguments, std::string& value) {
  value = arguments.value;
  if (!arguments.value_from_stdin) return kDone;
  char block[1 << 16];
  size_t n = 0;
  while (value.size() <= kValueBytesMax && (n = std::fread(block, 1, sizeof block, stdin)) > 0) {
    value.append(block, n);
  }
  if (std::ferror(stdin) != 0) {
    Complain("standard input cannot be read; nothing was written");
    return kUsage;
  }
  if (value.size() <= kValueBytesMax) return kDone;
  // Not how many: nobody has counted the rest.
  return Report(Status(Code::kInvalidArgument, Outcome::kNotApplied,
                       "the value on standard input has more than 8 MiB, the limit"));
}

void Print(std::string_view bytes) { std::fwrite(bytes.data(), 1, bytes.size(), stdout); }

void Complain(std::string_view what) {
  std::fflush(stdout);
  std::fprintf(stderr, "kvctl: %.*s\n", static_cast<int>(what.size()), what.data());
}

ExitCode Report(const Status& status) {
  if (!status.ok()) Complain(status.ToString());
  return ExitCodeOf(status);
}

ExitCode ReportUnreached(const Arguments& arguments, const Status& status) {
  if (!arguments.request || status.code() == Code::kInvalidArgument) return Report(status);
  return Report(Status(status.code(), Outcome::kUnknown, status.message(), status.retry_after()));
}

ExitCode RunPut(const Arguments& arguments) {
  std::string value;
  if (const ExitCode wrong = TakeValue(arguments, value); wrong != kDone) return wrong;
  Result<Client> client = Client::Connect(ClientOptionsOf(arguments));
  if (!client.ok()) return ReportUnreached(arguments, client.status());
  const Status status = client->Put(arguments.key, value, CallOptionsOf(arguments));
  if (!status.ok()) return Report(status);
  if (arguments.output == OutputFormat::kTable) Print("OK\n");
  if (arguments.output == OutputFormat::kJson) Print("{\"outcome\":\"applied\"}\n");
  return kDone;
}

ExitCode RunGet(const Arguments& arguments) {
  Result<Client> client = Client::Connect(ClientOptionsOf(arguments));
  if (!client.ok()) return Report(client.status());
  Result<std::optional<Value>> value = client->Get(arguments.key, CallOptionsOf(arguments));
  if (!value.ok()) return Report(value.status());
  if (!value->has_value()) {
    Complain("not found");
    return kNotFound;
  }
  Value& found = **value;
  if (arguments.output == OutputFormat::kJson) {
    Print(FormatRowJson({arguments.key, std::move(found.bytes), found.version}, false) + "\n");
  } else {
    Print(arguments.hex ? ToHex(found.bytes) : found.bytes);
    if (arguments.output == OutputFormat::kTable) Print("\n");
  }
  return kDone;
}

// One line a key, as scan prints rows; keys without a value are named on standard error.
ExitCode RunMget(const Arguments& arguments) {
  Result<Client> client = Client::Connect(ClientOptionsOf(arguments));
  if (!client.ok()) return Report(client.status());
  const Result<Values> values = client->MultiGet(arguments.keys, CallOptionsOf(arguments));
  if (!values.ok()) return Report(values.status());
  ExitCode code = kDone;
  for (size_t i = 0; i < values->size(); ++i) {
    const std::string& key = arguments.keys[i];
    const std::optional<Value>& value = (*values)[i];
    if (!value.has_value()) {
      Complain(Shown(arguments, key) + ": not found");
      code = kNotFound;
      continue;
    }
    PrintRow(arguments, {key, value->bytes, value->version});
  }
  return code;
}

namespace {

ExitCode ReportDeleted(const Arguments& arguments, const DeletePrefixResult& result) {
  if (arguments.output == OutputFormat::kJson) {
    Print(
        fmt::format("{{\"outcome\":\"{}\",\"deleted\":{},\"unknown\":{},\"transactions\":{},"
                    "\"timestamp\":\"{}\"}}\n",
                    ToString(result.status.outcome()), result.deleted, result.unknown,
                    result.transactions, result.timestamp));
  }
  if (!result.status.ok()) return Report(result.status);
  if (arguments.output != OutputFormat::kJson) Print(fmt::format("{}\n", result.deleted));
  if (result.deleted > 0) return kDone;
  Complain("not found");
  return kNotFound;
}

}  // namespace

ExitCode RunDel(const Arguments& arguments) {
  Result<Client> client = Client::Connect(ClientOptionsOf(arguments));
  if (arguments.every_key || !arguments.scan.prefix.empty()) {
    if (!client.ok()) return ReportDeleted(arguments, {.status = client.status()});
    return ReportDeleted(arguments,
                         client->DeletePrefix(arguments.scan.prefix,
                                              {.every_key = arguments.every_key,
                                               .one_transaction = arguments.one_transaction}));
  }
  if (!client.ok()) return ReportUnreached(arguments, client.status());
  const Result<bool> existed = client->Delete(arguments.key, CallOptionsOf(arguments));
  if (!existed.ok()) return Report(existed.status());
  if (arguments.output == OutputFormat::kJson) {
    Print(fmt::format("{{\"outcome\":\"applied\",\"existed\":{}}}\n", *existed));
  }
  if (!*existed) {
    Complain("not found");
    return kNotFound;
  }
  if (arguments.output == OutputFormat::kTable) Print("OK\n");
  return kDone;
}

ExitCode RunCas(const Arguments& arguments) {
  std::string value;
  if (const ExitCode wrong = TakeValue(arguments, value); wrong != kDone) return wrong;
  Result<Client> client = Client::Connect(ClientOptionsOf(arguments));
  if (!client.ok()) return ReportUnreached(arguments, client.status());
  const Result<CompareAndSetResult> result =
      client->CompareAndSet(arguments.key, arguments.condition, value, CallOptionsOf(arguments));
  if (!result.ok()) return Report(result.status());
  if (arguments.output == OutputFormat::kJson) {
    Print(fmt::format("{{\"outcome\":\"{}\",\"version\":\"{}\"}}\n",
                      result->applied ? "applied" : "not applied", result->version));
  }
  if (!result->applied) {
    Complain(result->version == 0
                 ? std::string("the condition does not hold: the key has no value")
                 : fmt::format("the condition does not hold: the value has version {}",
                               result->version));
    return kNotFound;
  }
  if (arguments.output == OutputFormat::kTable) Print("OK\n");
  return kDone;
}

ExitCode RunIncr(const Arguments& arguments) {
  Result<Client> client = Client::Connect(ClientOptionsOf(arguments));
  if (!client.ok()) return ReportUnreached(arguments, client.status());
  const Result<int64_t> number =
      client->Increment(arguments.key, arguments.by, CallOptionsOf(arguments));
  if (!number.ok()) return Report(number.status());
  Print(arguments.output == OutputFormat::kJson ? fmt::format("{{\"value\":{}}}\n", *number)
                                                : fmt::format("{}\n", *number));
  return kDone;
}

ExitCode RunScan(const Arguments& arguments) {
  Result<Client> client = Client::Connect(ClientOptionsOf(arguments));
  if (!client.ok()) return Report(client.status());
  RowStream rows = client->Scan(arguments.scan, CallOptionsOf(arguments));
  for (const Row& row : rows) PrintRow(arguments, row);
  const Code code = rows.status().code();
  const bool is_over = rows.status().ok() && arguments.scan.limit == 0;
  if (is_over || code == Code::kInvalidArgument || code == Code::kTooOld) {
    return Report(rows.status());
  }
  const ExitCode exit = Report(rows.status());
  const Result<std::string> token = rows.ResumeToken();
  if (!token.ok()) return exit == kDone ? Report(token.status()) : exit;
  if (!token->empty()) Complain("more rows; go on with --resume " + *token);
  return exit;
}

ExitCode RunCount(const Arguments& arguments) {
  Result<Client> client = Client::Connect(ClientOptionsOf(arguments));
  if (!client.ok()) return Report(client.status());
  const Result<uint64_t> count = client->Count(arguments.scan, CallOptionsOf(arguments));
  if (!count.ok()) return Report(count.status());
  Print(arguments.output == OutputFormat::kJson ? fmt::format("{{\"count\":{}}}\n", *count)
                                                : fmt::format("{}\n", *count));
  return kDone;
}

}  // namespace basalt::kvctl
