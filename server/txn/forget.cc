#include "server/txn/forget.h"

namespace basalt::txn {

void ApplyForget(ShardState& state, const Forget& forget) {
  const Stamp before = state.forgotten;
  while (!state.ages.empty() && (std::get<0>(*state.ages.begin()) <= forget.through ||
                                 state.ages.size() > forget.kept_max)) {
    DropOldest(state);
  }
  if (state.forgotten != before) state.staged.emplace_back(PutRow{ForgottenRow{state.forgotten}});
}

}  // namespace basalt::txn
