-- SPDX-License-Identifier: MIT
-- What a program gets, by its section: a row for each kind, a function of the compiler and the section's part behind
-- the slash. It returns the values of the function's parameters, by number from 0.
local core = require("bpf.core")
local counted = require("bpf.base.number").counted
local near = require("bpf.base.near")
local packet = require("bpf.program.packet")
local types = require("bpf.program.types")
local values = require("bpf.program.values")

local contexts = {}

-- What is wrong is the function's, as a whole.
local function fail(c, text, ...)
  c.pc = nil
  c:fail(text, ...)
end

-- One parameter: the context, as a struct -----------------------------------------------------------------------------

local function context_value(c, form)
  return { [0] = { kind = "pointer", r = c.context, offset = 0, type = form, space = "ctx" } }
end

local function named(c, name)
  local form = types.named(name)
  if not form then
    local handle, why = types.kernel()
    fail(c, "the kernel has no %s%s", name, handle and "" or ": " .. why)
  end
  return form
end

-- A struct of the kernel's, with what packets need. It is the same one in every round of the analysis.
local function struct(name, ways)
  local form
  return function(c)
    form = form or ways and setmetatable({ methods = ways }, { __index = named(c, name) }) or named(c, name)
    return context_value(c, form)
  end
end

local function tracepoint(c, place)
  local category, name = place:match("^([^/]+)/(.+)$")
  if not category then
    fail(c, "a tracepoint has a category and a name: tracepoint/sched/sched_switch")
  end
  local tracefs = require("bpf.program.tracefs")
  local form, why = (types.is_relocated() and tracefs.relocated_record or tracefs.record)(category, name)
  if not form then
    fail(c, "%s", why)
  end
  return context_value(c, form)
end

local function usdt(c, ...)
  return require("bpf.program.usdt").start(c, ...)
end

local function iterator(c, place)
  return struct("struct bpf_iter__" .. place)(c)
end

-- The context of a syscall program has the type that the option ctx_type gives.
local UNKNOWN = { kind = "struct", size = 0, name = "a context without the option ctx_type", order = {}, members = {} }

local function own_type(c)
  return context_value(c, c.unit.ctx_type and types.of(c.unit.ctx_type) or UNKNOWN)
end

-- Arguments, typed by BTF ---------------------------------------------------------------------------------------------

-- The value of an argument of a type that is in `r`, in all 64 bits.
local function argument_value(c, form, r, space)
  local f = c.f
  if form.kind == "ptr" then
    local target = form.to()
    if target and target.kind == "struct" then
      return { kind = "pointer", r = r, offset = 0, type = target, space = space, null = true }
    end
    return values.integer(r)
  elseif form.kind ~= "int" or form.size > 8 then
    return { kind = "pointer", r = r, offset = 0, type = form, space = space, null = true }
  elseif form.bool then
    return { kind = "boolean", r = f:alu("and", r, 1) }
  elseif form.size < 8 then
    local shift = 64 - 8 * form.size
    r = f:alu(form.signed and "arsh" or "rsh", f:alu("lsh", r, shift), shift)
  end
  return values.integer(r, form.size < 8 and not form.signed)
end

