#include "client/explain.h"

#include <utility>

#include "client/call_driver.h"

namespace basalt::client {

Result<Explainer> Explainer::Connect(ClientOptions options) {
  auto driver = std::make_unique<CallDriver>(std::move(options));
  Status status = driver->WaitForMap();
  if (!status.ok()) return status;
  return Explainer(std::move(driver));
}

Explainer::Explainer(std::unique_ptr<CallDriver> driver) : driver_(std::move(driver)) {}
Explainer::Explainer(Explainer&&) noexcept = default;
Explainer& Explainer::operator=(Explainer&&) noexcept = default;
Explainer::~Explainer() = default;

CallResult Explainer::Run(Operation operation) {
  operation.explain = true;
  return driver_->Run(std::move(operation), std::chrono::milliseconds(0));
}

}  // namespace basalt::client
