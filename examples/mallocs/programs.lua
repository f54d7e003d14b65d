-- SPDX-License-Identifier: MIT
-- The programs of mallocs: which stacks allocate memory, how much, and how much of it has not been freed.
local bpf = require "bpf"
local helper = bpf.helper

local programs = {}

--- What a stack has allocated, in all and less what was freed, by process and the stack's key in the map below. There
-- is no stack in the kernel.
programs.USES = {
  type = "hash", max_entries = 10240, key = "struct place { __u32 pid; __s32 kernel; __s32 user; char comm[16]; }",
  value = "struct use { __s64 bytes; __s64 calls; __s64 live_bytes; __s64 live_calls; }",
}
programs.STACKS = { type = "stack_trace", max_entries = 16384, key = "__u32", value = "__u64[127]" }
--- The size of the call that a thread is in. One that ends there stays, so this is bounded.
programs.CALLS = { type = "lru_hash", max_entries = 4096, key = "__u32", value = "__u64" }
--- What was allocated and not freed, by process and address.
programs.BLOCKS = {
  type = "hash", max_entries = 262144, flags = "no_prealloc", key = "struct block { __u64 pid; __u64 address; }",
  value = "struct origin { __u64 bytes; __s64 user; char comm[16]; }",
}

local USER_STACK <const> = 0x100 -- BPF_F_USER_STACK
local NO_STACK <const> = -1

--- Loads the programs, for maps of the kinds above. Each is attached to the functions that its name tells.
function programs.load(uses, stacks, calls, blocks)
  local lost = bpf.var "struct { __u64 blocks; }" -- that found a map full

  local function begin(bytes)
    calls[helper.get_current_pid_tgid() & 0xffffffff] = bytes
  end

  local function count(place, bytes)
    local use = uses[place]
    if not use then
      bpf.map.update(uses, place, {}, "noexist")
      use = uses[place]
    end
    if use then
      bpf.atomic.add(use, "bytes", bytes)
      bpf.atomic.add(use, "calls", 1)
      bpf.atomic.add(use, "live_bytes", bytes)
      bpf.atomic.add(use, "live_calls", 1)
    end
  end

  local function finish(address)
    local id = helper.get_current_pid_tgid()
    local bytes = calls[id & 0xffffffff]
    if not bytes then
      return
    end
    calls[id & 0xffffffff] = nil
    if address == 0 then
      return
    end
    local user, comm = helper.get_stackid(stacks, USER_STACK), helper.get_current_comm()
    if bpf.map.update(blocks, { pid = id >> 32, address = address }, { bytes = bytes, user = user, comm = comm }) then
      count({ pid = id >> 32, kernel = NO_STACK, user = user, comm = comm }, bytes)
    else
      bpf.atomic.add(lost, "blocks", 1)
    end
  end

  local function free(address)
    local pid = helper.get_current_pid_tgid() >> 32
    local origin = blocks[{ pid = pid, address = address }]
    if not origin then
      return
    end
    local use = uses[{ pid = pid, kernel = NO_STACK, user = origin.user, comm = origin.comm }]
    if use then
      bpf.atomic.add(use, "live_bytes", -origin.bytes)
      bpf.atomic.add(use, "live_calls", -1)
    end
    blocks[{ pid = pid, address = address }] = nil
  end

  return bpf.programs {
    malloc = { "uprobe", begin },
    calloc = { "uprobe", function(n, size) begin(n * size) end },
    realloc = { "uprobe", function(address, size)
      free(address)
      begin(size)
    end },
    returned = { "uretprobe", finish },
    free = { "uprobe", free },
  }
end

return programs
