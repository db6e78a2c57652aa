// Whether a store holds in the end what clients were promised: every acknowledged write is there,
// no refused one is, and nothing is there that nobody wrote.
//
// Needs every put of a key to write a value of its own.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "check/history.h"

namespace basalt::check {

// Judges by every version that was ever applied. One line per thing that cannot be:
//   - an acknowledged write is not stored, at its version if that is known;
//   - a refused put is stored;
//   - a value is stored that nobody put, or at two versions;
//   - more deletes are stored than may have been applied, or one that cannot be any of them;
//   - a value was read that is not stored at the version that was read.
std::vector<std::string> FindStoredViolations(const History& history, const StoredVersions& stored);

// What each key holds; keys that hold nothing are left out.
using FinalContents = std::map<std::string, std::string, std::less<>>;

// Judges by what is there at the end, read after the last answer: each key holds what some write,
// not refused, made (or nothing, if never written) and no acknowledged write is known to have
// replaced: none was invoked after that one had answered. Reads are not looked at; for them
// append a get of each key to the history and ask for linearizability.
std::vector<std::string> FindFinalViolations(const History& history, const FinalContents& contents);

}  // namespace basalt::check
