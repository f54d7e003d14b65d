-- SPDX-License-Identifier: MIT
-- What all the ways to attach have in common: the errors of wrong arguments, programs and objects.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local kinds = require("spec.support.kinds")
local attach = require("spec.support.attach")

kernel.root()
kernel.need("a type of programs that nothing attaches, syscall", "5.14")
kinds.need("syscall")

local event = { config = "cpu_clock", pid = 0 }

-- Every method: arguments that are right but for the program, where its options stand, libbpf's version if that isn't
-- 1.1, and the types of programs that it takes, which is what the error for another says.
local methods = {
  attach = { args = {}, code = "EOPNOTSUPP" },
  attach_kprobe = { args = { "do_nanosleep" }, options = 2, takes = "kprobe" },
  attach_kprobe_multi = { args = { "do_nanosleep" }, options = 2, takes = "kprobe" },
  attach_ksyscall = { args = { "getppid" }, options = 2, takes = "kprobe" },
  attach_uprobe = { args = { "libc.so.6", "getppid" }, options = 3, takes = "kprobe" },
  attach_uprobe_multi = { args = { "libc.so.6", "getppid" }, options = 3, libbpf = "1.3", takes = "kprobe" },
  attach_usdt = { args = { "libc.so.6", "no", "mark" }, options = 4, takes = "kprobe" },
  attach_tracepoint = { args = { "syscalls", "sys_enter_getppid" }, options = 3, takes = "kprobe, tracepoint" },
  attach_raw_tracepoint = { args = { "sys_enter" }, options = 2, takes = "raw_tracepoint, raw_tracepoint_writable" },
  attach_trace = { args = {}, options = 1, takes = "tracing, ext, lsm" },
  attach_lsm = { args = {}, takes = "tracing, ext, lsm" },
  attach_perf_event = { args = { event }, options = 2, takes = "kprobe, tracepoint, perf_event" },
  attach_freplace = { args = { "target", "verdict" }, takes = "ext" },
  attach_iter = { args = {}, options = 1, takes = "tracing" },
  attach_xdp = { args = { "lo" }, options = 2, takes = "xdp" },
  attach_tc = { args = { "lo" }, options = 2, takes = "sched_cls" },
  attach_tcx = { args = { "lo" }, options = 2, libbpf = "1.3", takes = "sched_cls" },
  attach_netkit = { args = { "lo" }, options = 2, libbpf = "1.3", takes = "sched_cls" },
  attach_netfilter = { args = { {} }, options = 1, libbpf = "1.3", takes = "netfilter" },
  attach_netns = { args = { "/proc/self/ns/net" }, takes = "flow_dissector, sk_lookup" },
  attach_cgroup = { args = { "cgroup" }, options = 2,
    takes = "cgroup_skb, cgroup_sock, sock_ops, cgroup_device, cgroup_sock_addr, cgroup_sysctl, "
    .. "cgroup_sockopt, lsm" },
  attach_sockmap = { args = { "map" }, takes = "sk_skb, sk_msg" },
  attach_socket = { args = { "socket" }, takes = "socket_filter" },
  attach_reuseport = { args = { "socket" }, takes = "socket_filter, sk_reuseport" },
}

local net = require("spec.support.net")
local socket = require("socket")

local obj, group, udp, sockets

setup(function()
  net.enter(net.space())
  obj = assert(kernel.load(helper.obj("packets")))
  group = net.cgroup()
  udp = assert(socket.udp4())
  sockets = assert(bpf.map.create { type = "sockmap", max_entries = 1, key = "__u32", value = "__u64" })
end)

teardown(function()
  obj:close()
  udp:close()
  bpf.map.close(sockets)
  net.remove()
end)

