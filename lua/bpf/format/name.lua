-- SPDX-License-Identifier: MIT
--- Names that can change: of interfaces, cgroups, processes, users and functions of the kernel.
-- @module bpf.format

local core = require("bpf.core")
local argument = require("bpf.base.argument")
local number = require("bpf.base.number")
local posix = require("bpf.base.posix")
local quantity = require("bpf.format.quantity")

local name_of = {}

local KEEP <const> = 60 -- seconds

-- Remembers what `read(key)` answers: a name, or nil; or nil, a message and an errno or its name, which is remembered
-- only if it is the kernel's answer. In place of nil there is the last name that was known, or the number. After a
-- while it is asked again; what nobody asks for any more is forgotten.
local function remember(read)
  local now, before, until_when = {}, {}, 0
  return function(key)
    local name, time = now[key], posix.seconds()
    if name == nil or time >= until_when then
      if time >= until_when then
        now, before, until_when = {}, now, time + KEEP
      end
      local problem, code
      name, problem, code = read(key)
      local known = name ~= nil or problem == nil or posix.is_final(code)
      name = name or before[key] or number.unsigned(key)
      if known then
        now[key] = name
      end
    end
    return name
  end
end

-- A name by a number of 32 bits; others have none.
local function of_32_bits(read)
  return remember(function(key)
    if key >= 0 and key <= 0xffffffff then
      return read(key)
    end
  end)
end

local interface = of_32_bits(core.interface_name)

--- Returns the name of a network interface by its index, or the index if there is no such interface. Names are kept for
-- a minute.
-- @tparam integer ifindex
-- @treturn string
-- @usage
-- print(bpf.format.interface(1)) -- lo
function name_of.interface(ifindex)
  return (interface(argument.integer(1, "interface", ifindex)))
end

local cgroup = remember(core.cgroup_path)

--- Returns the path of a cgroup by its id: "/system.slice/ssh.service". If there is no such cgroup, or no longer, or
-- its path can't be read, it returns the id. Paths are kept for a minute, and longer as long as they are asked for,
-- even if the cgroup is gone.
-- @tparam integer id
-- @treturn string
-- @usage
-- print(bpf.format.cgroup(1)) -- / where cgroup2 is mounted, else 1
-- @see bpf.cgroup_path
function name_of.cgroup(id)
  return (cgroup(argument.integer(1, "cgroup", id)))
end

local process = remember(function(pid)
  if pid == 0 then
    return "swapper" -- CPUs that have nothing to do
  end
  local file <close>, message, code = io.open(("/proc/%d/comm"):format(pid))
  if not file then
    return nil, message, code
  end
  return file:read("l")
end)

--- Returns the name of a process by its id, or the id if the process ended before its name was asked for. Names are
-- kept for a minute, and longer as long as they are asked for, even if the process has ended.
-- @tparam integer pid
-- @treturn string
-- @usage
-- print(bpf.format.process(1)) -- for example systemd
function name_of.process(pid)
  return (process(argument.integer(1, "process", pid)))
end

local user = of_32_bits(posix.user)

--- Returns the name of a user by the id, as the system's name service knows it, or the id if it knows none. Names are
-- kept for a minute.
-- @tparam integer uid
-- @treturn string
-- @usage
-- print(bpf.format.user(0)) -- root
-- @see getpwuid_r(3)
function name_of.user(uid)
  return (user(argument.integer(1, "user", uid)))
end

--- Returns the name of the kernel's function that an address is in, or the address if it is in none.
-- @tparam integer address
-- @treturn string
-- @usage
-- print(bpf.format.symbol(0x1000)) -- 0x1000
-- @see bpf.symbols.kernel
function name_of.symbol(address)
  address = argument.integer(1, "symbol", address)
  local kernel = require("bpf.symbols").kernel()
  return kernel and kernel:find(address) or quantity.hex(address)
end

return name_of
