#include "server/txn/rows.h"

namespace basalt::txn {
namespace {

struct KeyOfRow {
  RowKey operator()(const PreparedRow& row) const { return {RowKind::kPrepared, row.id, row.slot}; }
  RowKey operator()(const ResolvedRow& row) const { return {RowKind::kResolved, row.id, 0}; }
  RowKey operator()(const RecordRow& row) const { return {RowKind::kRecord, row.id, 0}; }
  RowKey operator()(const ForgottenRow&) const { return {RowKind::kForgotten, {}, 0}; }
};

}  // namespace

RowKey KeyOf(const Row& row) { return std::visit(KeyOfRow{}, row); }

}  // namespace basalt::txn
