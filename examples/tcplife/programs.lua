-- SPDX-License-Identifier: MIT
-- The program of tcplife: sends a record for each TCP connection that ends, with its bytes, its age and its process.
local bpf = require "bpf"
local helper = bpf.helper

local programs = {}

-- The addresses of IPv4 are ::ffff:a.b.c.d.
programs.Life = bpf.btf.type [[struct life {
  __u64 ns; __u64 sent; __u64 received; __u32 pid; __u16 local_port; __u16 remote_port; char comm[16];
  unsigned char local_address[16]; unsigned char remote_address[16];
}]]

--- Since when a connection is open, and whose it is, by its socket. One that ends unseen stays, so this is bounded.
programs.OPEN = {
  type = "lru_hash", max_entries = 16384, key = "__u64",
  value = "struct open { __u64 since; __u32 pid; char comm[16]; }",
}

-- enum tcp_state of the kernel, and TCP among the protocols of IP
local SYN_SENT <const>, FIN_WAIT1 <const>, CLOSE <const>, LAST_ACK <const> = 2, 4, 7, 9
local TCP <const> = 6

--- Loads the program. `lives` is the ring of records, `open` a map of what OPEN says. `pid` and `port` choose
-- connections by their process and the port of either end; 0: all.
function programs.load(lives, open, pid, port)
  local Life = programs.Life
  local lost = bpf.var "struct { __u64 records; }" -- that found the ring full

  local function send(ctx, known)
    local tcp = bpf.cast(ctx.skaddr, "struct tcp_sock")
    local code = helper.ringbuf_output(lives, Life, {
      ns = helper.ktime_get_ns() - known.since, sent = tcp.bytes_acked, received = tcp.bytes_received,
      pid = known.pid, comm = known.comm, local_port = ctx.sport, remote_port = ctx.dport,
      local_address = ctx.saddr_v6, remote_address = ctx.daddr_v6,
    })
    if code < 0 then
      bpf.atomic.add(lost, "records", 1)
    end
  end

  local function set_state(ctx)
    local state = ctx.newstate
    if ctx.protocol ~= TCP or port ~= 0 and ctx.sport ~= port and ctx.dport ~= port then
      return
    end
    local known = open[ctx.skaddr]
    if state < FIN_WAIT1 then -- it is being opened, or is open from now on
      if known then
        known.since = helper.ktime_get_ns()
      else
        open[ctx.skaddr] = { since = helper.ktime_get_ns() }
        known = open[ctx.skaddr]
      end
    end
    if not known then
      return
    end
    if state == SYN_SENT or state == LAST_ACK then -- the current process connects or closes; else it may be any
      known.pid, known.comm = helper.get_current_pid_tgid() >> 32, helper.get_current_comm()
    elseif state == CLOSE then
      if pid == 0 or known.pid == pid then
        send(ctx, known)
      end
      open[ctx.skaddr] = nil
    end
  end

  return bpf.programs { set_state = { "tracepoint/sock/inet_sock_set_state", set_state } }
end

return programs
