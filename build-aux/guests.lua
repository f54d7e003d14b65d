-- SPDX-License-Identifier: MIT
-- Which spec files guests of build-aux/vmtest run. A spec that isn't here runs on every kernel. A row says:
--   on       the kernels that run it; none: only this machine does, `make test` and `make sidtest`
--   why      why the other kernels needn't
--   seconds  about how long it takes in an emulated guest, where that is more than ten: the longest begin first
local NONE, ENDS = {}, { "5.10", "sid" }

local text = "it makes text of Lua values; what the kernel tells is asked for by the specs of maps and programs"
local types = "types come from C text, files and this machine's kernel; what kernels add to BTF is in files as well"
local server = "sockets and text in Lua over maps, whose own specs run on every kernel"
local example = "it shows what other specs test on every kernel; the oldest and the newest show that it runs"
local chapter = "its program is tested here; one end of the kernels shows that it needs nothing else"
local tree = "it is about the tree, its documents and its build"
local files = "files are read and refused before the kernel sees anything of them"
local forks = "what a child undoes is decided here; the oldest kernel shows that it has what that takes"
local loops = "loops of other libraries over a descriptor, which reader_spec polls on every kernel"
local clang = "clang does the work, and clang knows no kernel; vmlinux.h is made of types"
local old = "objects are rewritten before a kernel sees them; the oldest kernel shows that it takes what comes of that"
local handlers = "hooks, signals and errors meet the loop that waits, which is ours; ringbuf_spec and perfbuf_spec " ..
  "read what each kernel writes"
local spinlocks = "kernels take the lock alike since 5.11; that is shown on the first of them and on the newest"
local ours = "this process and libbpf decide; the oldest kernel shows what they make of what it lacks"
local compiled = "the compiler knows no kernel, and what it makes runs on this one; the oldest, and the first with " ..
  "all that loops take, show that they accept it"
local FIRST = { "5.10", "6.1" }
local steady = "what the kernel does there is the same from 6.1 on, which runs it; sid's kernel would show a change"
local STEADY = { "5.10", "6.1", "sid" }
local with_libs = "6.12 runs it with newer libraries, without which that kernel has no more than 6.1"
local bracketed = "what the oldest and the newest kernel do alike, those between do as well"
local records = "the kernel writes the records of perf events as ever; the oldest and the newest show it"
local listed = "names come from files of the kernel, of which the oldest and the newest have all forms"
local libbpf = "libbpf and this process decide nearly all of it; the oldest and the newest kernel take what comes of it"

