-- SPDX-License-Identifier: MIT
-- The program of ratelimit. Each IPv4 address that sends has a time until which it has used up its share; a packet
-- moves that time on by one interval. A packet is dropped if the time is too far ahead: a token bucket without a lock.
local bpf = require "bpf"
local helper = bpf.helper

local programs = {}

--- By address. When there are too many, those that were quiet longest are forgotten, and may send a burst again.
programs.SOURCES = {
  type = "lru_hash", max_entries = 65536, key = "__u8[4]",
  value = "struct source { __u64 used_until; __u64 passed; __u64 dropped; }",
}

local Headers = bpf.btf.type "struct headers { __u8 macs[12]; __be16 protocol; __u8 before[12]; __u8 source[4]; }"

local DROP <const>, PASS <const> = 1, 2
local IPV4 <const> = 0x0800

--- Loads the program. An address may send `rate` packets a second, and `burst` at once.
function programs.load(sources, rate, burst)
  local interval = 1000000000 // rate
  local most = (burst - 1) * interval

  return bpf.programs { limit = { "xdp", function(ctx)
    local headers = ctx:packet(0, Headers)
    if not headers or headers.protocol ~= bpf.htons(IPV4) then
      return PASS
    end
    local now = helper.ktime_get_ns()
    local source = sources[headers.source]
    if not source then
      sources[headers.source] = { used_until = now + interval, passed = 1 }
      return PASS
    end
    local ahead = source.used_until - now
    if ahead > most then
      bpf.atomic.add(source, "dropped", 1)
      return DROP
    elseif ahead < 0 then
      source.used_until = now + interval
    else
      bpf.atomic.add(source, "used_until", interval)
    end
    bpf.atomic.add(source, "passed", 1)
    return PASS
  end } }
end

return programs
