#include "server/shard/command_mark.h"

#include <xxhash.h>

#include <string_view>

namespace basalt::server {
namespace {

class Mark {
 public:
  explicit Mark(v1::Command::OperationCase kind) : hash_(static_cast<uint64_t>(kind)) {}

  Mark& Take(std::string_view bytes) {
    // Without a seed, which would cost more than the bytes of most values.
    return Take(uint64_t{bytes.size()}).Take(uint64_t{XXH3_64bits(bytes.data(), bytes.size())});
  }
  Mark& Take(uint64_t number) {
    hash_ = (hash_ ^ number) * 0x9E3779B97F4A7C15ull;
    hash_ ^= hash_ >> 32;
    return *this;
  }
  uint32_t Folded() const {
    const auto folded = static_cast<uint32_t>(hash_ ^ (hash_ >> 32));
    return folded == 0 ? 1 : folded;
  }

 private:
  uint64_t hash_;
};

void TakeCondition(const v1::Condition& condition, Mark& mark) {
  mark.Take(static_cast<uint64_t>(condition.what_case()));
  if (condition.has_value()) mark.Take(condition.value());
  if (condition.has_absent()) mark.Take(uint64_t{condition.absent()});
  if (condition.has_version()) mark.Take(condition.version());
}

void TakeWrite(const v1::TxnWrite& write, Mark& mark) {
  mark.Take(write.key()).Take(uint64_t{write.deletes()}).Take(write.value());
}

}  // namespace

uint32_t MarkOf(const v1::Command& command) {
  Mark mark(command.operation_case());
  switch (command.operation_case()) {
    case v1::Command::kPut:
      return mark.Take(command.put().key()).Take(command.put().value()).Folded();
    case v1::Command::kDelete:
      return mark.Take(command.delete_().key()).Folded();
    case v1::Command::kCompareAndSet: {
      const v1::CompareAndSetCommand& cas = command.compare_and_set();
      TakeCondition(cas.condition(), mark.Take(cas.key()).Take(cas.value()));
      return mark.Folded();
    }
    case v1::Command::kIncrement: {
      const v1::IncrementCommand& increment = command.increment();
      return mark.Take(increment.key()).Take(static_cast<uint64_t>(increment.by())).Folded();
    }
    case v1::Command::kOneShard:
      for (const v1::TxnWrite& write : command.one_shard().writes()) TakeWrite(write, mark);
      return mark.Folded();
    default:
      return 0;
  }
}

}  // namespace basalt::server
