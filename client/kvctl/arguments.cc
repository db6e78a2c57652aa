#include "client/kvctl/arguments.h"

namespace basalt::kvctl {

ClientOptions ClientOptionsOf(const Arguments& arguments) {
  return {.endpoints = arguments.endpoints, .timeout = arguments.timeout};
}

CallOptions CallOptionsOf(const Arguments& arguments) {
  return {.timeout = arguments.timeout,
          .read_mode = arguments.read_mode,
          .at = arguments.at,
          .request = arguments.request};
}

}  // namespace basalt::kvctl