-- The arguments, with what exists while the tests run in its places.
local function arguments(method)
  local real = { target = obj.progs.on_packet, cgroup = group, map = sockets, socket = udp }
  local args = { n = method.options or #method.args }
  for i, arg in ipairs(method.args) do
    args[i] = type(arg) == "string" and real[arg] or arg
  end
  return args
end

local function call(prog, name, args)
  return prog[name](prog, table.unpack(args, 1, args.n))
end

describe("every attach method", function()
  it("is in this table", function()
    local missing = {}
    for name in pairs(debug.getmetatable(obj.progs.add).__index) do
      if name:find("^attach") and name ~= "attach_target" and not methods[name] then
        missing[#missing + 1] = name
      end
    end
    assert.same({}, missing)
  end)

  for name, method in pairs(methods) do
    describe(name, function()
      it("wants a program", function()
        helper.raises(function() obj.progs.add[name](obj, "lo") end, "bpf%.prog expected")
        helper.raises(function() obj.progs.add[name]() end, "bpf%.prog expected")
      end)

      it("wants it loaded", function()
        local other <close> = assert(bpf.open(helper.obj("packets")))
        helper.raises(function() call(other.progs.add, name, arguments(method)) end,
          "program 'add' is not loaded; load its object first")
      end)

      it("wants its object open", function()
        local other = assert(bpf.open(helper.obj("packets")))
        local prog = other.progs.add
        other:close()
        helper.raises(function() call(prog, name, arguments(method)) end, "program 'add': its object is closed")
      end)

      if method.libbpf and kernel.libbpf_before(method.libbpf) then
        it("says which libbpf it needs", function()
          helper.fails("ENOSYS", "program 'add': " .. name .. ": this method needs libbpf " .. method.libbpf
            .. "; this is libbpf v%d", call(obj.progs.add, name, arguments(method)))
        end)
      else
        it("fails for a program of another type", function()
          local why = method.takes and "its type is syscall, and this method takes " .. method.takes .. " (EINVAL)"
            or ""
          helper.fails(method.code or "EINVAL", "program 'add': " .. name .. ": " .. why:gsub("%p", "%%%0"),
            call(obj.progs.add, name, arguments(method)))
          assert.same({}, attach.links(obj.progs.add))
        end)

        if method.options then
          it("names an option that it doesn't have, and those it has", function()
            local args = arguments(method)
            args[method.options] = { nonsense = 1 }
            helper.raises(function() call(obj.progs.add, name, args) end,
              name .. ": unknown option 'nonsense' %(options: [%w_, ]+%)")
          end)

          it("wants its options in a table", function()
            local args = arguments(method)
            args[method.options] = 7
            helper.raises(function() call(obj.progs.add, name, args) end, "table expected, got number")
          end)
        end

        if method.args[1] then
          it("wants its target", function()
            helper.raises(function() obj.progs.add[name](obj.progs.add) end, "expected.*got n")
            helper.raises(function() obj.progs.add[name](obj.progs.add, print) end, "expected.*got function")
          end)
        end
      end
    end)
  end
end)

describe("a refusal is said in words:", function()
  local progs, others

  setup(function()
    others = assert(kernel.load(helper.obj("attach_causes"))) -- one lasts, and its programs do nothing
    progs = others.progs
    net.must("ip link add near type veth peer name far && ip link set near up && ip link set far up "
      .. "&& ip link set near mtu 9000 && ip link set far mtu 9000")
  end)

  teardown(function()
    others:close()
    net.must("ip link del near")
  end)

  after_each(function() assert.is_true(net.frees("near")) end)

  it("an MTU that is too large for a program of SEC(\"xdp\")", function()
    for _, options in ipairs({ {}, { mode = "native" }, { netlink = true } }) do
      helper.fails("ERANGE", 'the MTU of the interface, or of its peer, is too large .* "skb" %(',
        progs.whole:attach_xdp("near", options))
    end
    local link <close> = assert(progs.whole:attach_xdp("near", { mode = "skb" })) -- the cure
    assert.is_number(link:fd())
  end)

  it("a native and a generic xdp program at once", function()
    net.must("ip link set near mtu 1500 && ip link set far mtu 1500")
    local generic = assert(progs.whole:attach_xdp("near", { mode = "skb" }))
    helper.fails("EEXIST",
      'a program is attached in mode "skb", and native and generic ones can\'t both be active %(',
      progs.whole:attach_xdp("near", { mode = "native" }))
    helper.fails("EEXIST", 'attached in mode "skb"', progs.whole:attach_xdp("near")) -- a cable has native mode
    helper.fails("EBUSY", "the interface has a program already", progs.whole:attach_xdp("near", { mode = "skb" }))
    helper.fails("EBUSY", "has a link: link:update replaces it",
      progs.whole:attach_xdp("near", { mode = "skb", netlink = true, replace = true }))
    attach.close(generic)
    local native <close> = assert(progs.whole:attach_xdp("near", { mode = "native" }))
    helper.fails("EEXIST", "a program is attached in native mode", progs.whole:attach_xdp("near", { mode = "skb" }))
    assert.is_number(native:fd())
  end)

  it("a mode that the driver lacks, an interface that isn't there", function()
    helper.fails("EOPNOTSUPP", 'takes no programs in this mode; mode "skb" needs no driver',
      progs.whole:attach_xdp("lo", { mode = "native" }))
    local _, message = progs.whole:attach_xdp(99999)
    assert.matches("there is no network interface with index 99999 %(E", message)
    helper.fails("ENODEV", "there is no network interface with index 99999", progs.filter:attach_tc(99999))
  end)

  it("a tc priority out of range", function()
    for _, priority in ipairs({ 65536, 1 << 32 }) do
      helper.fails("EINVAL", "option 'priority' must be an integer from 0 to 65535, got %d+ %(",
        progs.filter:attach_tc("lo", { priority = priority }))
    end
    helper.raises(function() progs.filter:attach_tc("lo", { priority = -1 }) end,
      "attach_tc: option 'priority' must be an integer from 0 to 65535, got %-1")
    helper.raises(function() progs.filter:attach_tc("lo", { priority = 1.5 }) end, "attach_tc: option 'priority'")
  end)

  it("a program of SEC(\"tc\") for tcx and netkit", function()
    kernel.libbpf("attach_tcx", "1.3")
    helper.fails("EINVAL", 'this takes a program of SEC%("tcx/ingress"%) or', progs.filter:attach_tcx("lo"))
    helper.fails("EINVAL", 'this takes a program of SEC%("netkit/primary"%) or', progs.filter:attach_netkit("lo"))
  end)

  it("what is no network namespace, or is full", function()
    helper.fails("EINVAL", "this is no network namespace", progs.dissect:attach_netns("/proc/self/ns/pid"))
    local link <close> = assert(progs.dissect:attach_netns("/proc/self/ns/net"))
    helper.fails("E2BIG", "has as many programs of this type as it takes",
      progs.dissect:attach_netns("/proc/self/ns/net"))
    assert.is_number(link:fd())
  end)

  it("functions and tracepoints that the kernel doesn't have", function()
    helper.fails("ENOENT", "program 'of_no_tracepoint': attach: there is no tracepoint 'lbpf_nothing' %(",
      progs.of_no_tracepoint:attach())
    helper.fails("ENOENT", "attach_raw_tracepoint: there is no tracepoint 'lbpf_other' %(",
      progs.of_no_tracepoint:attach_raw_tracepoint("lbpf_other"))
    for _, method in ipairs({ "attach", "attach_kprobe" }) do
      local _, message, code = progs.of_no_function[method](progs.of_no_function, "lbpf_nothing")
      assert.equal("ENOENT", code)
      assert(message:find("this kernel has none", 1, true) or message:find("tracefs", 1, true)
        or message:find("the kernel has no function 'lbpf_nothing'", 1, true), message)
    end
  end)

  it("an event's options, with the script's line where pcall makes the call", function()
    for _, case in ipairs({ { { config = "cpu_clock", cpu = -2 }, "option 'cpu' must be an integer from %-1" },
      { { config = "cpu_clock", cpu = 0, sample_freq = -5 }, "option 'sample_freq' must be an integer from 0 on" },
      { { config = "cpu_clock", cpu = 0, sample_freq = 1, sample_period = 1 }, "sample_freq or sample_period, not" },
      { { config = "cpu_clock", sample_freq = 1 }, "give pid or cpu" } }) do
      local ok, message = pcall(progs.sample.attach_perf_event, progs.sample, case[1])
      assert.is_false(ok)
      assert.matches("^[^:]*attach_errors_spec%.lua:%d+: event: .*" .. case[2], message)
    end
    helper.fails("EINVAL", "option 'cpu' must be from 0 to %d+ here, got 8191",
      progs.sample:attach_perf_event({ config = "cpu_clock", cpu = 8191, sample_freq = 1 }))
  end)
end)
