-- SPDX-License-Identifier: MIT
-- The table of the kernel's helpers, beside the installed libbpf's header. Needs no root.
local helper = require "spec.helper"
local helpers = require "bpf.program.helpers"

-- name, id and number of parameters of each helper in libbpf's header.
local function each_helper()
  local text = helper.read("/usr/include/bpf/bpf_helper_defs.h")
  local found = text:gmatch("%(%*[ a-z]*bpf_([a-z_0-9]+)%)%(([^\n]*)%) = %(void %*%) ([0-9]+);")
  return function()
    local name, parameters, id = found()
    if name then
      local _, commas = parameters:gsub(",", "")
      return name, math.tointeger(id), parameters == "void" and 0 or commas + 1
    end
  end
end

describe("the table of helpers", function()
  it("has every helper of the installed libbpf, with its id and its parameters", function()
    local count = 0
    for name, id, parameters in each_helper() do
      assert.is_table(helpers[name], name)
      assert.same({ name, id, parameters }, { helpers[name].name, helpers[name].id, #helpers[name].parameters })
      count = count + 1
    end
    assert.is_true(count > 200)
    assert.is_true(#helpers >= count)
  end)

  it("is in the order of ids", function()
    local last = 0
    for _, name in ipairs(helpers) do
      assert.is_true(helpers[name].id > last)
      last = helpers[name].id
    end
  end)

  it("has nothing else", function()
    assert.is_nil(helpers.absent)
    assert.is_nil(helpers[0])
    assert.is_nil(helpers[#helpers + 1])
    assert.is_nil(helpers[nil])
    assert.is_nil(helpers["map lookup elem"])
  end)

  it("has no class of parameters or results that isn't known", function()
    local classes, results = {}, {}
    for _, class in ipairs {
      "context", "map", "map key", "map value", "memory", "size", "number", "pointer", "address", "string", "flags",
      "value", "function", "callback context", "...",
    } do
      classes[class] = true
    end
    for _, class in ipairs { "int", "u64", "u32", "void", "pointer" } do
      results[class] = true
    end
    for _, name in ipairs(helpers) do
      local row = helpers[name]
      assert.is_true(results[row.result], name)
      assert.equal(row.result == "pointer", row.type ~= nil, name)
      for _, parameter in ipairs(row.parameters) do
        assert.is_true(classes[parameter.class], name)
      end
    end
  end)

  it("has a size behind all memory but a struct's", function()
    for _, name in ipairs(helpers) do
      local parameters = helpers[name].parameters
      for i, parameter in ipairs(parameters) do
        local after = parameters[i + 1]
        if parameter.class == "memory" then
          assert.is_true(after ~= nil and after.class == "size" or parameter.type ~= nil, name)
        elseif parameter.class == "size" then
          assert.equal("memory", parameters[i - 1].class, name)
        end
      end
    end
  end)
end)

local context, map, size, flags, value = { class = "context" }, { class = "map" }, { class = "size" },
  { class = "flags" }, { class = "value" }
local memory = { class = "memory" }
local output = { class = "memory", writes = true, uninitialised = true }

local ROWS = {
  { id = 1, name = "map_lookup_elem", result = "pointer", type = "void", parameters = { map, { class = "map key" } } },
  { id = 2, name = "map_update_elem", result = "int",
    parameters = { map, { class = "map key" }, { class = "map value" }, flags } },
  { id = 5, name = "ktime_get_ns", result = "u64", parameters = {} },
  { id = 6, name = "trace_printk", result = "int", parameters = { memory, size, { class = "..." } } },
  { id = 7, name = "get_prandom_u32", result = "u32", parameters = {} },
  { id = 16, name = "get_current_comm", result = "int", parameters = { output, size } },
  { id = 20, name = "skb_get_tunnel_key", result = "int", parameters = {
    context, { class = "memory", type = "struct bpf_tunnel_key", writes = true, uninitialised = true }, size, flags } },
  { id = 25, name = "perf_event_output", result = "int", parameters = { context, map, flags, memory, size } },
  { id = 26, name = "skb_load_bytes", result = "int", parameters = { context, value, output, size } },
  { id = 36, name = "probe_write_user", result = "int", parameters = { { class = "address" }, memory, size } },
  { id = 41, name = "set_hash_invalid", result = "void", parameters = { context } },
  { id = 84, name = "sk_lookup_tcp", result = "pointer", type = "struct bpf_sock",
    parameters = { context, { class = "memory", type = "struct bpf_sock_tuple" }, size, value, flags } },
  { id = 88, name = "map_pop_elem", result = "int",
    parameters = { map, { class = "map value", writes = true, uninitialised = true } } },
  { id = 105, name = "strtol", result = "int", parameters = {
    memory, size, flags, { class = "number", type = "s64", writes = true } } },
  { id = 112, name = "probe_read_user", result = "int", parameters = { output, size, { class = "address" } } },
  { id = 131, name = "ringbuf_reserve", result = "pointer", type = "void", parameters = { map, value, flags } },
  { id = 147, name = "d_path", result = "int",
    parameters = { { class = "pointer", type = "struct path" }, { class = "memory", writes = true }, size } },
  { id = 156, name = "task_storage_get", result = "pointer", type = "void", parameters = {
    map, { class = "pointer", type = "struct task_struct" }, { class = "map value", optional = true }, flags } },
  { id = 163, name = "check_mtu", result = "int",
    parameters = { context, value, { class = "number", type = "u32", writes = true }, value, flags } },
  { id = 165, name = "snprintf", result = "int", parameters = {
    { class = "memory", writes = true, optional = true }, size, { class = "string" },
    { class = "memory", optional = true }, size } },
  { id = 181, name = "loop", result = "int",
    parameters = { value, { class = "function" }, { class = "callback context" }, flags } },
  { id = 206, name = "tcp_raw_check_syncookie_ipv4", result = "int", parameters = {
    { class = "memory", type = "struct iphdr" }, { class = "memory", type = "struct tcphdr" } } },
}

describe("the row of", function()
  for _, row in ipairs(ROWS) do
    it(row.name, function()
      assert.same(row, helpers[row.name])
    end)
  end
end)
