// completion: what the shells need to complete kvctl's verbs and flags.
#include <fmt/format.h>

#include <string>
#include <string_view>

#include "client/kvctl/completion.h"
#include "client/kvctl/verbs.h"

namespace basalt::kvctl {
namespace {

struct VerbFlags {
  std::string_view verb;
  std::string_view words;  // what may follow: flags and second words
};

constexpr std::string_view kGlobalFlags =
    "--endpoints --timeout -o --output --hex --help --version";
constexpr VerbFlags kVerbs[] = {
    {"put", "--request-token"},
    {"get", "--read --at"},
    {"mget", "--read --at"},
    {"del", "--prefix --all --one-transaction --request-token"},
    {"cas", "--expect --absent --version --request-token"},
    {"txn", ""},
    {"incr", "--request-token"},
    {"request-token", ""},
    {"outcome", ""},
    {"scan", "--prefix --from --to --limit --keys-only --reverse --resume --read --at"},
    {"count", "--prefix --from --to --limit --read --at"},
    {"import", "--format --base64 --from-line --in-flight"},
    {"export", "--format --base64 --prefix --from --to --limit --read --at"},
    {"status", ""},
    {"nodes", ""},
    {"shards", ""},
    {"shard", "of"},
    {"settings", "list set"},
    {"cluster", "init --shards --replicas --yes"},
    {"bench",
     "--workload --clients --value-size --keys --key-prefix --duration --rate --read-percent "
     "--keys-per-txn --zipf --unary --no-load --no-verify --read"},
    {"explain", "get put --read"},
    {"debug", "scan-replica --node"},
    {"completion", "bash zsh fish"},
    {"version", ""},
};

std::string AllVerbs() {
  std::string verbs;
  for (const VerbFlags& entry : kVerbs) {
    if (!verbs.empty()) verbs += ' ';
    verbs += entry.verb;
  }
  return verbs;
}

std::string Bash() {
  std::string cases;
  for (const VerbFlags& entry : kVerbs) {
    if (!entry.words.empty()) {
      cases += fmt::format("    {}) words=\"{} $words\" ;;\n", entry.verb, entry.words);
    }
  }
  return fmt::format(
      R"(# bash completion for kvctl:  source <(kvctl completion bash)
_kvctl() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}"
  local verbs="{}" words="{}" verb="" each
  case "$previous" in
    -o|--output) mapfile -t COMPREPLY < <(compgen -W "table json raw" -- "$word"); return ;;
    --read) mapfile -t COMPREPLY < <(compgen -W "linearizable read-index" -- "$word"); return ;;
    --format) mapfile -t COMPREPLY < <(compgen -W "jsonl tsv" -- "$word"); return ;;
    --workload) mapfile -t COMPREPLY < <(compgen -W "put get mixed txn ycsb-a ycsb-b ycsb-c ycsb-d ycsb-e ycsb-f" -- "$word"); return ;;
    import) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
  esac
  for each in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case " $verbs " in *" $each "*) verb="$each"; break ;; esac
  done
  case "$verb" in
    "") words="$verbs $words" ;;
{}  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}}
complete -F _kvctl kvctl
)",
      AllVerbs(), kGlobalFlags, cases);
}

std::string Zsh() {
  return "#compdef kvctl\n# zsh completion for kvctl:  source <(kvctl completion zsh)\n"
         "autoload -Uz +X bashcompinit && bashcompinit\n" +
         Bash();
}

std::string Fish() {
  std::string text =
      "# fish completion for kvctl:  kvctl completion fish | source\n"
      "complete -c kvctl -f\n";
  text += fmt::format("complete -c kvctl -n '__fish_use_subcommand' -a '{}'\n", AllVerbs());
  const auto add = [&text](std::string_view condition, std::string_view words) {
    while (!words.empty()) {
      const size_t space = std::min(words.find(' '), words.size());
      const std::string_view word = words.substr(0, space);
      words.remove_prefix(std::min(space + 1, words.size()));
      const std::string_view kind = word.starts_with("--")  ? "-l"
                                    : word.starts_with('-') ? "-s"
                                                            : "-a";
      text += fmt::format("complete -c kvctl{} {} {}\n", condition, kind,
                          word.substr(word.find_first_not_of('-')));
    }
  };
  add("", kGlobalFlags);
  for (const VerbFlags& entry : kVerbs) {
    add(fmt::format(" -n '__fish_seen_subcommand_from {}'", entry.verb), entry.words);
  }
  return text;
}

}  // namespace

std::string_view CompletionWords(std::string_view verb) {
  for (const VerbFlags& entry : kVerbs) {
    if (entry.verb == verb.substr(0, verb.find(' '))) return entry.words;
  }
  return {};
}

ExitCode RunCompletion(const Arguments& arguments) {
  if (arguments.shell == "bash") Print(Bash());
  if (arguments.shell == "zsh") Print(Zsh());
  if (arguments.shell == "fish") Print(Fish());
  return kDone;
}

}  // namespace basalt::kvctl
