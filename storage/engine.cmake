# Engines, versions, a replica's files.
if(NOT TARGET basalt_storage_log)
  basalt_library(NAME storage_log SRCS crc32c.cc posix_file_system.cc
    DEPS base absl::status absl::statusor PRIVATE_DEPS third::isal fmt::fmt)
endif()
basalt_library(NAME storage_engine
  SRCS applied_hash.cc applied_hash.h
       big_endian.h
       checkpoint_files.cc checkpoint_files.h
       engine.h
       key_encoding.cc key_encoding.h
       memory_engine.cc memory_engine.h
       mvcc.cc mvcc.h
       replica_store.cc replica_store.h
       rocksdb_engine.cc rocksdb_engine.h
       rocksdb_options.cc rocksdb_options.h
       state_rows.cc state_rows.h
  DEPS storage_log raft base absl::status absl::statusor absl::function_ref
  PRIVATE_DEPS third::rocksdb third::xxhash fmt::fmt)
