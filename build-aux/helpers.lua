-- SPDX-License-Identifier: MIT
-- Usage: helpers.lua bpf_helper_defs.h >lua/bpf/program/helpers.lua
-- Writes the table of the kernel's helpers from libbpf's header.

-- What the header doesn't say -----------------------------------------------------------------------------------------

-- Helpers that fill their first buffer, which may be uninitialised memory.
local FILLS = [[
  probe_read probe_read_str probe_read_user probe_read_user_str probe_read_kernel probe_read_kernel_str
  copy_from_user copy_from_user_task get_current_comm get_stack get_task_stack get_branch_snapshot
  skb_load_bytes skb_load_bytes_relative xdp_load_bytes dynptr_read ima_inode_hash ima_file_hash
  skb_get_tunnel_key skb_get_tunnel_opt skb_get_xfrm_state getsockopt get_ns_current_pid_tgid
  perf_event_read_value perf_prog_read_value sysctl_get_name sysctl_get_current_value sysctl_get_new_value
  map_pop_elem map_peek_elem]]

-- Helpers that write to their first buffer, of which the verifier wants it initialised, on some kernels or on all.
local CHANGES = [[
  d_path snprintf snprintf_btf read_branch_records fib_lookup load_hdr_opt sys_bpf check_mtu
  strtol strtoul get_func_arg get_func_ret kallsyms_lookup_name]]

-- Parameters that may be NULL.
local OPTIONAL = [[
  sk_storage_get.value inode_storage_get.value task_storage_get.value cgrp_storage_get.value csum_diff.from csum_diff.to
  redirect_neigh.params read_branch_records.buf snprintf.str snprintf.data seq_printf.data trace_vprintk.data
  sk_assign.sk kptr_xchg.ptr]]

local function set(text)
  local members = {}
  for name in text:gmatch("[^ \n]+") do
    members[name] = true
  end
  return members
end

FILLS, CHANGES, OPTIONAL = set(FILLS), set(CHANGES), set(OPTIONAL)

-- Contexts have these types, or are called so.
local CONTEXT_TYPES = {}
for name in pairs(set [[
  __sk_buff xdp_md bpf_sock_ops sk_msg_md bpf_perf_event_data bpf_sock_addr pt_regs bpf_sysctl sk_reuseport_md]]) do
  CONTEXT_TYPES["struct " .. name] = true
end
local CONTEXTS = set "ctx skb"
local MAPS = set "map ringbuf prog_array_map"
local ADDRESSES = set "unsafe_ptr user_ptr" -- the helper finds out whether there is memory
local HEADERS = { ["struct iphdr"] = true, ["struct ipv6hdr"] = true, ["struct tcphdr"] = true } -- also without a size
local NUMBERS = { long = "s64", ["unsigned long"] = "u64", __u64 = "u64", __u32 = "u32" }
local RESULTS = { long = "int", int = "int", __s64 = "int", __u64 = "u64", __u32 = "u32", void = "void" }

-- Classes -------------------------------------------------------------------------------------------------------------

local function is_size(parameter)
  return parameter and not parameter.pointer and (parameter.name:find("size$") or parameter.name:find("len$")
    or parameter.name:find("sz$") or parameter.name == "size_of_buf")
end

-- How a helper uses the memory behind a pointer that isn't const.
local function usage(helper, parameter)
  if parameter.const or helper.has_buffer then
    return "memory"
  end
  helper.has_buffer = true
  return FILLS[helper.name] and "output" or CHANGES[helper.name] and "buffer" or "memory"
end

local function classify_pointer(helper, at)
  local parameter, before, after = helper[at], helper[at - 1], helper[at + 1]
  local name, type = parameter.name, parameter.type
  if MAPS[name] then
    return "map"
  elseif CONTEXT_TYPES[type] or at == 1 and type == "void" and CONTEXTS[name] then
    return "context"
  elseif name == "callback_fn" then
    return "function"
  elseif before and before.class == "function" then
    return "callback context"
  elseif name == "key" and type == "void" then
    return "map key"
  elseif name == "value" and helper[1].class == "map" then
    return "map " .. usage(helper, parameter):gsub("memory", "value")
  elseif ADDRESSES[name] or helper.name == "probe_write_user" and name == "dst" then
    return "address"
  elseif is_size(after) or HEADERS[type] then
    return usage(helper, parameter) .. (type:find("^struct") and " " .. type or "")
  elseif type == "char" then
    return "string"
  elseif NUMBERS[type] then
    return usage(helper, parameter) .. " " .. NUMBERS[type]
  end
  return type .. " *"
end

local function classify(helper, at)
  local parameter, before = helper[at], helper[at - 1]
  if parameter.pointer then
    return classify_pointer(helper, at)
  elseif parameter.name == "..." or parameter.name == "flags" then
    return parameter.name
  elseif is_size(parameter) and before and before.sized then
    return "size"
  end
  return "value"
end

-- Reading -------------------------------------------------------------------------------------------------------------

-- "const struct path *path": its parts.
local function read_parameter(text)
  local type, star, name = text:match("^(.-) *(%*?)([a-z_0-9.]+)$")
  return { type = type:gsub("^const ", ""), const = type:find("^const ") ~= nil, pointer = star == "*", name = name }
