-- SPDX-License-Identifier: MIT
-- Attaching in every way, links, and what iterators print.
local bpf = require "bpf"
local common = require "spec.support.reentry.common"

local map = bpf.map
local close, finalize = common.close, common.finalize

-- What every link is asked.
local operations <const> = {
  info = function(h) return h.link:info(), h.link:fd() end,
  text = function(h) return tostring(h.link) end,
  pin = function(h)
    common.pinned(function(path)
      h.link:pin(path)
      h.opened = bpf.link.open(path)
      h.link:unpin(path)
    end)
  end,
  by_id = function(h) h.opened = bpf.link.by_id(h.link:info().id) end,
  update = function(h) return h.link:update(h.prog) end,
  close = function(h) return h.link:close() end,
  detach = function(h) return h.link:detach() end,
  finalize = function(h) finalize(h.link) end,
  close_opened = function(h) return h.opened:close() end,
  detach_all = function(h) return h.obj:detach() end,
  close_object = function(h) return h.obj:close() end,
  finalize_object = function(h) finalize(h.obj) end,
}

-- An object of spec/progs with one program alone.
local function load(name, program)
  local obj = assert(bpf.open(common.obj(name), { vars = name == "iters" and { self = common.pid } or nil }))
  for other, prog in pairs(obj.progs) do
    prog:autoload(other == program)
  end
  assert(obj:load())
  return { obj = obj, prog = obj.progs[program] }
end

-- What is done to the handles within the others' operations, where each attachment takes the kernel long.
local INTRUDERS <const> = { "attach", "close", "detach_all", "finalize", "close_object", "close_map" }

local TRIES <const>, PAUSE <const> = 500, 0.01

-- Attaches. A link that was closed stays attached while another process that lists links holds it.
local function attached(attach, h)
  for _ = 1, TRIES do
    local link, _, code = attach(h.prog, h)
    if link or code ~= "EBUSY" then
      return assert(link, code)
    end
    bpf.sleep(PAUSE)
  end
  return assert(attach(h.prog, h))
end

-- A fixture of one program, which `attach` attaches.
local function way(name, object, program, attach, more)
  local loaded = common.lasting(function() return load(object, program) end)
  return {
    name = name,
    setup = function()
      local h = loaded()
      h.obj:detach()
      collectgarbage() -- other handles of the link
      h.link = attached(attach, h)
      return h
    end,
    operations = common.with(operations, { attach = function(h) h.link = attach(h.prog, h) end }, more),
    intruders = INTRUDERS,
  }
end

local interface

-- An interface at which no other fixture has left a program attached.
local function own_interface()
  if not interface then
    assert(os.execute "ip link add lbpf0 type veth peer name lbpf1")
    interface = "lbpf0"
  end
  return interface
end

