basalt_library(
  NAME storage_log
  SRCS crc32c.cc
       posix_file_system.cc
       log_writer.cc
       raft_log/entry_index.cc
       raft_log/log_recovery.cc
       raft_log/raft_log.cc
       raft_log/raft_log_read.cc
       raft_log/raft_log_reclaim.cc
       raft_log/record_codec.cc
       raft_log/segment.cc
       raft_log/segment_chain.cc
       raft_log/segment_format.cc
       raft_log/segment_reader.cc
  DEPS base absl::status absl::statusor Threads::Threads
  PRIVATE_DEPS fmt::fmt third::isal)
