// What jemalloc reads when the program starts; MALLOC_CONF in the environment overrides any of it.

// Huge pages where the kernel gives them to who asks: each node has new memory for what is put, and
// a seventh of a put's CPU time went into page faults (docs/decisions/0007-the-hot-path.md). A huge
// page is resident as a whole, so what is free goes back sooner, and few arenas keep some for
// themselves.
extern "C" {
extern const char* const malloc_conf;
const char* const malloc_conf = "thp:always,narenas:4,dirty_decay_ms:1000,muzzy_decay_ms:0";
}
