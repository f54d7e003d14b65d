-- SPDX-License-Identifier: MIT
-- Values of tables as text, by what they mean: names of users, signals and functions, stacks, addresses.
local display = require("bpf.hist.display")
local format = require("bpf.format")
local core = require("bpf.core")
local enumerators = require("bpf.format.enumerators")
local hist = require("bpf.hist")
local number = require("bpf.base.number")
local stacks = require("bpf.trace.stacks")
local symbols = require("bpf.symbols")
local syscalls = require("bpf.format.syscalls")

local keys = {}

-- The functions that give an integer a meaning, and which.
keys.FUNCTIONS = {
  ksym = "kernel address", usym = "user symbol", syscall = "syscall", errno = "errno", signal = "signal",
  port = "port", duration = "duration",
}

-- By the meaning of an integer. What isn't here is shown as a number. `names` has functions of the tool's own.
local MEANINGS <const> = {
  uid = format.user, cgroup = format.cgroup, errno = format.result, signal = format.signal,
  ["kernel address"] = format.symbol, ["function"] = format.symbol, ["user address"] = format.hex,
  ["user symbol"] = format.hex,
  duration = format.duration, time = format.time, syscall = syscalls.name,
}

-- Meanings with a text of their own behind the first word: functions of that text and the number.
local PREFIXES <const> = {
  enum = enumerators.name, symbolic = enumerators.symbol,
  time = function(form, ns) return os.date(form, (core.walltime(ns))) end,
}

-- The function that gives the text of an integer; nil where it is shown as a number.
local function shower(type, context)
  local meaning = type.meaning
  if not meaning then
    return nil
  end
  local known = context.names and context.names[meaning] or MEANINGS[meaning]
  local word, rest = meaning:match("^([a-z]+) (.*)$")
  local prefix = not known and PREFIXES[word]
  return prefix and function(n) return prefix(rest, n) end or known
end

local function integer(type, n, context)
  local show = shower(type, context)
  local ok, text = pcall(show or number.text, n)
  return ok and text ~= nil and tostring(text) or number.text(n)
end

-- The symbols of a process, which are read when it is first seen.
local function process_of(pid, context)
  local known = context.processes
  if pid == nil then -- of a shared table that hasn't it
    return nil
  elseif known[pid] == nil then
    local find = context.process or symbols.process
    known[pid] = find(pid) or false
  end
  return known[pid] or nil
end

-- Reads the symbols of a process again. If it has ended, those that were read stay.
local function read_again(pid, context)
  local find = context.process or symbols.process
  local process = find(pid)
  if process and (process.maps == nil or process.maps[1]) then -- one that is ending has no mappings any more
    context.processes[pid] = process
  end
end

-- The function at an address of a process, without the file. Where none is found, the process may have loaded a file
-- since its symbols were read.
local function user_symbol(address, context, pid)
  for _ = 1, 2 do
    local process = process_of(pid, context)
    local name = process and symbols.text(process, address):match("^([^0].-) %b()$")
    if name or not process then
      return name or format.hex(address)
    end
    read_again(pid, context)
  end
  return symbols.text(process_of(pid, context), address)
end

-- What an IPv4 address begins with where it stands for one of IPv6.
local MAPPED <const> = ("\0"):rep(10) .. "\xff\xff"

-- A text that fills its place: there may have been more. Its last letter, which may be a part of one, becomes a mark.
local function marked(s)
  return s:sub(1, (utf8.offset(s, -1) or 1) - 1) .. display.ellipsis(hist.utf8())
end

local texts = {
  integer = integer,
  pointer = function(_, n) return format.hex(n) end,
  boolean = function(_, v) return tostring(v == true or v == 1) end,
  string = function(type, s) return type.cut and #s >= type.size - 1 and marked(s) or s end,
  bytes = function(type, s)
    s = type.padded and s:match("^(.-)\0*$") or s
    return (s:gsub("[^\32-\126]", function(c) return ("\\x%02x"):format(c:byte()) end))
  end,
  address = function(_, s) return format.ip(s:sub(1, #MAPPED) == MAPPED and s:sub(#MAPPED + 1) or s) end,
}

-- The text of a value that isn't a stack. `pid` is the process of what means something in its process only.
function keys.text(type, value, context, pid)
  if type.meaning == "user symbol" and pid and value then
    return user_symbol(value, context, pid)
  end
  local make = texts[type.kind]
  return value == nil and "" or make and make(type, value, context) or tostring(value)
end

-- Whether a number stands for itself, and so is flushed right, and a number in JSON.
function keys.is_number(type, context)
  return type.kind == "integer" and not shower(type, context) or type.meaning == "duration"
end

-- Whether values have names of the kernel's functions.
function keys.is_of_kernel(type)
  return type.kind == "kstack" or type.meaning == "function" or type.meaning == "kernel address"
end

function keys.is_stack(type)
  return type.kind == "kstack" or type.kind == "ustack"
end

-- Stacks --------------------------------------------------------------------------------------------------------------

local NO_STACK <const> = -14 -- EFAULT: the thread has none there

-- Functions through which the kernel calls a program. They are in the stack, and say nothing of the event.
local CALLERS <const> = { "^bpf_prog_[0-9a-f]+_", "^bpf_trace_run[0-9]+%+", "^__bpf_trace_", "^bpf_get_stackid",
  "^bpf_trampoline_" }

local function is_caller(frame)
  for _, pattern in ipairs(CALLERS) do
    if frame:find(pattern) then
      return true
    end
  end
  return false
end

-- The frames of a stack, a sequence of lines, the innermost first. Those of the program itself are left out.
function keys.frames(part, id, pid, context)
  local addresses = stacks.addresses(context.stacks, id)
  if not addresses then
    return { id == NO_STACK and "[no stack]" or "[stack not kept]" }
  end
  local of_kernel = part.type.kind == "kstack"
  local text = symbols.stack(of_kernel and addresses or nil, not of_kernel and addresses or nil,
    not of_kernel and process_of(pid, context) or nil)
  local lines = {}
  for line in text:gmatch("[^\n]+") do
    if lines[1] or not (of_kernel and is_caller(line)) then
      lines[#lines + 1] = line
    end
  end
  return lines[1] and lines or { "[empty stack]" }
end

-- A stack in one line, as a value of a shared table.
local function stack(type, id, context)
  return table.concat(keys.frames({ type = type }, id, nil, context), ", ")
end
texts.kstack, texts.ustack = stack, stack

return keys
