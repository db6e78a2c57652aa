// request-token, outcome.
#include <fmt/format.h>

#include <string>
#include <string_view>

#include "client/kvctl/verbs.h"

namespace basalt::kvctl {
namespace {

using Kind = RequestOutcome::Kind;

// The exit code is the one that the write would have ended with.
struct Told {
  std::string_view outcome;
  std::string_view reason;
  ExitCode code = kDone;
};

Told ToldOf(Kind kind) {
  switch (kind) {
    case Kind::kApplied:
      return {"applied", "", kDone};
    case Kind::kConditionFailed:
      return {"not applied", "the condition did not hold", kNotFound};
    case Kind::kNotANumber:
      return {"not applied", "the value was no number of 64 bits, or would not have been one",
              kRefused};
    case Kind::kNeverApplied:
      return {"not applied", "it had not come when it was asked about, and never will be",
              kUnavailable};
    case Kind::kForgotten:
      break;
  }
  return {"unknown", "the shard does not remember it any more", kUnknown};
}

}  // namespace

ExitCode RunRequestToken(const Arguments& arguments) {
  Result<Client> client = Client::Connect(ClientOptionsOf(arguments));
  if (!client.ok()) return Report(client.status());
  const Result<RequestToken> request = client->NewRequest(arguments.key, CallOptionsOf(arguments));
  if (!request.ok()) return Report(request.status());
  Print(arguments.output == OutputFormat::kJson
            ? fmt::format("{{\"request\":\"{}\"}}\n", request->ToString())
            : request->ToString() + "\n");
  return kDone;
}

ExitCode RunOutcome(const Arguments& arguments) {
  Result<Client> client = Client::Connect(ClientOptionsOf(arguments));
  if (!client.ok()) return ReportUnreached(arguments, client.status());
  const Result<RequestOutcome> outcome =
      client->AskOutcome(*arguments.request, {.timeout = arguments.timeout});
  if (!outcome.ok()) return Report(outcome.status());
  const Told told = ToldOf(outcome->kind);
  if (arguments.output == OutputFormat::kJson) {
    std::string text = fmt::format("{{\"outcome\":\"{}\"", told.outcome);
    if (!told.reason.empty()) text += fmt::format(",\"reason\":\"{}\"", told.reason);
    if (outcome->version != 0) text += fmt::format(",\"version\":\"{}\"", outcome->version);
    if (outcome->kind == Kind::kApplied) {
      text += fmt::format(",\"existed\":{},\"value\":{}", outcome->existed, outcome->number);
    }
    Print(text + "}\n");
  } else {
    Print(fmt::format("{}\n", told.outcome));
  }
  if (!told.reason.empty()) Complain(told.reason);
  return told.code;
}

}  // namespace basalt::kvctl
