// explain get, explain put: where the time of one request went.
#include <fmt/format.h>

#include <string>
#include <utility>

#include "client/explain.h"
#include "client/kvctl/explain_report.h"
#include "client/kvctl/standard_input.h"
#include "client/kvctl/verbs.h"

namespace basalt::kvctl {
namespace {

using client::Operation;
using client::OperationKind;

ExitCode Explain(client::Explainer& explainer, const Operation& operation,
                 const Arguments& arguments) {
  const client::CallResult result = explainer.Run(operation);
  if (result.story == nullptr) return Report(result.status);
  Print(arguments.output == OutputFormat::kJson ? ExplainAsJson(operation, result)
                                                : ExplainAsTable(operation, result));
  if (!result.status.ok()) return Report(result.status);
  const client::Attempt& last = result.story->attempts.back();
  if (last.server == nullptr) {
    Complain(
        fmt::format("node {} does not know how to explain a request (an older release): its "
                    "time is in that of the network",
                    last.node_id));
  }
  if (operation.kind == OperationKind::kGet && !result.payload.found) {
    Complain("not found");
    return kNotFound;
  }
  return kDone;
}

}  // namespace

ExitCode RunExplainGet(const Arguments& arguments) {
  Result<client::Explainer> explainer = client::Explainer::Connect(ClientOptionsOf(arguments));
  if (!explainer.ok()) return Report(explainer.status());
  return Explain(
      *explainer,
      {.kind = OperationKind::kGet, .read_mode = arguments.read_mode, .key = arguments.key},
      arguments);
}

ExitCode RunExplainPut(const Arguments& arguments) {
  Result<client::Explainer> explainer = client::Explainer::Connect(ClientOptionsOf(arguments));
  if (!explainer.ok()) return Report(explainer.status());
  std::string value;
  if (const ExitCode wrong = TakeValue(arguments, value); wrong != kDone) return wrong;
  return Explain(*explainer,
                 {.kind = OperationKind::kPut, .key = arguments.key, .value = std::move(value)},
                 arguments);
}

}  // namespace basalt::kvctl
