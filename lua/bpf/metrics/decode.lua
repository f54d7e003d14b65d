-- SPDX-License-Identifier: MIT
--- Text for what keys and values of maps hold: addresses, interfaces, cgroups, processes. Labels of metrics name these
-- functions, `decode = "ipv4"`; they are of use elsewhere, too.
-- @module bpf.metrics.decode

local core = require("bpf.core")
local posix = require("bpf.base.posix")
local symbols = require("bpf.symbols")

local decode = {}

-- Addresses -----------------------------------------------------------------------------------------------------------

local LITTLE <const> = ("=I2"):pack(1) == "\1\0" -- the order of bytes of this machine

-- The n bytes of a value that stands for an address: a string, an integer, a sequence of integers of one size, or
-- struct in6_addr.
local function bytes_of(value, n, what)
  if type(value) == "table" then
    local union = value.in6_u or value.__in6_u
    if union then
      value = union.u6_addr8 or union.__u6_addr8
    elseif value.s_addr then
      value = value.s_addr
    end
  end
  if type(value) == "string" and #value == n then
    return value
  elseif math.type(value) == "integer" and n <= 8 then
    return ("=I8"):pack(value):sub(LITTLE and 1 or 9 - n):sub(1, n)
  elseif type(value) == "table" and #value > 0 and n % #value == 0 then
    local size = n // #value
    local bytes = {}
    for i, part in ipairs(value) do
      bytes[i] = bytes_of(part, size, what)
    end
    return table.concat(bytes)
  end
  error(("%s: %d bytes expected, got %s"):format(what, n, type(value) == "string" and #value or type(value)), 0)
end

local DOTTED = {} -- bytes and what follows them: scrapes have many
for i = 0, 255 do
  DOTTED[i] = i .. "."
end

--- Returns an IPv4 address in network byte order as text: "192.0.2.1". The kernel's `__be32` and `unsigned char[4]` are
-- in that order.
-- @tparam integer|string|table value
-- @treturn string
-- @usage
-- print(bpf.metrics.decode.ipv4("\xc0\x00\x02\x01")) -- 192.0.2.1
function decode.ipv4(value)
  if LITTLE and math.type(value) == "integer" then
    return DOTTED[value & 255] .. DOTTED[value >> 8 & 255] .. DOTTED[value >> 16 & 255] .. (value >> 24 & 255)
  end
  return ("%d.%d.%d.%d"):format(bytes_of(value, 4, "ipv4"):byte(1, 4))
end

--- Returns an IPv4 address as text that is an integer in the byte order of this machine.
-- @tparam integer value
-- @treturn string
-- @usage
-- print(bpf.metrics.decode.ipv4_host(0xc0000201)) -- 192.0.2.1
function decode.ipv4_host(value)
  return ("%d.%d.%d.%d"):format(value >> 24 & 255, value >> 16 & 255, value >> 8 & 255, value & 255)
end

-- Where the longest run of zeros among the eight parts begins, and how long it is.
local function zeros(parts)
  local at, longest, i = 0, 1, 1 -- a single zero is written
  while i <= 8 do
    local n = 0
    while parts[i + n] == 0 do
      n = n + 1
    end
    if n > longest then
      at, longest = i, n
    end
    i = i + math.max(n, 1)
  end
  return at, longest
end

--- Returns an IPv6 address in network byte order as text, in the form of RFC 5952: "2001:db8::1", "::ffff:192.0.2.1".
-- The address is a string of 16 bytes, a sequence such as `__be32[4]`, or a `struct in6_addr`.
-- @tparam string|table value
-- @treturn string
-- @usage
-- print(bpf.metrics.decode.ipv6("\x20\x01\x0d\xb8" .. ("\0"):rep(11) .. "\1")) -- 2001:db8::1
function decode.ipv6(value)
  local bytes = bytes_of(value, 16, "ipv6")
  if bytes:sub(1, 12) == ("\0"):rep(10) .. "\xff\xff" then
    return "::ffff:" .. decode.ipv4(bytes:sub(13))
  end
  local parts = { (">I2I2I2I2I2I2I2I2"):unpack(bytes) }
  parts[9] = nil -- where unpack stopped
  local at, n = zeros(parts)
  for i = 1, 8 do
    parts[i] = ("%x"):format(parts[i])
  end
  if at == 0 then
    return table.concat(parts, ":")
  end
  return ("%s::%s"):format(table.concat(parts, ":", 1, at - 1), table.concat(parts, ":", at + n))
end

--- Returns an address of 4 or of 16 bytes in network byte order as text. An IPv4 address within an IPv6 address is
-- written as IPv4.
-- @tparam integer|string|table value
-- @treturn string
-- @usage
-- print(bpf.metrics.decode.ip(("\0"):rep(10) .. "\xff\xff\xc0\x00\x02\x01")) -- 192.0.2.1
function decode.ip(value)
  if math.type(value) == "integer" or type(value) == "string" and #value == 4 or
    type(value) == "table" and value.s_addr then
    return decode.ipv4(value)
  end
  return (decode.ipv6(value):gsub("^::ffff:%f[%d](.*%..*)", "%1"))
end

--- Returns a hardware address of 6 bytes as text: "02:00:00:00:00:01".
-- @tparam string|table value
-- @treturn string
-- @usage
-- print(bpf.metrics.decode.mac("\2\0\0\0\0\1")) -- 02:00:00:00:00:01
function decode.mac(value)
  return ("%02x:%02x:%02x:%02x:%02x:%02x"):format(bytes_of(value, 6, "mac"):byte(1, 6))
end

--- Returns a port in network byte order, such as a `__be16`, as text.
-- @tparam integer value
-- @treturn string
-- @usage
-- print(bpf.metrics.decode.port((string.unpack("=I2", "\x00\x50")))) -- 80
function decode.port(value)
  return ("%d"):format((">I2"):unpack(bytes_of(value, 2, "port")))
end

--- Returns an integer in base 16 as text, or the bytes of a string as pairs of digits: "0x1f", "00ff12".
-- @tparam integer|string value
-- @treturn string
-- @usage
-- print(bpf.metrics.decode.hex(31), bpf.metrics.decode.hex("\0\xff\x12")) -- 0x1f   00ff12
function decode.hex(value)
  if type(value) == "string" then
    return (value:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
  end
  return ("0x%x"):format(value)
end

--- Returns an integer as text, unsigned: a negative integer of Lua is taken for an unsigned one of 64 bits.
-- @tparam integer value
-- @treturn string
-- @usage
-- print(bpf.metrics.decode.unsigned(-1)) -- 18446744073709551615
function decode.unsigned(value)
  return value < 0 and ("%d%d"):format((value >> 1) // 5, value - (value >> 1) // 5 * 10) or ("%d"):format(value)
end

-- Names that can change -----------------------------------------------------------------------------------------------

local KEEP <const> = 60 -- seconds

-- Remembers what `read(key)` answers: a name, or nil; or nil, a message and an errno or its name, which is remembered
-- only if it is the kernel's answer. In place of nil there is the last name that was known, or `text(key)`. After a
-- while it is asked again; what nobody asks for any more is forgotten.
local function remember(read, text)
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
      name = name or before[key] or text(key)
      if known then
        now[key] = name
      end
    end
    return name
  end
end

local function decimal(n)
  return ("%d"):format(n)
end

local interface = remember(core.interface_name, decimal)

--- Returns the name of a network interface by its index, or the index if there is no such interface. Names are kept for
-- a minute.
-- @tparam integer ifindex
-- @treturn string
-- @usage
-- print(bpf.metrics.decode.interface(1)) -- lo
function decode.interface(ifindex)
  return interface(ifindex)
end

local cgroup = remember(core.cgroup_path, decode.unsigned)

--- Returns the path of a cgroup by its id: "/system.slice/ssh.service". If there is no such cgroup, or no longer, or
-- its path can't be read, it returns the id. Paths are kept for a minute, and longer as long as they are asked for,
-- even if the cgroup is gone.
-- @tparam integer id
-- @treturn string
-- @usage
-- print(bpf.metrics.decode.cgroup(1)) -- / where cgroup2 is mounted, else 1
-- @see bpf.cgroup_path
function decode.cgroup(id)
  return cgroup(id)
end

local process = remember(function(pid)
  if pid == 0 then
    return "swapper" -- CPUs that have nothing to do
  end
  local file <close>, message, number = io.open(("/proc/%d/comm"):format(pid))
  if not file then
    return nil, message, number
  end
  return file:read("l")
end, decimal)

--- Returns the name of a process by its id, or the id if the process ended before its name was asked for. Names are
-- kept for a minute, and longer as long as they are asked for, even if the process has ended.
-- @tparam integer pid
-- @treturn string
-- @usage
-- print(bpf.metrics.decode.process(1)) -- for example systemd
function decode.process(pid)
  return process(pid)
end

--- Returns the name of the kernel's function that an address is in, or the address if it is in none.
-- @tparam integer address
-- @treturn string
-- @usage
-- print(bpf.metrics.decode.symbol(0x1000)) -- 0x1000
-- @see bpf.symbols.kernel
function decode.symbol(address)
  local kernel = symbols.kernel()
  return kernel and kernel:find(address) or decode.hex(address)
end

return decode