end

-- The helper's row: `4 probe_read int (output, size, address)`.
local function read_helper(result, name, parameters, id)
  local helper = { name = name }
  for text in parameters:sub(2, -2):gmatch("[^,]+") do
    if text ~= "void" then
      helper[#helper + 1] = read_parameter(text:match("^ *(.*)$"))
    end
  end
  local classes = {}
  for at, parameter in ipairs(helper) do
    parameter.class = classify(helper, at)
    parameter.sized = parameter.class:find("^memory") or parameter.class:find("^output")
      or parameter.class:find("^buffer")
    classes[at] = parameter.class .. (OPTIONAL[name .. "." .. parameter.name] and "?" or "")
  end
  result = result:gsub("^__bpf_fastcall ", ""):gsub(" *$", "")
  return ("%d %s %s (%s)"):format(id, name, RESULTS[result] or result, table.concat(classes, ", "))
end

local function read_header(path)
  local file <close> = assert(io.open(path))
  local rows = {}
  for line in file:lines() do
    local result, name, parameters, id =
      line:match("^static (.-)%(%*[ a-z]-bpf_([a-z_0-9]+)%)(%b()) = %(void %*%) (%d+);$")
    if name then
      rows[#rows + 1] = { id = math.tointeger(id), text = read_helper(result, name, parameters, id) }
    elseif line:find("^static ") then
      error("a line that isn't understood: " .. line)
    end
  end
  table.sort(rows, function(a, b) return a.id < b.id end)
  return rows
end

-- Writing -------------------------------------------------------------------------------------------------------------

local HEAD = [==[
-- SPDX-License-Identifier: MIT
-- The kernel's helpers, made by `make helpers` from libbpf's bpf_helper_defs.h; please change build-aux/helpers.lua.
--
-- `helpers.probe_read` is a row, or nil if there is no such helper: { id, name, result, type, parameters };
-- `ipairs(helpers)` goes over the names, in the order of their ids.
--
-- - result: "int", "u64", "u32", "void", or "pointer", whose C type is `type`: "void", "struct task_struct"
-- - parameters: a list of { class, type, optional, writes, uninitialised }; the last three are true or nil
--
-- The class of a parameter is one of:
-- - "context": the program's context
-- - "map"
-- - "map key", "map value": pointers to memory of the size that the map's keys and values have
-- - "memory": a pointer to memory, to a struct if `type` is set. The next parameter is its size; without one, the size
--   is the struct's
-- - "size": the size of the memory before
-- - "number": a pointer to an integer, whose `type` is "u32", "u64" or "s64"
-- - "pointer": any other pointer to a `type`
-- - "address": a number; the helper fails if there is no memory at that address
-- - "string": a constant string
-- - "flags", "value": integers
-- - "function", "callback context": a callback, and the pointer that it gets
-- - "...": up to three values
--
-- `optional` says that the pointer may be 0. `writes` says that the helper writes to the memory. `uninitialised` says
-- that the program need not have written to the memory before; elsewhere, the verifier of some kernels wants that.

]==]

local TAIL = [==[

local MEMORY = {
  memory = {},
  output = { writes = true, uninitialised = true },
  buffer = { writes = true },
}

-- A parameter: "map", "output struct bpf_tunnel_key", "struct bpf_sock *"; "?" behind it means optional.
local function decode_parameter(text)
  local pointer = text:match("^(.*) %*$")
  if pointer then
    return { class = "pointer", type = pointer }
  elseif text == "map output" then
    return { class = "map value", writes = true, uninitialised = true }
  end
  local use, type = text:match("^([a-z]+) ?(.*)$")
  if not MEMORY[use] then
    return { class = text }
  end
  return {
    class = (type == "" or type:find("^struct")) and "memory" or "number",
    type = type ~= "" and type or nil,
    writes = MEMORY[use].writes,
    uninitialised = MEMORY[use].uninitialised,
  }
end

local function decode(row)
  local id, name, result, list = row:match("^(%d+) ([a-z_0-9]+) (.-) %((.*)%)$")
  local parameters = {}
  for text, optional in list:gmatch(" ?([^,?]+)(%??)") do
    local parameter = decode_parameter(text)
    parameter.optional = optional == "?" or nil
    parameters[#parameters + 1] = parameter
  end
  local type = result:match("^(.*) %*$")
  return {
    id = math.tointeger(id), name = name, result = type and "pointer" or result, type = type, parameters = parameters,
  }
end

local helpers, by_name = {}, {}
for i, row in ipairs(ROWS) do
  helpers[i] = row:match(" ([a-z_0-9]+)")
  by_name[helpers[i]] = row
end

return setmetatable(helpers, { __index = function(_, name)
  local row = by_name[name]
  if not row then
    return nil
  end
  helpers[name] = decode(row)
  return helpers[name]
end })
]==]

local rows = {}
for i, row in ipairs(read_header(assert(arg[1], "usage: helpers.lua bpf_helper_defs.h"))) do
  rows[i] = ("  %q,\n"):format(row.text)
end
io.write(HEAD, "local ROWS = {\n", table.concat(rows), "}\n", TAIL)