return {
  ["spec/base/clock_spec.lua"] = { on = NONE, why = "clocks of POSIX, as every kernel has them" },
  ["spec/base/err_spec.lua"] = { on = ENDS, why = libbpf, seconds = 15 },
  ["spec/base/fork_spec.lua"] = { on = { "5.10" }, why = forks, seconds = 110 },
  ["spec/base/locale_spec.lua"] = { on = NONE, why = text },
  ["spec/base/misuse_spec.lua"] = { on = NONE, why = "arguments are checked before the kernel is asked for anything" },
  ["spec/base/signals_spec.lua"] = { on = { "5.10" }, why = handlers, seconds = 20 },
  ["spec/base/spare_spec.lua"] = { on = { "5.10" }, why = ours },
  ["spec/base/token_spec.lua"] = { on = ENDS, why = "the kernel has tokens, or not, and says so", seconds = 25 },
  ["spec/btf/btf_spec.lua"] = { on = NONE, why = types },
  ["spec/btf/elf_spec.lua"] = { on = NONE, why = files },
  ["spec/btf/print_spec.lua"] = { on = NONE, why = types },
  ["spec/cdecl/cdecl_spec.lua"] = { on = NONE, why = types },
  ["spec/event/eventloop_spec.lua"] = { on = NONE, why = loops },
  ["spec/event/perfbuf_spec.lua"] = { on = ENDS, why = records, seconds = 30 },
  ["spec/event/reader_spec.lua"] = { on = { "5.10" }, why = handlers, seconds = 50 },
  ["spec/event/ringbuf_spec.lua"] = { on = STEADY, why = steady, seconds = 20 },
  ["spec/event/user_ringbuf_spec.lua"] = { on = STEADY, why = steady, seconds = 18 },
  ["spec/examples/daemon_spec.lua"] = { on = { "5.10" }, why = chapter, seconds = 30 },
  ["spec/examples/end_spec.lua"] = { on = NONE, why = "examples_spec runs each; signals_spec is about signals" },
  ["spec/examples/examples_spec.lua"] = { on = ENDS, why = example, seconds = 70 },
  ["spec/examples/forms_spec.lua"] = { on = NONE, why = "examples_spec runs each on both ends" },
  ["spec/examples/net_spec.lua"] = { on = ENDS, why = example, seconds = 85 },
  ["spec/examples/observe_spec.lua"] = { on = ENDS, why = example, seconds = 60 },
  ["spec/examples/options_spec.lua"] = { on = NONE, why = tree },
  ["spec/examples/protect_spec.lua"] = { on = ENDS, why = example, seconds = 60 },
  ["spec/examples/tool_spec.lua"] = { on = { "sid" }, why = chapter, seconds = 20 },
  ["spec/examples/trace_calls_spec.lua"] = { on = NONE, why = "trace_kprobes_spec runs such scripts in a guest" },
  ["spec/examples/trace_disk_spec.lua"] = { on = { "sid" }, why = "it needs tracepoints of Linux 6.5", seconds = 30 },
  ["spec/examples/trace_functions_spec.lua"] = { on = FIRST, why = "no kernel has all the functions", seconds = 60 },
  ["spec/examples/trace_kprobes_spec.lua"] = { on = { "6.1" }, why = "one kernel with kprobes will do", seconds = 130 },
  ["spec/examples/trace_network_spec.lua"] = { on = NONE, why = "trace_kprobes_spec runs such scripts in a guest" },
  ["spec/examples/trace_process_spec.lua"] = { on = { "6.1" }, why = example, seconds = 90 },
  ["spec/examples/trace_spec.lua"] = { on = ENDS, why = example, seconds = 45 },
  ["spec/host/embed_spec.lua"] = { on = NONE, why = "hosts in C over the same library, which they open as Lua does" },
  ["spec/host/servers_spec.lua"] = { on = NONE, why = "servers over maps and rings, whose own specs run everywhere" },
  ["spec/lua/columns_spec.lua"] = { on = NONE, why = text },
  ["spec/lua/command_columns_spec.lua"] = { on = NONE, why = text },
  ["spec/lua/command_compile_spec.lua"] = { on = NONE, why = clang },
  ["spec/lua/command_completion_spec.lua"] = { on = NONE, why = text },
  ["spec/lua/command_entries_spec.lua"] = { on = NONE, why = text },
  ["spec/lua/command_kernel_spec.lua"] = { on = NONE, why = text },
  ["spec/lua/command_lists_spec.lua"] = { on = NONE, why = text },
  ["spec/lua/command_list_spec.lua"] = { on = ENDS, why = listed, seconds = 45 },
  ["spec/lua/command_net_spec.lua"] = { on = NONE, why = text },
  ["spec/lua/command_spec.lua"] = { on = NONE, why = text },
  ["spec/lua/compile_cache_spec.lua"] = { on = NONE, why = clang },
  ["spec/lua/compile_spec.lua"] = { on = NONE, why = clang },
  ["spec/lua/dwfl_spec.lua"] = { on = NONE, why = "files are read, and kernels tell alike what is mapped" },
  ["spec/lua/format_spec.lua"] = { on = NONE, why = text },
  ["spec/lua/hist_spec.lua"] = { on = NONE, why = text },
  ["spec/lua/inspect_spec.lua"] = { on = NONE, why = text },
  ["spec/lua/pprof_spec.lua"] = { on = NONE, why = text },
  ["spec/lua/program_assemble_spec.lua"] = { on = FIRST, why = compiled, seconds = 25 },
  ["spec/lua/program_details_spec.lua"] = { on = FIRST, why = compiled },
  ["spec/lua/program_elements_spec.lua"] = { on = FIRST, why = compiled },
  ["spec/lua/program_elf_spec.lua"] = { on = FIRST, why = compiled },
  ["spec/lua/program_errors_spec.lua"] = { on = NONE, why = "programs are refused before a kernel sees them" },
  ["spec/lua/program_functions_spec.lua"] = { on = FIRST, why = compiled, seconds = 12 },
  ["spec/lua/program_fuzz_spec.lua"] = { on = { "6.1" }, why = compiled, seconds = 20 },
  ["spec/lua/program_helpers_spec.lua"] = { on = NONE, why = text },
  ["spec/lua/program_inner_spec.lua"] = { on = FIRST, why = compiled },
  ["spec/lua/program_ir_spec.lua"] = { on = NONE, why = compiled },
  ["spec/lua/program_language_spec.lua"] = { on = { "5.10" }, why = compiled, seconds = 35 },
  ["spec/lua/program_later_spec.lua"] = { on = NONE, why = compiled },
  ["spec/lua/program_locks_spec.lua"] = { on = FIRST, why = compiled },
  ["spec/lua/program_loops_spec.lua"] = { on = FIRST, why = compiled, seconds = 15 },
  ["spec/lua/program_maps_spec.lua"] = { on = FIRST, why = compiled, seconds = 12 },
  ["spec/lua/program_memory_spec.lua"] = { on = FIRST, why = compiled },
  ["spec/lua/program_net_spec.lua"] = { on = STEADY, why = steady },
  ["spec/lua/program_pairs_spec.lua"] = { on = FIRST, why = compiled },
  ["spec/lua/program_refusals_spec.lua"] = { on = NONE, why = "the verifier's words are this kernel's" },
  ["spec/lua/program_scan_spec.lua"] = { on = FIRST, why = compiled },
  ["spec/lua/program_scratch_spec.lua"] = { on = FIRST, why = compiled },
  ["spec/lua/program_spec.lua"] = { on = NONE, why = "arguments, names and owners, whatever the kernel" },
  ["spec/lua/program_tables_spec.lua"] = { on = FIRST, why = compiled },
  ["spec/lua/program_undump_spec.lua"] = { on = NONE, why = text },
  ["spec/lua/rates_spec.lua"] = { on = NONE, why = "it counts with what walks give, whose specs run on every kernel" },
  ["spec/lua/symbols_spec.lua"] = { on = { "sid" }, why = "lines of /proc are alike everywhere", seconds = 12 },
  ["spec/lua/trace_cases_spec.lua"] = { on = ENDS, why = "what they are made of has specs for all", seconds = 60 },
  ["spec/lua/trace_enumerators_spec.lua"] = { on = NONE, why = text },
  ["spec/lua/trace_ends_spec.lua"] = { on = { "5.10" }, why = "what kernels do is trace_spec's", seconds = 30 },
  ["spec/lua/trace_follow_spec.lua"] = { on = STEADY, why = steady, seconds = 20 },
  ["spec/lua/trace_dry_run_spec.lua"] = { on = NONE, why = "nothing is loaded" },
  ["spec/lua/trace_headings_spec.lua"] = { on = NONE, why = text },
  ["spec/lua/trace_hints_spec.lua"] = { on = NONE, why = text },
  ["spec/lua/trace_emit_spec.lua"] = { on = { "5.10" }, why = "it writes what others run everywhere", seconds = 60 },
  ["spec/lua/trace_infer_spec.lua"] = { on = NONE, why = "bytecode is read, and members come from BTF" },
  ["spec/lua/trace_mappings_spec.lua"] = { on = ENDS, why = records },
  ["spec/lua/trace_options_spec.lua"] = { on = ENDS, why = "options become bodies, which other specs run everywhere" },
  ["spec/lua/trace_language_spec.lua"] = { on = { "5.10" }, why = "messages, mostly", seconds = 60 },
  ["spec/lua/trace_patterns_spec.lua"] = { on = STEADY, why = steady, seconds = 40 },
  ["spec/lua/trace_spec.lua"] = { on = STEADY, why = steady, seconds = 30 },
  ["spec/lua/trace_gather_spec.lua"] = { on = ENDS, why = compiled, seconds = 12 },
  ["spec/lua/trace_tool_spec.lua"] = { on = { "5.10" }, why = "plain Lua, mostly", seconds = 30 },
  ["spec/lua/trace_types_spec.lua"] = { on = NONE, why = text },
  ["spec/lua/trace_words_spec.lua"] = { on = ENDS, why = compiled, seconds = 20 },
  ["spec/map/batch_spec.lua"] = { on = STEADY, why = steady },
  ["spec/map/cgroup_array_spec.lua"] = { on = ENDS, why = bracketed },
  ["spec/map/cgroup_storage_spec.lua"] = { on = ENDS, why = bracketed, seconds = 10 },
  ["spec/map/cpumap_spec.lua"] = { on = ENDS, why = bracketed },
  ["spec/map/devmap_spec.lua"] = { on = ENDS, why = bracketed },
  ["spec/map/heap_spec.lua"] = { on = NONE, why = "it is about Lua's memory, whatever the kernel" },
  ["spec/map/local_storage_spec.lua"] = { on = STEADY, why = steady, seconds = 28 },
  ["spec/map/lock_spec.lua"] = { on = { "6.1", "sid" }, why = spinlocks, seconds = 15 },
  ["spec/map/map_spec.lua"] = { on = STEADY, why = steady, seconds = 14 },
  ["spec/map/reuseport_spec.lua"] = { on = ENDS, why = bracketed },
  ["spec/map/sk_storage_spec.lua"] = { on = ENDS, why = bracketed, seconds = 10 },
  ["spec/map/sockmap_spec.lua"] = { on = ENDS, why = bracketed, seconds = 10 },
  ["spec/map/stack_trace_spec.lua"] = { on = ENDS, why = bracketed },
  ["spec/map/walk_spec.lua"] = { on = STEADY, why = steady, seconds = 40 },
  ["spec/map/xskmap_spec.lua"] = { on = ENDS, why = bracketed },
  ["spec/metrics/http_spec.lua"] = { on = NONE, why = server },
  ["spec/metrics/metrics_spec.lua"] = { on = NONE, why = server },
  ["spec/metrics/prometheus_spec.lua"] = { on = NONE, why = server },
  ["spec/object/damaged_spec.lua"] = { on = NONE, why = files },
  ["spec/object/legacy_spec.lua"] = { on = { "5.10" }, why = old, seconds = 60 },
  ["spec/object/object_spec.lua"] = { on = ENDS, why = libbpf, seconds = 45 },
  ["spec/object/pins_spec.lua"] = { on = ENDS, why = libbpf },
  ["spec/object/settings_spec.lua"] = { on = { "5.10" }, why = ours, seconds = 20 },
  ["spec/object/vars_spec.lua"] = { on = ENDS, why = libbpf },
  ["spec/program/attach_cgroup_spec.lua"] = { on = STEADY, why = steady, seconds = 22 },
  ["spec/program/attach_net_spec.lua"] = { on = STEADY, why = with_libs, seconds = 30 },
  ["spec/program/attach_perf_event_spec.lua"] = { on = ENDS, why = bracketed },
  ["spec/program/attach_probe_spec.lua"] = { seconds = 12 },
  ["spec/program/attach_route_spec.lua"] = { on = ENDS, why = bracketed, seconds = 10 },
  ["spec/program/link_spec.lua"] = { on = STEADY, why = steady, seconds = 16 },
  ["spec/program/program_spec.lua"] = { on = STEADY, why = steady, seconds = 45 },
  ["spec/program/replace_spec.lua"] = { on = ENDS, why = bracketed, seconds = 25 },
  ["spec/program/userfunc_spec.lua"] = { on = NONE, why = files },
  ["spec/regress/001-reentrancy_spec.lua"] = { on = ENDS, why = libbpf },
  ["spec/regress/004-reentry_spec.lua"] = { on = ENDS, why = libbpf, seconds = 12 },
  ["spec/system/attached_spec.lua"] = { on = STEADY, why = steady, seconds = 16 },
  ["spec/system/features_spec.lua"] = { on = STEADY, why = steady, seconds = 12 },
  ["spec/system/system_spec.lua"] = { on = STEADY, why = steady, seconds = 20 },
  ["spec/tree/api_spec.lua"] = { on = NONE, why = tree },
  ["spec/tree/build_spec.lua"] = { on = NONE, why = tree },
  ["spec/tree/html_spec.lua"] = { on = NONE, why = tree },
  ["spec/tree/install_spec.lua"] = { on = NONE, why = tree },
  ["spec/tree/libbpf_spec.lua"] = { on = NONE, why = tree },
  ["spec/tree/one_liners_spec.lua"] = { on = { "6.1" }, why = tree, seconds = 145 },
  ["spec/tree/readme_spec.lua"] = { on = NONE, why = tree },
  ["spec/tree/reference_spec.lua"] = { on = NONE, why = tree },
  ["spec/value/codec_spec.lua"] = { on = NONE, why = types },
  ["spec/value/key_spec.lua"] = { on = NONE, why = text },
}