-- A congestion control of a name that is this process's.
local CONGESTION <const> = common.read(common.obj "congestion"):gsub("lbpf_cc" .. ("\0"):rep(9), function(name)
  local own = "lbpf" .. common.pid
  return own .. ("\0"):rep(#name - #own)
end)

-- Leaves an iterator's link that prints 7 KiB of lines.
local printing <const> = common.lasting(function()
  local h = load("iters", "many_lines")
  h.link = assert(h.prog:attach_iter())
  return h
end)

local perf_event <const> = { config = "cpu_clock", sample_freq = 10, pid = common.pid }

return {
  {
    name = "ways that come to nothing",
    setup = common.lasting(function() return load("attach_trace", "on_tracepoint") end),
    operations = {
      absent = function(h) return h.prog:attach_tracepoint("none", "none") end,
      kprobe = function(h) return h.prog:attach_kprobe "do_nanosleep" end,
      kprobe_multi = function(h) return h.prog:attach_kprobe_multi { "do_nanosleep" } end,
      ksyscall = function(h) return h.prog:attach_ksyscall "getppid" end,
      uprobe = function(h) return h.prog:attach_uprobe("build/support/probed", "probed_add") end,
      uprobe_multi = function(h) return h.prog:attach_uprobe_multi("build/support/probed", { "probed_add" }) end,
      usdt = function(h) return h.prog:attach_usdt("build/support/probed", "lbpf", "guarded") end,
      raw = function(h) return h.prog:attach_raw_tracepoint "sys_enter" end,
      trace = function(h) return h.prog:attach_trace() end,
      lsm = function(h) return h.prog:attach_lsm() end,
      freplace = function(h) return h.prog:attach_freplace(h.prog, "on_tracepoint") end,
      tracepoint = function(h) return h.prog:attach_tracepoint("syscalls", "sys_enter_none") end,
      socket = function(h) return h.prog:attach_socket(0) end,
      reuseport = function(h) return h.prog:attach_reuseport(0) end,
      netkit = function(h) return h.prog:attach_netkit "lo" end,
      netfilter = function(h) return h.prog:attach_netfilter { pf = "ipv4", hooknum = 0 } end,
      tcx = function(h) return h.prog:attach_tcx("lo", { flags = "before" }) end,
      close_object = function(h) return h.obj:close() end,
      finalize_object = function(h) finalize(h.obj) end,
    },
    intruders = { "close_object", "finalize_object", "absent" },
  },
  way("tracepoints", "attach_trace", "on_tracepoint", function(prog)
    return prog:attach_tracepoint("syscalls", "sys_enter_openat")
  end),
  way("perf events", "attach_perf_event", "on_event", function(prog) return prog:attach_perf_event(perf_event) end),
  way("xdp", "attach_net", "pass", function(prog) return prog:attach_xdp("lo", { mode = "skb" }) end),
  way("tc", "attach_net", "one", function(prog) return prog:attach_tc "lo" end),
  way("xdp that replaces", "attach_net", "pass", function(prog)
    return prog:attach_xdp(own_interface(), { mode = "skb", replace = "pass" })
  end),
  way("tc that replaces", "attach_net", "one", function(prog)
    return prog:attach_tc(own_interface(), { replace = "one" })
  end),
  way("network namespaces", "attach_net", "look_up", function(prog) return prog:attach_netns "/proc/self/ns/net" end),
  way("sockets of a map", "sockmap", "msg_to_sock", function(prog, h)
    h.map = map.by_fd(map.fd(h.obj.maps.socks))
    return prog:attach_sockmap(h.map)
  end, { close_map = function(h) return map.close(h.map) end }),
  way("cgroups", "attach_net", "count_packets", function(prog) return prog:attach_cgroup(common.cgroup()) end),
  {
    name = "struct_ops",
    setup = common.lasting(function()
      local obj = assert(bpf.load { bytes = CONGESTION })
      return { obj = obj, map = obj.maps.lbpf }
    end),
    operations = {
      attach = function(h) h.link = map.attach(h.map) end,
      update = function(h) return h.link:update(h.map) end,
      text = function(h) return tostring(h.link) end,
      close = function(h) return h.link:close() end,
      close_map = function(h) return map.close(h.map) end,
      close_object = function(h) return h.obj:close() end,
    },
  },
  way("iterators", "iters", "many_lines", function(prog) return prog:attach_iter { pid = common.pid } end, {
    of_map = function(h) return h.prog:attach_iter { map = h.obj.maps.elements } end,
    disconnect = function(h) return h.link:disconnect() end, -- others would stay attached
    read = function(h) return h.link:read() end,
    lines = function(h) return h.link:lines() end,
    records = function(h) return h.link:records "struct { u32 a[70]; }" end,
  }),
  {
    name = "streams",
    setup = function()
      local h = printing()
      h.line, h.nothing, h.nothing, h.lines = h.link:lines()
      h.record, h.nothing, h.nothing, h.records = h.link:records(600)
      for _ = 1, 54 do -- little is left in the buffer
        h.line()
      end
      for _ = 1, 5 do
        h.record()
      end
      return h
    end,
    operations = {
      line = function(h) return h.line() end,
      record = function(h) return h.record() end,
      read = function(h) return h.link:read() end,
      close_streams = function(h) close(h.lines, h.records) end,
      finalize_streams = function(h) finalize(h.lines, h.records) end,
      close = function(h) return h.link:close() end,
      detach = function(h) return h.link:detach() end,
      close_object = function(h) return h.obj:close() end,
    },
  },
}
