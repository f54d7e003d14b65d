-- SPDX-License-Identifier: MIT
-- The program of offcpu: where threads leave the CPU, and how long until they are back, by process and stacks.
local bpf = require "bpf"
local helper, map = bpf.helper, bpf.map

local programs = {}

-- kernel, user: the stacks' keys in the map below; negative without one
local PLACE <const> = "struct place { __u32 pid; __s32 kernel; __s32 user; char comm[16]; }"

--- Nanoseconds by place.
programs.TIMES = { type = "hash", max_entries = 10240, key = PLACE, value = "__u64" }
programs.STACKS = { type = "stack_trace", max_entries = 16384, key = "__u32", value = "__u64[127]" }
--- Where threads are, and since when. One that ends there stays, so this is bounded.
programs.AWAY = {
  type = "lru_hash", max_entries = 16384, key = "__u32",
  value = ("struct away { __u64 since; %s place; }"):format(PLACE),
}

local USER_STACK <const> = 0x100 -- BPF_F_USER_STACK

--- Loads the program, for maps of the kinds above. `target` is a process, 0 for all; `least` and `most` are bounds of
-- the times in nanoseconds.
function programs.load(times, stacks, away, target, least, most)
  local lost = bpf.var "struct { __u64 ns; }" -- of times that found the map full

  -- The thread that leaves is still the current one, so its stacks are.
  local function leave(before)
    local pid = before.tgid
    if before.pid ~= 0 and (target == 0 or pid == target) then -- 0: a CPU that has nothing to do
      away[before.pid] = {
        since = helper.ktime_get_ns(),
        place = {
          pid = pid, kernel = helper.get_stackid(stacks), user = helper.get_stackid(stacks, USER_STACK),
          comm = before.comm,
        },
      }
    end
  end

  local function switch(_, before, next)
    leave(before)
    local left = away[next.pid]
    if not left then
      return
    end
    local ns = helper.ktime_get_ns() - left.since
    if ns >= least and ns <= most then
      local time = times[left.place]
      if time then
        map.add(times, left.place, ns)
      elseif not map.update(times, left.place, ns, "noexist") then
        bpf.atomic.add(lost, "ns", ns)
      end
    end
    away[next.pid] = nil
  end

  return bpf.programs { switch = { "raw_tp/sched_switch", switch } }
end

return programs