-- The parameters of a function's prototype, as a list of forms; of what returns, its result behind them.
local function prototype(handle, description, with_result)
  local list = {}
  for n, parameter in ipairs(description.params) do
    list[n] = types.of_btf(handle, parameter.type_id)
  end
  if with_result and description.returns_id and description.returns_id ~= 0 then
    list[#list + 1] = types.of_btf(handle, description.returns_id)
  end
  return list
end

-- How many 64-bit words an argument takes. Structs of up to two are handed over by value.
local function words_of(form)
  return form and form.kind == "struct" and math.max(1, (form.size + 7) // 8) or 1
end

local MOST_WORDS <const> = 2

-- The value of an argument: `load(i)` gives the i-th word of all arguments, of which it begins with `first`.
local function argument_at(c, form, first, load, space)
  if not form or form.kind ~= "struct" then
    local r = load(first)
    return form and argument_value(c, form, r, space) or values.integer(r)
  elseif words_of(form) > MOST_WORDS then
    fail(c, "an argument of the function is a %s of %d bytes, which no register has", form.name or "struct", form.size)
  end
  local object = c:stable_object(form.size)
  for i = 0, words_of(form) - 1 do
    c.f:store(object, 8 * i, 8, load(first + i))
  end
  return { kind = "buffer", object = object, offset = 0, type = form }
end

-- Loads each parameter that the function has from the context's array of 64-bit words.
local function load_arguments(c, forms, space, place)
  local state, at = {}, 0
  for n = 1, c.proto.parameters do
    local form = forms and forms[n]
    if forms and not form then
      fail(c, "%s has %s, and the function takes %d", place, counted(#forms, "argument"), c.proto.parameters)
    end
    state[n - 1] = argument_at(c, form, at, function(i) return c.f:load(c.context, 8 * i, 8) end, space)
    at = at + words_of(form)
  end
  return state
end

-- The arguments of a raw tracepoint: its type is a pointer to a function whose first parameter is no argument.
local function tracepoint_arguments(place)
  local handle = types.kernel()
  local typedef = handle and handle:find("btf_trace_" .. place, "typedef")
  local pointer = typedef and handle:resolve(typedef.id)
  local description = pointer and handle:resolve(pointer.type_id)
  if not description then
    return nil
  end
  local forms = prototype(handle, description)
  table.remove(forms, 1)
  return forms
end

local function raw_tracepoint(space)
  return function(c, place)
    local forms = c.proto.parameters > 0 and tracepoint_arguments(place) or nil
    return load_arguments(c, forms, space, place)
  end
end

-- The function of a fentry, fexit, fmod_ret or LSM program.
local function kernel_function(prefix, with_result)
  return function(c, place)
    if c.proto.parameters == 0 then
      return {}
    end
    local handle, why = types.kernel()
    local description = handle and handle:find(prefix .. place, "func")
    if not description then
      fail(c, "the kernel has no function '%s'%s", place, why and (": " .. why) or "")
    end
    return load_arguments(c, prototype(handle, description, with_result), "trusted", place)
  end
end

-- Arguments in registers ----------------------------------------------------------------------------------------------

-- Where struct pt_regs has the arguments of a function, and its result.
local REGISTERS = {
  x86_64 = { arguments = { 112, 104, 96, 88, 72, 64 }, result = 80, syscall = { 112, 104, 96, 56, 72, 64 } },
  aarch64 = { arguments = { 0, 8, 16, 24, 32, 40, 48, 56 }, result = 0, syscall = { 0, 8, 16, 24, 32, 40 } },
}

local function registers(c)
  local machine = core.posix.machine()
  return REGISTERS[machine] or fail(c, "where %s has the arguments of a function isn't known", machine)
end

-- The forms of a kernel function's arguments, or of its result, where BTF has it.
local function probed_forms(place, result)
  local handle = types.kernel()
  local description = handle and handle:find(place:match("^[^+]+"), "func")
  if not description then
    return {}
  elseif result then
    return { description.returns_id ~= 0 and types.of_btf(handle, description.returns_id) or nil }
  end
  return prototype(handle, description)
end

local function load_registers(c, offsets, forms)
  local state, at = {}, 0
  local function load(i)
    if not offsets[i + 1] and #offsets == 1 then
      fail(c, "the program gets the function's result only, and takes %d arguments", c.proto.parameters)
    elseif not offsets[i + 1] then
      fail(c, "only %d arguments are in registers, and the function takes %d", #offsets, c.proto.parameters)
    end
    return c.f:load(c.context, offsets[i + 1], 8)
  end
  for n = 1, c.proto.parameters do
    state[n - 1] = argument_at(c, forms[n], at, load, "kernel")
    at = at + words_of(forms[n])
  end
  return state
end

local function probe(forms_of)
  return function(c, place)
    return load_registers(c, registers(c).arguments, c.proto.parameters > 0 and forms_of and forms_of(place) or {})
  end
end

local function return_probe(forms_of)
  return function(c, place)
    local forms = c.proto.parameters > 0 and forms_of and forms_of(place, true) or {}
    return load_registers(c, { registers(c).result }, forms)
  end
end

-- A system call's arguments are in the registers of the thread, which its wrapper gets as its only argument: since
-- Linux 4.17 on x86_64, since 4.19 on arm64.
local function system_call(c)
  local state = {}
  local offsets = registers(c)
  local inner = c.proto.parameters > 0 and c.f:load(c.context, offsets.arguments[1], 8)
  for n = 1, c.proto.parameters do
    if not offsets.syscall[n] then
      fail(c, "a system call has 6 arguments, and the function takes %d", c.proto.parameters)
    end
    state[n - 1] = c:read(types.s64, inner, offsets.syscall[n], "kernel")
  end
  return state
end

-- The rows ------------------------------------------------------------------------------------------------------------

local function unsupported(what)
  return function(c) fail(c, "%s can't be written in Lua yet", what) end
end

local skb = { packet = packet.by_copy }
local sk_buff = struct("struct __sk_buff", skb)

local rows = {
  tracepoint = tracepoint, tp = tracepoint,
  raw_tp = raw_tracepoint("kernel"), raw_tracepoint = raw_tracepoint("kernel"),
  ["raw_tp.w"] = raw_tracepoint("kernel"), ["raw_tracepoint.w"] = raw_tracepoint("kernel"),
  tp_btf = raw_tracepoint("trusted"),
  fentry = kernel_function(""), fexit = kernel_function("", true), fmod_ret = kernel_function("", true),
  lsm = kernel_function("bpf_lsm_", true), lsm_cgroup = kernel_function("bpf_lsm_", true),
  kprobe = probe(probed_forms), kretprobe = return_probe(probed_forms),
  ["kprobe.multi"] = probe(), ["kretprobe.multi"] = return_probe(), ["kprobe.session"] = probe(),
  ksyscall = system_call, kretsyscall = return_probe(),
  uprobe = probe(), uretprobe = return_probe(), ["uprobe.multi"] = probe(), ["uretprobe.multi"] = return_probe(),
  ["uprobe.session"] = probe(),
  perf_event = struct("struct bpf_perf_event_data"),
  xdp = struct("struct xdp_md", { packet = packet.direct }),
  ["xdp.frags"] = struct("struct xdp_md", { packet = packet.direct }),
  tc = sk_buff, tcx = sk_buff, classifier = sk_buff, action = sk_buff, netkit = sk_buff,
  cgroup_skb = sk_buff, socket = sk_buff, sk_skb = sk_buff, lwt_in = sk_buff, lwt_out = sk_buff, lwt_xmit = sk_buff,
  lwt_seg6local = sk_buff, flow_dissector = sk_buff,
  sockops = struct("struct bpf_sock_ops", { packet = packet.headers }),
  sk_msg = struct("struct sk_msg_md", { packet = packet.direct }), sk_lookup = struct("struct bpf_sk_lookup"),
  sk_reuseport = struct("struct sk_reuseport_md", { packet = packet.direct }),
  iter = iterator, syscall = own_type,
  usdt = usdt, struct_ops = unsupported("a struct_ops program"),
  freplace = unsupported("a program that replaces another"),
}

-- Sections of cgroups: what is behind the slash, or the beginning of it.
local cgroup_rows = {
  { "^skb", sk_buff }, { "^sock_create", struct("struct bpf_sock") }, { "^sock_release", struct("struct bpf_sock") },
  { "^sock$", struct("struct bpf_sock") }, { "^post_bind", struct("struct bpf_sock") },
  { "^dev", struct("struct bpf_cgroup_dev_ctx") }, { "^sysctl", struct("struct bpf_sysctl") },
  { "^[gs]etsockopt", struct("struct bpf_sockopt", { optval = packet.option }) },
  { "^", struct("struct bpf_sock_addr") }, -- bind4, connect6, sendmsg4, getpeername6 and the like
}

local SLEEPABLE = "%.s$"

-- Programs that may sleep without saying so.
local SLEEPERS = { syscall = true }

-- Programs whose result the kernel doesn't use, but demands to be one number: by the kind, or by the hook of a cgroup.
local RESULTS = { fentry = 0, fexit = 0, recvmsg = 1, getpeername = 1, getsockname = 1 }

-- The only result that the kernel takes from programs of a section, or nil.
function contexts.only_result(section)
  local kind, hook = section:match("^([a-z_]+)[^/]*/?([a-z]*)")
  return RESULTS[kind == "cgroup" and hook or kind]
end

-- Kinds of programs during which another thread may run on the same CPU, and the same program in it.
local PREEMPTED = {}
for name in ([[uprobe uretprobe uprobe.multi uretprobe.multi uprobe.session usdt lsm lsm_cgroup iter]]):gmatch("%S+") do
  PREEMPTED[name] = true
end

-- Whether what a program keeps by CPU may be changed by another thread while it runs.
function contexts.preempted(section)
  local kind, sleepable = section:match("^[^/]*"):gsub(SLEEPABLE, "")
  return sleepable > 0 or SLEEPERS[kind] or PREEMPTED[kind] or false
end

-- What may stand behind the slash in sections of these kinds, each a name of libbpf's.
local PLACES = {
  cgroup = [[skb sock sock_create sock_release post_bind4 post_bind6 bind4 bind6 connect4 connect6 connect_unix sendmsg4
    sendmsg6 sendmsg_unix recvmsg4 recvmsg6 recvmsg_unix getpeername4 getpeername6 getpeername_unix getsockname4
    getsockname6 getsockname_unix dev sysctl getsockopt setsockopt]],
  cgroup_skb = "ingress egress", tc = "ingress egress", tcx = "ingress egress", netkit = "primary peer",
  sk_skb = "stream_parser stream_verdict verdict", sk_reuseport = "migrate", xdp = "devmap cpumap",
  ["xdp.frags"] = "devmap cpumap",
}

-- Kinds among these that nothing has to stand behind.
local COMPLETE = { tc = true, sk_skb = true, sk_reuseport = true, xdp = true, ["xdp.frags"] = true }

-- The sections that may be meant by one of a kind in PLACES: those whose place is near, or all of the kind.
local function sections_near(kind, place)
  local places = {}
  for name in PLACES[kind]:gmatch("%S+") do
    places[#places + 1] = name
  end
  local meant = near.names(place, places)
  local sections = { not meant[1] and COMPLETE[kind] and kind or nil }
  for _, name in ipairs(meant[1] and meant or places) do
    sections[#sections + 1] = kind .. "/" .. name
  end
  return sections
end

-- The sections whose kind is near.
local function kinds_near(kind, place)
  local kinds = {}
  for name in pairs(rows) do
    kinds[#kinds + 1] = name
  end
  local meant = near.names(kind, kinds)
  for i, name in ipairs(meant) do
    meant[i] = place == "" and name or name .. "/" .. place
  end
  return meant
end

-- What lua/bpf/trace/ makes its own arguments of.
contexts.parts = {
  argument_at = argument_at, words_of = words_of, prototype = prototype, registers = registers,
}

-- Fails for a section that libbpf doesn't know, and names those that are near.
local function fail_unknown(section, kind, place)
  local meant = PLACES[kind] and sections_near(kind, place) or kinds_near(kind, place)
  error({ program = ("section '%s' isn't known%s"):format(section, meant[1]
    and (" (near: %s)"):format(table.concat(meant, ", "))
    or ": 'tracepoint/sched/sched_switch', 'xdp' and 'cgroup/connect4' are examples") }, 0)
end

-- Whether a kind of section may have this place.
local function has_place(kind, place)
  local places = " " .. PLACES[kind]:gsub("%s+", " ") .. " "
  return place == "" and COMPLETE[kind] or places:find(" " .. place .. " ", 1, true)
end

-- The row of a section, the part behind the slash, and whether the program may sleep.
function contexts.find(section)
  local kind, place = section:match("^([^/]+)/?(.*)$")
  local sleepable = kind ~= nil and kind:find(SLEEPABLE) ~= nil
  kind = kind and kind:gsub(SLEEPABLE, "") or ""
  sleepable = sleepable or SLEEPERS[kind] or false
  if PLACES[kind] and not has_place(kind, place) then
    fail_unknown(section, kind, place)
  elseif kind == "cgroup" then
    for _, row in ipairs(cgroup_rows) do
      if place:find(row[1]) then
        return row[2], place, sleepable
      end
    end
  end
  local row = rows[kind]
  if not row then
    fail_unknown(section, kind, place)
  end
  return row, place, sleepable
end

return contexts
