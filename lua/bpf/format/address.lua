-- SPDX-License-Identifier: MIT
--- Addresses of networks as text.
-- @module bpf.format

local argument = require("bpf.base.argument")
local error = argument.error

local address = {}

local LITTLE <const> = ("=I2"):pack(1) == "\1\0" -- the order of bytes of this machine

-- The n bytes of a value that stands for an address: a string, an integer, a sequence of integers of one size, or
-- struct in6_addr. Or nil, and what the value is instead.
local function bytes_of(value, n)
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
    local size, bytes = n // #value, {}
    for i, part in ipairs(value) do
      local instead
      bytes[i], instead = bytes_of(part, size)
      if instead then
        return nil, instead
      end
    end
    return table.concat(bytes)
  end
  return nil, type(value) == "string" and tostring(#value) or type(value)
end

-- The same for the argument of a function, which raises.
local function need(value, n, fname)
  local bytes, instead = bytes_of(value, n)
  return bytes or error(("%s: %d bytes expected, got %s"):format(fname, n, instead), 3)
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
-- print(bpf.format.ipv4("\xc0\x00\x02\x01")) -- 192.0.2.1
function address.ipv4(value)
  if LITTLE and math.type(value) == "integer" then
    return DOTTED[value & 255] .. DOTTED[value >> 8 & 255] .. DOTTED[value >> 16 & 255] .. (value >> 24 & 255)
  end
  return ("%d.%d.%d.%d"):format(need(value, 4, "ipv4"):byte(1, 4))
end

--- Returns an IPv4 address as text that is an integer in the byte order of this machine.
-- @tparam integer value
-- @treturn string
-- @usage
-- print(bpf.format.ipv4_host(0xc0000201)) -- 192.0.2.1
function address.ipv4_host(value)
  return ("%d.%d.%d.%d"):format((">I4"):pack(argument.integer(1, "ipv4_host", value) & 0xffffffff):byte(1, 4))
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

-- An IPv6 address of 16 bytes.
local function ipv6(bytes)
  if bytes:sub(1, 12) == ("\0"):rep(10) .. "\xff\xff" then
    return "::ffff:" .. address.ipv4(bytes:sub(13))
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

--- Returns an IPv6 address in network byte order as text, in the form of RFC 5952: "2001:db8::1", "::ffff:192.0.2.1".
-- The address is a string of 16 bytes, a sequence such as `__be32[4]`, or a `struct in6_addr`.
-- @tparam string|table value
-- @treturn string
-- @usage
-- print(bpf.format.ipv6("\x20\x01\x0d\xb8" .. ("\0"):rep(11) .. "\1")) -- 2001:db8::1
function address.ipv6(value)
  local text = ipv6(need(value, 16, "ipv6"))
  return text -- no tail call, by which errors would not find the caller
end

--- Returns an address of 4 or of 16 bytes in network byte order as text. An IPv4 address within an IPv6 address is
-- written as IPv4.
-- @tparam integer|string|table value
-- @treturn string
-- @usage
-- print(bpf.format.ip(("\0"):rep(10) .. "\xff\xff\xc0\x00\x02\x01")) -- 192.0.2.1
function address.ip(value)
  if math.type(value) == "integer" or type(value) == "string" and #value == 4 or
    type(value) == "table" and value.s_addr then
    return address.ipv4(value)
  end
  return (ipv6(need(value, 16, "ip")):gsub("^::ffff:%f[%d](.*%..*)", "%1"))
end

--- Returns a hardware address of 6 bytes as text: "02:00:00:00:00:01".
-- @tparam string|table value
-- @treturn string
-- @usage
-- print(bpf.format.mac("\2\0\0\0\0\1")) -- 02:00:00:00:00:01
function address.mac(value)
  return ("%02x:%02x:%02x:%02x:%02x:%02x"):format(need(value, 6, "mac"):byte(1, 6))
end

--- Returns a port in network byte order, such as a `__be16`, as text.
-- @tparam integer|string value
-- @treturn string
-- @usage
-- print(bpf.format.port((string.unpack("=I2", "\x00\x50")))) -- 80
function address.port(value)
  return ("%d"):format((">I2"):unpack(need(value, 2, "port")))
end

return address
